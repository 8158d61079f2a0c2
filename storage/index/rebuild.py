"""The index made anew from the files alone, beside the one in use; `swap` puts it in its place.

    spool/index.sqlite   day by day from calls/, each day in one transaction with the note that it is done
                         -> sorted and indexed -> parts of calls without a record, from recordings/
                         -> what the ledger says of holds and erasures, up to where it was at the beginning
                         -> then line by line, as the index in use

It needs no lock: finished files never change. What comes or goes meanwhile lies behind the ledger's size at the
beginning and is followed afterwards, once more by whoever puts the file in its place. Killed anywhere, the next rebuild
goes on with the day that was not done.
"""

import os
import re
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from storage import partreader
from storage.archive import Archive, dated, read_stored
from storage.disk import Directories, Disk
from storage.errors import ArchiveError, DamagedPartError, DamagedRecordError, IndexDamagedError, from_os_error
from storage.index.following import follow, part_row, present_parts
from storage.index.rows import CallRow, call_row, day_number
from storage.index.slimrecord import slim
from storage.index.writer import IndexWriter
from storage.layout import ID_DIGITS
from storage.ledger.entries import Call, Erasure, Hold, Part
from storage.ledger.ledgerfile import Line

Lines = Callable[[int], Iterable[Line]]
"""The ledger's lines from a number on."""
Progress = Callable[[int, int], None]
"""Told calls done and calls in all."""
_PART = re.compile(r"[0-9]{8}T.*_([0-9a-f]{10})_p([0-9]{2,9})\.(?:zip|wav)")
_LEFTOVERS = ("", "-wal", "-shm")


def path_of(archive: Archive) -> Path:
    """Where the index is made: hidden, on the file system of the one in use."""
    return archive.spool / "index.sqlite"


def rebuild(
    archive: Archive, ledger_size: int, lines: Lines, report: Callable[[DamagedRecordError], None], progress: Progress
) -> int:
    """Make the index anew as of now and return how many calls it has; a file that is damaged goes to `report`.

    `ledger_size` is the ledger's now. Raises ArchiveError when another process does the same or the disk fails,
    DiskFullError, LedgerError.
    """
    if not archive.root.is_dir():
        raise ArchiveError(f"{archive.root} is not a directory")
    Directories(Disk()).make(archive.spool)
    with _begun(path_of(archive), ledger_size) as index:
        if index.is_filling:
            index.begin_filling(ledger_size)
            _fill(index, archive, report, progress)
            index.finish_filling()
        _take_parts(index, archive, report)
        if not index.ledger_size:
            _take_ledger(index, lines(0))
        follow(index, archive, lines(index.ledger_size))
        return index.count()


def _begun(path: Path, ledger_size: int) -> IndexWriter:
    """What an earlier rebuild left, if it is of this ledger and can be used, else a new file."""
    try:
        index = IndexWriter(path, filling=True)
        # Without a ledger nobody can tell what has come since.
        if not index.filled_day or (ledger_size and index.filled_ledger_size <= ledger_size):
            return index
        index.close()
    except IndexDamagedError:
        pass
    discard(path)
    return IndexWriter(path, filling=True)


def discard_abandoned(path: Path) -> bool:
    """Remove what an interrupted rebuild left; False: one is at work on it."""
    if not path.exists():
        return True
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            connection.close()
            return False
    # Still holding it, so that nobody begins with a file that is on its way out.
    discard(path)
    connection.close()
    return True


def discard(path: Path) -> None:
    """Remove an index with its log."""
    for suffix in _LEFTOVERS:
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()


def _fill(
    index: IndexWriter, archive: Archive, report: Callable[[DamagedRecordError], None], progress: Progress
) -> None:
    days = [(folder, _names(folder, ".json")) for folder in dated(archive.records)]
    total, done = sum(len(names) for _, names in days), 0
    for folder, names in days:
        day = day_number("".join(folder.parts[-3:]))
        if day > index.filled_day:
            for row in _rows(archive, folder, names, report):
                index.put(row)
            index.filled_day = day
            index.commit()
        done += len(names)
        progress(done, total)


def _rows(
    archive: Archive, folder: Path, names: Iterable[str], report: Callable[[DamagedRecordError], None]
) -> list[CallRow]:
    """The calls of a day, in order of time: neighbours in time are then neighbours in the file."""
    found = []
    place = str(folder)
    for name in names:
        call_id = name.removesuffix(".json")
        try:
            record = slim(read_stored(f"{place}/{name}"))
            if record.call_id != call_id:
                raise DamagedRecordError(f"holds call {record.call_id[:ID_DIGITS]}")
            found.append(call_row(record, tuple(present_parts(archive, record))))
        except FileNotFoundError:
            continue  # erased meanwhile
        except (DamagedRecordError, OSError, ValueError) as error:
            told = error.strerror if isinstance(error, OSError) else error
            report(DamagedRecordError(f"call record {call_id[:ID_DIGITS]}: {told}"))
    return sorted(found, key=lambda row: (row.started_ns, row.call_id))


def _take_parts(index: IndexWriter, archive: Archive, report: Callable[[DamagedRecordError], None]) -> None:
    """Add the parts that no call record names: calls in progress, and such whose record is gone."""
    known = index.parts_by_day()
    for folder in dated(archive.recordings):
        names = {
            (found[1], int(found[2])): name
            for name in _names(folder, ".zip", ".wav")
            if (found := _PART.fullmatch(name)) is not None
        }
        if len(names) == known.get(day_number("".join(folder.parts[-3:]))):
            continue  # what is known was there, so that is all; what came and went meanwhile is in the ledger
        for digits, number in index.without(names):
            path = folder / names[digits, number]
            try:
                record = partreader.read_record(path)
                index.add_part(record, part_row(str(path), record.part, record.samples))
            except (DamagedPartError, DamagedRecordError) as error:
                report(DamagedRecordError(f"part {number} of call {digits}: {error}"))
            except FileNotFoundError:
                continue  # erased meanwhile, or a WAV without its sidecar, which is no recording
        index.commit()


def _take_ledger(index: IndexWriter, lines: Iterable[Line]) -> None:
    """Take in what the ledger says of holds and erasures, up to where it was when the filling began.

    Most of what was erased is not there, because its files are gone. What is there was erased and came again, or its
    erasure is not finished yet.
    """
    end = index.filled_ledger_size
    erased: dict[str, None] = {}
    parts: dict[tuple[str, int], None] = {}
    for line in lines:
        if line.number >= end:
            break
        match line.entry:
            case Hold() as entry if entry.hold == "set":
                index.hold(entry.call_ids, entry.name)
            case Hold() as entry:
                index.release(entry.call_ids, entry.name)
            case Erasure() as entry:
                erased.update(dict.fromkeys(filter(index.has, entry.call_ids)))
                parts.update(dict.fromkeys(part for part in entry.parts if index.has(part[0])))
            case Call() as entry:
                erased.pop(entry.call_id, None)
            case Part() as entry:
                parts.pop((entry.call_id, entry.part), None)
            case _:
                pass
    index.remove(erased)
    index.remove_parts(parts)
    index.ledger_size = end
    index.commit()


def _names(folder: Path, *suffixes: str) -> list[str]:
    """Sorted names of the files of a day."""
    try:
        with os.scandir(folder) as found:
            return sorted(each.name for each in found if each.name.endswith(suffixes) and each.name[0] != ".")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, "read a directory of the archive") from error
