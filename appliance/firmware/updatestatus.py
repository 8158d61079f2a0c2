"""How an update stands: one small file on the data partition, which both slots read and write.

state        written by                                         next
downloading  the update, in the slot that runs                  verifying, refused
verifying    the same                                           installing, refused
installing   the same                                           restarting, failed
restarting   the same; the new slot is the one to be started    on_trial, rolled_back
on_trial     the new slot, when its trial begins                good, rolled_back
good         the new slot has proved itself
rolled_back  the old slot, which runs again
refused      nothing was written to a slot
failed       the other slot holds nothing that can be started
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec

from storage.disk import Directories, Disk, replace_file

FOLDER = Path("/var/lib/rokubox-update")
NAME = "status.json"
BEGAN = "began"
"""A file that a slot on trial writes before anything of this product runs (`rokubox-trial.service`)."""
MODE = 0o644
"""No secret stands in it: the agent reads it, and the status page."""
MAX_BYTES = 64 << 10
MAX_DETAIL = 400
MAX_ATTEMPTS = 20


class State(StrEnum):
    """Where an update is."""

    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    INSTALLING = "installing"
    RESTARTING = "restarting"
    ON_TRIAL = "on_trial"
    GOOD = "good"
    ROLLED_BACK = "rolled_back"
    REFUSED = "refused"
    FAILED = "failed"


UNDER_WAY = frozenset({State.DOWNLOADING, State.VERIFYING, State.INSTALLING, State.RESTARTING, State.ON_TRIAL})
AMISS = frozenset({State.ROLLED_BACK, State.REFUSED, State.FAILED})


class Reason(StrEnum):
    """Why an update came to nothing: a closed list."""

    NOT_FOUND = "not_found"
    """No bundle where one was said to be, or several."""
    NOT_ALLOWED = "not_allowed"
    """The configuration does not name this source."""
    DOWNLOAD = "download"
    """It could not be fetched."""
    NO_ROOM = "no_room"
    """The data partition has no room for it, or it is larger than any update."""
    SIGNATURE = "signature"
    """Not signed by whom this box trusts, or no bundle at all."""
    DAMAGED = "damaged"
    """Signed, but not every byte is what was signed."""
    OTHER_DEVICE = "other_device"
    """Made for other hardware."""
    OLDER = "older"
    """Older than what runs."""
    SAME = "same"
    """What runs already."""
    FAILED_BEFORE = "failed_before"
    """This very bundle was tried, and rolled back."""
    ON_TRIAL = "on_trial"
    """What runs has not proved itself yet; the other slot is the way back."""
    INSTALL = "install"
    """It could not be written to the other slot."""
    DID_NOT_BOOT = "did_not_boot"
    """It never came so far as to say why."""
    NO_END = "no_end"
    """It began its trial, and was cut off: a hang, a power cut."""
    UNSTABLE = "unstable"
    """A service did not stay up."""
    SELF_TEST = "self_test"
    """The self-test found the box itself at fault."""
    KNOWN_CALL = "known_call"
    """A known call did not come out as it went in."""
    GATE = "gate"
    """Its health could not be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One start of the new slot that came so far as to begin its trial."""

    boot_id: str
    at_ns: int
    reason: Reason = Reason.NO_END
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStatus:
    """The update that goes on, or the last one."""

    schema: Literal["rokubox.update/1"] = "rokubox.update/1"
    state: State
    source: str
    """`medium`, `url` or `file`."""
    began_ns: int
    changed_ns: int
    running: str
    """Version that ran when it began."""
    version: str = ""
    """Version that the bundle brings; empty while nobody knows."""
    bundle: str = ""
    """Root hash of the bundle's payload: which bundle it is."""
    slot: str = ""
    """Slot that it is written to."""
    reason: Reason | None = None
    detail: str = ""
    stops_ns: int | None = None
    """From when on nothing is recorded, because the box restarts."""
    records_ns: int | None = None
    """From when on it is recorded again."""
    attempts: tuple[Attempt, ...] = ()


def read(folder: Path = FOLDER) -> UpdateStatus | None:
    """The status; None when there never was an update, or nobody can tell."""
    with suppress(OSError, msgspec.MsgspecError), (folder / NAME).open("rb") as file:
        return msgspec.json.decode(file.read(MAX_BYTES), type=UpdateStatus)
    return None


def write(status: UpdateStatus, folder: Path = FOLDER) -> None:
    """Keep it, complete or not at all. Raises OSError."""
    disk = Disk()
    draft = folder / f".{NAME}.tmp-{os.getpid()}"
    replace_file(disk, draft, folder / NAME, msgspec.json.encode(status), mode=MODE)
    directories = Directories(disk)
    directories.note(folder)
    directories.sync()
