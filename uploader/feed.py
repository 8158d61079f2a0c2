"""The ledger as what there is to deliver: finished parts into the queue, ends of calls, erasures.

The queue keeps the place together with what was taken in: nothing is taken in twice, nothing is left out. An archive
without a queue is taken in from its beginning; what a target has already is not sent again.
"""

from pathlib import Path

from storage import partreader
from storage.archive import Archive
from storage.errors import DamagedPartError, DamagedRecordError, StorageError
from storage.layout import ID_DIGITS, day_folder
from storage.ledger import tail
from storage.ledger.entries import Call, Erasure, Part
from uploader.clock import Now
from uploader.delivery import NewPart
from uploader.deliveryqueue import DeliveryQueue
from uploader.policy import Plan

UPLOADER = "rokubox-upload"
"""Who has erased what was delivered, or given up, as the ledger names it."""
AT_ONCE = 200
"""Lines that are taken in together: some tens of milliseconds."""


def take_in(queue: DeliveryQueue, archive: Archive, plan: Plan, now: Now) -> int:
    """Take in the ledger's next lines; return how many there were.

    Raises StorageError when the archive cannot be read, QueueError; the next call goes on at the same place.
    """
    lines, place = tail.follow(archive.ledger, queue.place, AT_ONCE)
    if not lines:
        return 0
    parts: list[NewPart] = []
    ended: list[tuple[str, str]] = []
    erased: list[str] = []
    lost: list[str] = []
    erased_parts: list[tuple[str, int]] = []
    for line in lines:
        match line.entry:
            case Part() as entry:
                parts += _wanted(archive, entry, plan)
            case Call() as entry:
                ended.append((entry.call_id, entry.day))
            case Erasure() as entry:
                gone = set(entry.call_ids)
                parts = [part for part in parts if part.call_id not in gone]
                erased += entry.call_ids
                lost += entry.call_ids if entry.who == UPLOADER else ()
                erased_parts += entry.parts
            case _:
                pass
    queue.take_in(parts, ended, erased, erased_parts, place, now, lost)
    return len(lines)


def _wanted(archive: Archive, entry: Part, plan: Plan) -> list[NewPart]:
    if not plan.policies or (path := _find(archive, entry)) is None:
        return []  # gone: a later line erases it, or `verify` tells that it is missing
    try:
        enterprise = partreader.read_record(path).enterprise
    except (DamagedPartError, DamagedRecordError) as error:
        if isinstance(error.__cause__, OSError):
            raise StorageError(f"a recording cannot be read: {error}") from error
        return []  # damaged: `verify` and the scrub tell
    targets = plan.targets_of(enterprise)
    if enterprise is None or not targets:
        return []
    return [
        NewPart(
            call_id=entry.call_id,
            part=entry.part,
            file=path.name,
            enterprise=enterprise,
            day=entry.day,
            call_json_sha256=entry.call_json_sha256,
            wav_sha256=entry.wav_sha256,
            targets=targets,
            erases=plan.erases(enterprise),
        )
    ]


def _find(archive: Archive, entry: Part) -> Path | None:
    """Where the part lies; its name holds numbers, which the ledger does not know."""
    folder = archive.recordings / day_folder(entry.day)
    found = folder.glob(f"*_{entry.call_id[:ID_DIGITS]}_p{entry.part:02d}.{entry.form}")
    return next(iter(sorted(found)), None)
