"""The ledger read from its first line to its last: hashed, checked against its seals, and noted where what stands.

Nothing is believed but the lines: what lies derived beside them is made again and compared. Memory grows by some 40
bytes an entry. A scan can be continued when more lines have come.
"""

import base64
import hashlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from storage.errors import LedgerError, from_os_error
from storage.layout import ID_DIGITS
from storage.ledger import entries, merkle, names
from storage.ledger.entries import (
    FILED,
    Call,
    Entry,
    Erasure,
    Filed,
    Hold,
    Key,
    Late,
    Log,
    NextLog,
    Part,
    Seal,
    Subject,
)
from storage.ledger.ledgerfile import ENTRIES, HASHES, NAMES
from storage.ledger.merkle import EMPTY_ROOT, Frontier
from storage.timestamps import NS_PER_S, instant_ns
from storage.verify.defects import Defect, Kind
from storage.verify.trust import KeyChange, Keys

MAX_DAMAGED_LINES = 20
BACKWARDS_NS = 60 * NS_PER_S
"""A clock that is corrected by less is not worth a word."""
_READ_BYTES = 1 << 20
SUBJECT = "the ledger"


class _Places:
    """Where in the ledger something with a key stands: 64-bit keys (see `names`) and offsets, looked up sorted."""

    def __init__(self) -> None:
        self._keys = array("Q")
        self._offsets = array("Q")
        self._sorted: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]] | None = None

    def add(self, key: int, offset: int) -> None:
        """Offsets come in order."""
        self._keys.append(key)
        self._offsets.append(offset)
        self._sorted = None

    def at(self, key: int) -> list[int]:
        """The offsets under a key, in order."""
        keys, offsets = self.sorted()
        first, last = (int(np.searchsorted(keys, np.uint64(key), side)) for side in ("left", "right"))
        return [int(offset) for offset in offsets[first:last]]

    def sorted(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """All keys, sorted, and their offsets, in order under one key."""
        if self._sorted is None:
            keys, offsets = np.array(self._keys, np.uint64), np.array(self._offsets, np.uint64)
            order = np.argsort(keys, kind="stable")
            self._sorted = keys[order], offsets[order]
        return self._sorted


class LedgerScan:
    """One ledger, as far as it was read. A context: it keeps the file open."""

    def __init__(self, directory: Path, wanted: Iterable[int]) -> None:
        """`wanted`: sizes at which the root is to be known. Raises ArchiveError when there is no ledger to read."""
        self._directory = directory
        try:
            self._file = (directory / ENTRIES).open("rb", buffering=0)
        except OSError as error:
            raise from_os_error(error, "read the ledger") from error
        self._wanted = frozenset(wanted)
        self._entries, self._erasures = _Places(), _Places()
        self._days, self._day_offsets = array("I"), array("Q")
        self._holds: list[tuple[int, int]] = []
        self._frontier = Frontier()
        self._batch, self._batch_lines, self._batch_first = hashlib.sha256(), 0, 0
        self._damaged = 0
        self._end = 0
        self._decoded: tuple[int, Entry | None] = (-1, None)
        self._derived = [_Derived(directory, HASHES), _Derived(directory, NAMES)]
        self.roots = {0: EMPTY_ROOT}
        """The root at each wanted size that was reached."""
        self.defects: list[Defect] = []
        """What is wrong with lines, seals and derived files."""
        self.notices: list[str] = []
        """What is odd but may be right."""
        self.log: Log | NextLog | None = None
        """The first entry."""
        self.changes: list[KeyChange] = []
        """Changes of the device key."""
        self.latest_ns = 0
        """The latest time that a line gives."""

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        for derived in self._derived:
            derived.close()

    @property
    def size(self) -> int:
        """Lines read."""
        return self._frontier.size

    @property
    def unsealed(self) -> int:
        """Lines behind the last seal."""
        return self._batch_lines

    @property
    def rest_bytes(self) -> int:
        """What follows the last whole line."""
        return (self._directory / ENTRIES).stat().st_size - self._end

    def read(self) -> Iterator[int]:
        """Read on to the end, and give the bytes read so far now and then. Raises ArchiveError."""
        try:
            for offset, stored in self._lines():
                self._take(offset, stored)
                self._end = offset + len(stored) + 1
                if not self.size % 4096:
                    yield self._end
            for derived in self._derived:
                derived.compare()
        except OSError as error:
            raise from_os_error(error, "read the ledger") from error
        yield self._end

    def finish(self) -> None:
        """Say what is wrong with what is derived, and which lines are there twice: to be asked once."""
        self.defects += [
            _defect(f"{derived.name} does not follow from the ledger's lines", derived.name)
            for derived in self._derived
            if not derived.is_right()
        ]
        self._find_doubles()

    def keys(self) -> Keys:
        """The keys that the ledger names; there must be a first entry."""
        assert self.log is not None
        named = (self.log.public_key, *(change.entry.public_key for change in self.changes))
        return Keys(public_keys=tuple(base64.b64decode(key) for key in named), changes=tuple(self.changes))

    def on(self, day: int) -> Iterator[Filed]:
        """The files of a local date, such as 20260102, in the ledger's order."""
        there = np.array(self._days, np.uint32) == day
        for offset in np.array(self._day_offsets, np.uint64)[there].tolist():
            entry = self.entry_at(offset)
            if isinstance(entry, FILED):
                yield entry

    def days(self) -> dict[int, int]:
        """The local dates of all files, with how many there are."""
        days, counts = np.unique(np.array(self._days, np.uint32), return_counts=True)
        return dict(zip(days.tolist(), counts.tolist(), strict=True))

    def is_erased(self, entry: Filed) -> bool:
        """Whether an erasure after its last line names it."""
        subject = entries.subject(entry)
        return self._erased_after(subject, self._entries.at(_key(subject))[-1])

    def find(self, subject: Subject) -> Filed | None:
        """The last line about a file."""
        found: Filed | None = None
        for offset in self._entries.at(_key(subject)):
            entry = self.entry_at(offset)
            if isinstance(entry, FILED) and entries.subject(entry) == subject:
                found = entry
        return found

    def holds(self, size: int) -> Iterator[Hold]:
        """The entries about legal holds among the first `size` lines, in order."""
        for number, offset in self._holds:
            entry = self.entry_at(offset) if number < size else None
            if isinstance(entry, Hold):
                yield entry

    def entry_at(self, offset: int) -> Entry | None:
        """The entry whose line begins at `offset`; None when it is damaged."""
        if self._decoded[0] != offset:
            self._decoded = offset, self._decode(offset)
        return self._decoded[1]

    def _decode(self, offset: int) -> Entry | None:
        self._file.seek(offset)
        stored = b""
        while b"\n" not in stored and (piece := self._file.read(1024 if not stored else _READ_BYTES)):
            stored += piece
        try:
            return entries.parse(stored.partition(b"\n")[0])
        except LedgerError:
            return None

    def _take(self, offset: int, stored: bytes) -> None:
        try:
            entry: Entry | None = entries.parse(stored)
        except LedgerError:
            entry = None
        if isinstance(entry, Key):
            self.changes.append(KeyChange(number=self.size, entry=entry, root_before=self._frontier.root()))
        self._hash(entry, stored, offset)
        if entry is None:
            self._damaged += 1
            if self._damaged <= MAX_DAMAGED_LINES:
                self.defects.append(_defect(f"line {self.size} is damaged"))
        else:
            self._note(entry, offset)
        self._check_seal(entry, stored)

    def _hash(self, entry: Entry | None, stored: bytes, offset: int) -> None:
        leaf = entries.leaf(entry, stored) if entry is not None else hashlib.sha256(stored).digest()
        rows = names.rows_of(entry, self.size, offset) if entry is not None else b""
        self._derived[0].add(b"".join(self._frontier.append(merkle.leaf_hash(leaf))))
        self._derived[1].add(rows)
        if self.size in self._wanted:
            self.roots[self.size] = self._frontier.root()

    def _note(self, entry: Entry, offset: int) -> None:
        match entry:
            case Part() | Call() | Late():
                self._days.append(int(entry.day.replace("-", "")))
                self._day_offsets.append(offset)
                self._entries.add(_key(entries.subject(entry)), offset)
            case Erasure():
                for key in names.keys_of(entry):
                    self._erasures.add(key, offset)
            case Hold():
                self._holds.append((self.size - 1, offset))
            case Log() | NextLog() if self.size == 1:
                self.log = entry
            case Log() | NextLog():
                self.defects.append(_defect(f"line {self.size} begins another log"))
            case _:
                pass
        now_ns = instant_ns(entry.at)
        if now_ns < self.latest_ns - BACKWARDS_NS:
            back_s = (self.latest_ns - now_ns) // NS_PER_S
            self.notices.append(f"line {self.size} is dated {back_s} s before a line before it: the clock was set back")
        self.latest_ns = max(self.latest_ns, now_ns)

    def _check_seal(self, entry: Entry | None, stored: bytes) -> None:
        if not isinstance(entry, Seal):
            self._batch.update(stored + b"\n")
            self._batch_lines += 1
            return
        if (entry.entries, entry.sha256) != (self._batch_lines, self._batch.hexdigest()):
            first = self._batch_first + 1
            self.defects.append(_defect(f"lines {first} to {self.size} are not those that were sealed"))
        self._batch, self._batch_lines, self._batch_first = hashlib.sha256(), 0, self.size

    def _find_doubles(self) -> None:
        """A file that stands twice and was not erased in between is a forgery: the writer leaves it out."""
        keys, offsets = self._entries.sorted()
        for place in np.flatnonzero(keys[1:] == keys[:-1]).tolist():
            first, second = (self.entry_at(int(offsets[one])) for one in (place, place + 1))
            if not isinstance(first, FILED) or not isinstance(second, FILED):
                continue
            subject = entries.subject(first)
            if entries.subject(second) == subject and not self._erased_after(subject, int(offsets[place])):
                what = "the ledger holds it twice"
                self.defects.append(Defect(kind=Kind.LEDGER, subject=subject_of(first), path="", what=what))

    def _erased_after(self, subject: Subject, own: int) -> bool:
        for key in {names.key(subject.call_id), names.key(subject.call_id, subject.part)}:
            for offset in self._erasures.at(key):
                erasure = self.entry_at(offset) if offset > own else None
                if isinstance(erasure, Erasure) and entries.is_erased_by(erasure, subject):
                    return True
        return False

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Offset and content of each whole line from where the last reading ended."""
        rest, at = b"", self._end
        while True:
            self._file.seek(at + len(rest))
            piece = self._file.read(_READ_BYTES)
            if not piece or len(rest) > entries.MAX_ENTRY_BYTES:
                return
            *whole, rest = (rest + piece).split(b"\n")
            for stored in whole:
                yield at, stored
                at += len(stored) + 1


class _Derived:
    """A file beside the ledger, compared with what it must hold as that becomes known."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = f"ledger/{name}"
        self._expected = bytearray()
        self._compared = 0
        self._differs = False
        try:
            self._file: BinaryIO | None = (directory / name).open("rb", buffering=0)
        except FileNotFoundError:
            self._file = None  # it is not there, on a copy say, and nothing depends on it

    def add(self, content: bytes) -> None:
        """This follows."""
        self._expected += content
        if len(self._expected) > _READ_BYTES:
            self.compare()

    def compare(self) -> None:
        """Compare what is known by now."""
        if self._file is None:
            self._expected.clear()
            return
        stored = self._file.read(len(self._expected))
        # The writer brings the lines first and then this: what is not there yet is compared when asked again.
        self._differs = self._differs or stored != self._expected[: len(stored)]
        self._compared += len(stored)
        del self._expected[: len(stored)]

    def is_right(self) -> bool:
        """Whether it holds all of it and no more."""
        self.compare()
        return self._file is None or not (self._differs or self._expected or self._file.read(1))

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()


def subject_of(entry: Filed) -> str:
    """What an entry speaks of, for people, without numbers."""
    call = f"call {entry.call_id[:ID_DIGITS]} of {entry.day}"
    match entry:
        case Part():
            return f"part {entry.part} of {call}"
        case Call():
            return f"the record of {call}"
        case Late():
            return f"a record of late packets of {call}"


def _key(subject: Subject) -> int:
    """64 bits for a file; late packets of one call have many."""
    if subject.late is None:
        return names.key(subject.call_id, subject.part)
    named = f"{subject.call_id} {subject.late}"
    return int.from_bytes(hashlib.sha256(named.encode()).digest()[:8], "little")


def _defect(what: str, path: str = f"ledger/{ENTRIES}") -> Defect:
    return Defect(kind=Kind.LEDGER, subject=SUBJECT, path=path, what=what)
