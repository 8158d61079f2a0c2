"""A medium taken, or not: what `rokubox provision` does, from the look at it to what came of it."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

from appliance.condition import observed
from appliance.errors import ConfigurationError
from appliance.provisioning import medium, outcome
from appliance.provisioning.outcome import Outcome, Told
from storage.errors import StorageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be done."""

    medium: Path
    """The medium's top folder."""
    into: Path
    """Folder of the box's configuration."""
    archive: str
    """Where recordings have to go on this box."""
    once: Path | None = None
    """The configuration that the box came with: only while it has no other. None: in any case."""
    mounted: bool = False
    """What is not mounted cannot be read, and is no empty medium."""


def take(wanted: Wanted) -> Told:
    """Take it, and answer on it; nothing is changed unless all of it is right."""
    told, keys = _taken(wanted)
    if told.outcome is Outcome.UNREADABLE:
        return told
    return dataclasses.replace(told, answered=medium.answer(wanted.medium, told, keys))


def tell(folder: Path, told: Told) -> bool:
    """Say it to the status page; False when that cannot be written."""
    return observed.write(folder, outcome.NAME, told)


def _taken(wanted: Wanted) -> tuple[Told, tuple[str, ...]]:
    now_ns = time.time_ns()
    try:
        if wanted.mounted and not wanted.medium.is_mount():
            return Told(at_ns=now_ns, outcome=Outcome.UNREADABLE), ()
        if wanted.once is not None and not medium.is_as_shipped(wanted.into, wanted.once):
            same = medium.is_what_is_there(wanted.medium, wanted.into)
            return Told(at_ns=now_ns, outcome=Outcome.SAME if same else Outcome.CONFIGURED), ()
        brought = medium.read(wanted.medium, wanted.into, wanted.archive)
        medium.put_in_place(brought, wanted.into)
    except ConfigurationError as error:
        return Told(at_ns=now_ns, outcome=Outcome.REFUSED, problems=tuple(str(error).splitlines())), ()
    except (OSError, StorageError) as error:
        problem = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        return Told(at_ns=now_ns, outcome=Outcome.FAILED, problems=(problem,)), ()
    return Told(at_ns=now_ns, outcome=Outcome.ACCEPTED, digest=brought.digest), tuple(brought.keys)
