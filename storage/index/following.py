"""The index behind the ledger: every line's consequence, from the files that the line is about.

| line          | in the index                                                          |
|---------------|-----------------------------------------------------------------------|
| `call`        | the call with its parts, from its record                              |
| `part`        | its call as one in progress, from `call.json`; nothing once the call is there |
| `hold`        | the hold, or its end                                                  |
| `erasure`     | what was erased is taken out                                          |

A file that is gone was erased by a later line, or is missing, which `verify` tells.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from storage import partreader
from storage.archive import Archive, read_stored
from storage.errors import DamagedPartError, DamagedRecordError
from storage.index.rows import PartRow
from storage.index.slimrecord import AnyRecord, slim
from storage.index.writer import IndexWriter
from storage.layout import ID_DIGITS, day_folder
from storage.ledger.entries import Call, Erasure, Hold, Part
from storage.ledger.ledgerfile import Line
from storage.vocabulary import Form

BATCH_LINES = 2000
"""Brought in together, so that the parts of a call that has ended are not looked at one by one."""


def follow(index: IndexWriter, archive: Archive, lines: Iterable[Line]) -> int:
    """Bring `lines`, the ledger's from number `index.ledger_size` on, into the index; return how many there were.

    Raises DiskFullError or ArchiveError; what is in the index then is whole, and another try goes on there.
    """
    followed = 0
    remaining = iter(lines)
    while batch := tuple(islice(remaining, BATCH_LINES)):
        _follow_batch(index, archive, batch)
        index.ledger_size = batch[-1].number + 1
        index.commit()
        followed += len(batch)
    return followed


def _follow_batch(index: IndexWriter, archive: Archive, batch: Sequence[Line]) -> None:
    ended = {line.entry.call_id for line in batch if isinstance(line.entry, Call)}
    for line in batch:
        match line.entry:
            case Call() as entry:
                with suppress(DamagedRecordError, OSError, ValueError):
                    record = slim(read_stored(_record_path(archive, entry)))
                    index.add(record, present_parts(archive, record))
            case Part() as entry if entry.call_id not in ended:
                with suppress(DamagedPartError, DamagedRecordError, OSError):
                    for path in _part_paths(archive, entry):
                        part = partreader.read_record(path)
                        index.add_part(part, part_row(str(path), entry.part, part.samples))
            case Hold() as entry if entry.hold == "set":
                index.hold(entry.call_ids, entry.name)
            case Hold() as entry:
                index.release(entry.call_ids, entry.name)
            case Erasure() as entry:
                index.remove(entry.call_ids)
                index.remove_parts(entry.parts)
            case _:
                pass


def _record_path(archive: Archive, entry: Call) -> Path:
    return archive.records / day_folder(entry.day) / f"{entry.call_id}.json"


def present_parts(archive: Archive, record: AnyRecord) -> Iterator[PartRow]:
    """The parts of a call that are there."""
    root = str(archive.recordings)
    for entry in record.parts:
        with suppress(OSError):
            year, month, day = entry.name[:4], entry.name[4:6], entry.name[6:8]
            yield part_row(f"{root}/{year}/{month}/{day}/{entry.name}", entry.number, entry.samples)


def _part_paths(archive: Archive, entry: Part) -> list[Path]:
    """Where the part lies; its name holds numbers, which the ledger does not know."""
    folder = archive.recordings / day_folder(entry.day)
    return list(folder.glob(f"*_{entry.call_id[:ID_DIGITS]}_p{entry.part:02d}.{entry.form}"))


def part_row(path: str, number: int, samples: int) -> PartRow:
    """What the index keeps of a part. Raises OSError when it is not there."""
    stem, suffix = os.path.splitext(path)
    size_bytes = os.stat(path).st_size
    if suffix != f".{Form.ZIP}":
        size_bytes += os.stat(f"{stem}.json").st_size
    day = int(os.path.basename(path)[:8])
    return PartRow(number=number, day=day, samples=samples, size_bytes=size_bytes)
