"""An export from beginning to end: entered in the ledger first, then written with the proofs of what is in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from appliance.config import Configuration
from appliance.custody import archiverequests
from appliance.custody.archiveclient import asking, checked
from appliance.custody.archiverequests import MAX_CALLS
from appliance.custody.inventory import KnownCall
from appliance.errors import ConfigurationError
from appliance.export import bundle
from appliance.export.manifest import Manifest
from appliance.export.treatment import Treatment
from appliance.version import software
from storage.archive import Archive, read_record
from storage.call_record import PartEntry
from storage.errors import ArchiveError, from_os_error
from storage.layout import day_folder
from storage.ledger import prooftext
from storage.verify import proving

CHECKPOINT, PUBLIC_KEY = "checkpoint.txt", "device-key.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for."""

    target: Path
    """The ZIP to write."""
    treatment: Treatment
    """What is done to the recordings."""
    who: str
    """Who asks."""
    why: str
    """What for."""


def export(
    archive: Archive,
    configuration: Configuration,
    calls: Sequence[KnownCall],
    wish: Wish,
    progress: Callable[[int, int], None],
) -> Manifest:
    """Write the bundle. `progress` is told bytes of audio done and in all.

    Raises:
        ConfigurationError: the target cannot be used, or the calls have no recordings.
        StorageError: the ledger or the target cannot be written, a part cannot be read.
    """
    if wish.target.exists() or not wish.target.parent.is_dir():
        problem = "is there already" if wish.target.exists() else "lies in no directory that is there"
        raise ConfigurationError(f"--to: {wish.target} {problem}")
    records = [read_record(archive.records / day_folder(call.day) / f"{call.call_id}.json") for call in calls]
    total = sum(_audio_bytes(part) for record in records for part in record.parts)
    if not total:
        raise ConfigurationError("these calls have no recordings; `rokubox calls` says why")
    _enter(archive, configuration, calls, wish)
    done = 0

    def step(part: PartEntry) -> None:
        nonlocal done
        done += _audio_bytes(part)
        progress(done, total)

    order = bundle.Order(
        calls=records,
        treatment=wish.treatment,
        who=wish.who,
        why=wish.why,
        at=datetime.now(configuration.zone),
        software=software(),
    )

    def prove(call_id: str, part: int) -> bytes:
        return prooftext.to_text(proving.prove(archive.ledger, call_id, part))

    return bundle.write(archive, order, wish.target, prove=prove, keys=_keys(archive), step=step)


def _audio_bytes(part: PartEntry) -> int:
    return part.samples * 4


def _enter(archive: Archive, configuration: Configuration, calls: Sequence[KnownCall], wish: Wish) -> None:
    """Have the ledger say who exports what and why, before anything leaves."""
    with asking(archive, configuration) as ask:
        for first in range(0, len(calls), MAX_CALLS):
            named = tuple(call.call_id for call in calls[first : first + MAX_CALLS])
            options = wish.treatment.options()
            checked(ask(archiverequests.Export(calls=named, options=options, who=wish.who, why=wish.why)))


def _keys(archive: Archive) -> dict[str, bytes]:
    """What the proofs are checked with."""
    try:
        return {name: (archive.recordings / name).read_bytes() for name in (CHECKPOINT, PUBLIC_KEY)}
    except FileNotFoundError as error:
        raise ArchiveError("the archive has no checkpoint: nothing in it is signed yet") from error
    except OSError as error:
        raise from_os_error(error, "read the archive's checkpoint") from error
