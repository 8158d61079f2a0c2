"""The files of one local date against the ledger: what is altered, missing, or there without a reason."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from storage.archive import Archive
from storage.errors import from_os_error
from storage.layout import ID_DIGITS, day_folder
from storage.ledger import entries
from storage.ledger.entries import Call, Filed, Late, Part, Subject
from storage.verify import partcheck
from storage.verify.defects import Defect, Kind
from storage.verify.ledgerscan import LedgerScan, subject_of
from storage.verify.partcheck import Read
from storage.vocabulary import Form

_CALL = re.compile("[0-9a-f]{64}")
_LATE = re.compile("([0-9a-f]{64})_(0x[0-9a-f]{8})_(0|[1-9][0-9]{0,18})")
_PART = re.compile(r"[^_]+_[^_]+_[^_]+_[^_]+_([0-9a-f]{10})_p([0-9]{2,9})")
_Key = tuple[str, int, str]
"""First digits of the call's id, part, suffix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCheck:
    """Checks days of one archive."""

    archive: Archive
    scan: LedgerScan
    read: Read
    done: Callable[[Filed], None]
    """Told of each entry whose file was read and found right."""

    def defects(self, day: int) -> Iterator[Defect]:
        """What is wrong on a local date, such as 20260102. Raises ArchiveError."""
        known = {entries.subject(entry): entry for entry in self.scan.on(day)}
        parts, *of_records = (
            self._listed(root / day_folder(str(day)))
            for root in (self.archive.recordings, self.archive.records, self.archive.late)
        )
        by_key: dict[_Key, list[Path]] = {}
        for path in parts:
            by_key.setdefault(_key(path), []).append(path)
        records = {path for folder in of_records for path in folder}
        left = {*parts, *records}
        for entry in known.values():
            if isinstance(entry, Part):
                found = by_key.get(_key_of(entry), [])
            else:
                found = [path for path in (self._record(entry),) if path in records]
            yield from self._entry(entry, found, left)
        for path in sorted(left):
            yield self._defect(Kind.UNEXPECTED, _subject(path), path, "no line of the ledger speaks of it")

    def one(self, path: Path) -> Iterator[Defect]:
        """What is wrong with one file of the archive. Raises ArchiveError."""
        entry = self._entry_of(path)
        if entry is None:
            yield self._defect(Kind.UNEXPECTED, _subject(path), path, "no line of the ledger speaks of it")
            return
        yield from self._entry(entry, [path.with_suffix(_suffix(entry))] if path.exists() else [], set())

    def _entry(self, entry: Filed, found: list[Path], left: set[Path]) -> Iterator[Defect]:
        """Check the file of an entry, and take it off what is `left`."""
        if self.scan.is_erased(entry):
            return  # a file that is there all the same stays on the list of those that are not expected
        if not found:
            place = self._record(entry).parent if not isinstance(entry, Part) else self._day(entry)
            yield self._defect(Kind.MISSING, subject_of(entry), place, "it is in the ledger, and not on the disk")
        problems = {path: self._problems(path, entry) for path in found}
        right = [path for path, said in problems.items() if not said]
        for path in right[:1] or found[:1]:
            left -= {path, path.with_suffix(".json")} if _suffix(entry) == ".wav" else {path}
            for kind, what in problems[path]:
                yield self._defect(kind, subject_of(entry), path, what)
        if right:
            self.done(entry)

    def _problems(self, path: Path, entry: Filed) -> list[tuple[Kind, str]]:
        if path.is_symlink():
            return [(Kind.ALTERED, "a link lies in its place")]
        try:
            if isinstance(entry, Part):
                found = list(partcheck.part_problems(path, entry, self.read))
            else:
                found = list(partcheck.record_problems(path, entry, self.read))
            return [(Kind.ALTERED, what) for what in found]
        except FileNotFoundError:
            return [(Kind.MISSING, "its metadata are missing" if path.exists() else "it is missing")]
        except OSError as error:
            return [(Kind.ALTERED, f"it cannot be read: {error.strerror}")]

    def _day(self, entry: Part) -> Path:
        return self.archive.recordings / day_folder(entry.day)

    def _record(self, entry: Call | Late) -> Path:
        """Where the record that an entry speaks of has to lie."""
        if isinstance(entry, Late):
            return self.archive.late_file(entry.day, entry.call_id, entry.ssrc, entry.first_ns)
        return self.archive.records / day_folder(entry.day) / f"{entry.call_id}.json"

    def _entry_of(self, path: Path) -> Filed | None:
        if path.is_relative_to(self.archive.records):
            return self.scan.find(Subject(call_id=path.stem)) if _CALL.fullmatch(path.stem) else None
        if path.is_relative_to(self.archive.late):
            late = _LATE.fullmatch(path.stem)
            return self.scan.find(Subject(call_id=late[1], late=(late[2], int(late[3])))) if late else None
        named = _PART.fullmatch(path.stem)
        day = path.stem[:8]
        for entry in self.scan.on(int(day)) if named and day.isdigit() else ():
            if isinstance(entry, Part) and _key_of(entry)[:2] == _key(path)[:2]:
                return entry
        return None

    def _listed(self, folder: Path) -> list[Path]:
        """What lies in a folder of a day, in order of name."""
        try:
            return sorted(folder / name for name in os.listdir(folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise from_os_error(error, "read a directory of the archive") from error

    def _defect(self, kind: Kind, subject: str, path: Path, what: str) -> Defect:
        return Defect(kind=kind, subject=subject, path=os.path.relpath(path, self.archive.root), what=what)


def _suffix(entry: Filed) -> str:
    if not isinstance(entry, Part):
        return ".json"
    return ".zip" if entry.form is Form.ZIP else ".wav"


def _key_of(entry: Part) -> _Key:
    return entry.call_id[:ID_DIGITS], entry.part, _suffix(entry)


def _key(path: Path) -> _Key:
    named = _PART.fullmatch(path.stem)
    return (named[1], int(named[2]), path.suffix) if named else ("", 0, path.suffix)


def _subject(path: Path) -> str:
    named = _PART.fullmatch(path.stem)
    if named:
        return f"a file named for part {int(named[2])} of call {named[1]}"
    return "a file in the archive"
