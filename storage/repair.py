"""A log that goes on after a broken ledger: for when nothing can be signed any more, and a person has looked.

| step | what is done                                                               | killed behind it              |
|------|----------------------------------------------------------------------------|-------------------------------|
| 1    | who, why and the folder in `quarantine/` are noted, durably                 | nothing is signed any more,   |
|      |                                                                             | and a repair goes on with 2   |
| 2    | index and marks of time are emptied: both count lines of the old log        | ... with 2                    |
| 3    | every file of the ledger is moved into that folder, its lines last          | ... with those that are left  |
| 4    | the new log is made: `next_log`, the old lines as far as they can be read,  | ... with 4 from its beginning |
|      | lines for files of which none of those speaks                               |                               |
| 5    | the note is removed                                                         | done                          |

The device key stays. The old log is kept for good: who has a checkpoint of it can hold it against that.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from storage import partreader
from storage.archive import Archive, read_record
from storage.disk import Directories, Disk, replace_file
from storage.errors import (
    ArchiveError,
    DamagedPartError,
    DamagedRecordError,
    LedgerBrokenError,
    LedgerError,
    from_os_error,
)
from storage.index import rebuild, swap
from storage.index.writer import IndexWriter
from storage.json_form import from_json
from storage.late_record import LateRecord
from storage.ledger import entries, predecessor
from storage.ledger.checkpointfiles import SHARED
from storage.ledger.entries import Call, Filed, Late, Part
from storage.ledger.keyfiles import NEW_SUFFIX
from storage.ledger.ledger import Ledger
from storage.ledger.ledgerfile import ENTRIES
from storage.ledger.predecessor import REPAIRING, SHARED_AS
from storage.ledger.settings import Attribution, LedgerSettings
from storage.partfile import AUDIO_NAME, METADATA_NAME
from storage.retention import clockfile
from storage.timestamps import NS_PER_S, instant_ns, rfc3339

LINES_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What was done."""

    kept_as: str
    """Folder in `quarantine/` with the broken ledger."""
    lines: int
    """Lines taken over."""
    damaged: int
    """Lines that could not be read."""
    entered: int
    """Files of which no line spoke, and that are entered now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """What is known while it goes on."""

    kept_as: str
    who: str
    why: str


class Repairer:
    """Repairs the ledger of one archive, whose lock the caller holds."""

    def __init__(self, archive: Archive, settings: LedgerSettings, disk: Disk) -> None:
        self._archive = archive
        self._settings = settings
        self._disk = disk
        self._directories = Directories(disk)
        self._note = settings.directory / REPAIRING

    def repair(self, by: Attribution, now_ns: int) -> Repair:
        """Begin another log, or go on with that; who began it is who did it.

        Raises LedgerError when the ledger is not broken, DeviceKeyError when it is the key that is missing,
        DiskFullError or ArchiveError when the disk fails.
        """
        note = self._pending() or self._begin(by, now_ns)
        try:
            self._drop_derived()
            self._move(self._archive.quarantine / note.kept_as)
            done = self._renew(note, now_ns)
            self._disk.remove(self._note)
        except OSError as error:
            raise from_os_error(error, "repair the ledger") from error
        self._directories.note(self._note.parent)
        self._directories.sync()
        return done

    def _pending(self) -> _Note | None:
        try:
            return msgspec.json.decode(self._note.read_bytes(), type=_Note)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise ArchiveError(f"ledger/{REPAIRING} cannot be read: a repair is not finished") from error

    def _begin(self, by: Attribution, now_ns: int) -> _Note:
        try:
            with Ledger(self._settings, now_ns, disk=self._disk):
                pass
        except LedgerBrokenError:
            note = _Note(kept_as=self._free_name(now_ns), who=by.who, why=by.why)
            draft = self._note.with_name(f".{REPAIRING}.tmp-{os.getpid()}")
            try:
                replace_file(self._disk, draft, self._note, msgspec.json.encode(note))
            except OSError as error:
                raise from_os_error(error, "note a repair of the ledger") from error
            self._directories.note(self._note.parent)
            self._directories.sync()
            return note
        raise LedgerError("the ledger is not broken: there is nothing to repair")

    def _free_name(self, now_ns: int) -> str:
        second = now_ns // NS_PER_S
        while True:
            name = f"ledger-{datetime.fromtimestamp(second, UTC):%Y%m%dT%H%M%SZ}"
            if not (self._archive.quarantine / name).exists():
                return name
            second += 1

    def _drop_derived(self) -> None:
        # Without marks recordings count as younger than they are: retention keeps them longer.
        state = clockfile.read(self._archive.retention)
        if state.marks:
            clockfile.write(self._archive.retention, replace(state, marks=()), self._disk)
        empty = rebuild.path_of(self._archive)
        rebuild.discard(empty)
        if self._archive.index.exists():
            self._directories.make(empty.parent)
            IndexWriter(empty).close()
            swap.put_in_place(empty, self._archive.index)

    def _move(self, folder: Path) -> None:
        """Move the old log into `folder`. What there is when its lines lie there is of the new one, and removed."""
        self._directories.make(folder)
        directory, key = self._settings.directory, self._settings.key.name
        stay, share = {key, key + NEW_SUFFIX, REPAIRING}, self._settings.share
        there = [path for path in sorted(directory.iterdir()) if path.name not in stay]
        if (folder / ENTRIES).exists():
            for path in there:
                for file in sorted(path.iterdir()) if path.is_dir() else [path]:
                    self._remove(file)
            if share is not None:
                self._remove(share / SHARED)
            return
        if share is not None and (share / SHARED).exists():
            self._disk.rename(share / SHARED, folder / SHARED_AS)
            self._directories.note(share)
        for path in there:
            if path.name != ENTRIES:
                self._disk.rename(path, folder / path.name)
        for changed in (directory, folder):
            self._directories.note(changed)
        self._directories.sync()
        self._disk.rename(directory / ENTRIES, folder / ENTRIES)
        for changed in (directory, folder):
            self._directories.note(changed)
        self._directories.sync()

    def _renew(self, note: _Note, now_ns: int) -> Repair:
        folder = self._archive.quarantine / note.kept_as
        before = predecessor.found(folder, Attribution(who=note.who, why=note.why))
        lines = entered = 0
        with Ledger(self._settings, now_ns, disk=self._disk, after=before) as ledger:
            for lines, entry in enumerate(predecessor.taken_over(folder), 1):
                ledger.take_over(entry)
                if not lines % LINES_AT_ONCE:
                    ledger.commit(now_ns)
            for file in self._unspoken(ledger, rfc3339(now_ns, self._settings.zone)):
                entered += ledger.append([file])
            ledger.commit(now_ns)
        damaged = sum(1 for _ in predecessor.lines(folder)) - sum(1 for _ in predecessor.readable(folder))
        return Repair(kept_as=note.kept_as, lines=lines, damaged=damaged, entered=entered)

    def _unspoken(self, ledger: Ledger, at: str) -> Iterator[Filed]:
        """Lines for the files of the archive of which the ledger says nothing. What is none of ours is left."""
        archive = self._archive
        for root, line in ((archive.recordings, _part), (archive.records, _call), (archive.late, _late)):
            for day in sorted(root.glob("[0-9]*/[0-9]*/[0-9]*")):
                for path in sorted(day.iterdir()):
                    try:
                        entry = line(path, at)
                    except (DamagedPartError, DamagedRecordError, ValueError):
                        continue  # `verify` tells
                    if entry is not None and not ledger.speaks_of(entries.subject(entry)):
                        yield entry

    def _remove(self, path: Path) -> None:
        try:
            self._disk.remove(path)
        except FileNotFoundError:
            return


def _part(path: Path, at: str) -> Part | None:
    if path.suffix not in (".zip", ".wav"):
        return None
    record = partreader.read_record(path)
    return Part(
        call_id=record.call_id,
        part=record.part,
        day="-".join(path.parts[-4:-1]),
        form=record.form,
        call_json_sha256=partreader.sha256(path, METADATA_NAME),
        wav_sha256=partreader.sha256(path, AUDIO_NAME),
        at=at,
    )


def _call(path: Path, at: str) -> Call:
    record = read_record(path)
    return Call(call_id=record.call_id, day=record.started_at[:10], record_sha256=_sha256(path), at=at)


def _late(path: Path, at: str) -> Late:
    record = from_json(path.read_bytes(), LateRecord)
    return Late(
        call_id=record.call_id,
        day=record.first_at[:10],
        ssrc=record.ssrc,
        first_ns=instant_ns(record.first_at),
        record_sha256=_sha256(path),
        at=at,
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
