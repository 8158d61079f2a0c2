"""`retention/clock.json`: what is known of real elapsed time, kept in the archive so that it moves with it."""

import os
from pathlib import Path

import msgspec

from storage.disk import Directories, Disk, replace_file
from storage.errors import from_os_error
from storage.retention.clockguard import ClockState

NAME = "clock.json"
MAX_BYTES = 16 << 20


def read(folder: Path) -> ClockState:
    """What is known; nothing when there is no file, or none that can be read.

    Knowing nothing, every recording counts as just come: that keeps them longer and never erases one too early.
    """
    try:
        with (folder / NAME).open("rb") as file:
            return msgspec.json.decode(file.read(MAX_BYTES + 1), type=ClockState)
    except (OSError, msgspec.MsgspecError):
        return ClockState()


def write(folder: Path, state: ClockState, disk: Disk) -> None:
    """Replace the file durably. Raises DiskFullError or ArchiveError; the file is as before then."""
    directories = Directories(disk)
    directories.make(folder)
    try:
        replace_file(disk, folder / f".{NAME}.tmp-{os.getpid()}", folder / NAME, msgspec.json.encode(state))
    except OSError as error:
        raise from_os_error(error, "keep the time") from error
    directories.note(folder)
    directories.sync()
