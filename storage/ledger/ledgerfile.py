"""The ledger's lines on the disk, and what is derived from them.

    entries.jsonl   the lines
    hashes          the Merkle tree's stored hashes, 32 bytes each (see `merkle`)
    names           where which call is spoken of (see `names`)

Lines behind the last checkpoint may be torn by a power cut and are cut off from the first that is not whole; nothing
was told of them yet. Lines before it are never touched. What is derived is made again from the lines when it is absent
or does not fit the checkpoint.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from storage.disk import Disk
from storage.errors import LedgerBrokenError, LedgerError, from_os_error
from storage.ledger import entries, merkle
from storage.ledger.appendfile import AppendFile
from storage.ledger.checkpoint import Checkpoint
from storage.ledger.entries import Entry
from storage.ledger.merkle import HASH_BYTES, Frontier
from storage.ledger.names import Names

ENTRIES, HASHES, NAMES = "entries.jsonl", "hashes", "names"
_READ_BYTES = 1 << 20
_DERIVED_AT_ONCE = 1 << 16
_LINE_BYTES = 1 << 10
"""Read at once for a single line; most are shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the ledger."""

    number: int
    """Its number, from 0: the index of its leaf."""
    offset: int
    """Where it begins in the file, in bytes."""
    stored: bytes
    """The line without its newline."""
    entry: Entry
    """What it says."""


class LedgerFile:
    """The open files of one ledger. Not for two processes at once."""

    def __init__(self, directory: Path, checkpoint: Checkpoint | None, disk: Disk) -> None:
        """Open them, derive what is missing, cut off a torn end.

        Raises LedgerBrokenError when the lines are not those of `checkpoint`, ArchiveError when the disk fails.
        """
        try:
            self._entries = AppendFile(disk, directory / ENTRIES)
            self._hashes = AppendFile(disk, directory / HASHES)
            self._derived = AppendFile(disk, directory / NAMES)
        except OSError as error:
            raise from_os_error(error, "open the ledger") from error
        self._names = Names(self._derived)
        self._frontier = Frontier()
        self._end = 0
        self.torn_bytes = 0
        """What was cut off of a line that was not whole."""
        try:
            self._recover(checkpoint)
        except OSError as error:
            self.close()
            raise from_os_error(error, "read the ledger") from error
        except LedgerError:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Entries, those that wait included."""
        return self._frontier.size

    def close(self) -> None:
        """Close the files; what waits is forgotten."""
        for file in (self._entries, self._hashes, self._derived):
            file.close()

    def append(self, entry: Entry, stored: bytes) -> None:
        """Add a line; it waits in memory for `flush`."""
        self._derive(Line(number=self.size, offset=self._entries.size_bytes, stored=stored, entry=entry))
        self._entries.append(stored + b"\n")

    def flush(self) -> None:
        """Bring what waits to the disk, the lines first.

        Raises DiskFullError or ArchiveError; it goes on waiting then.
        """
        try:
            for file in (self._entries, self._hashes, self._derived):
                file.flush()
        except OSError as error:
            raise from_os_error(error, "write the ledger") from error

    def root(self) -> bytes:
        """The root over all entries, those that wait included."""
        return self._frontier.root()

    def read_hash(self, place: int) -> bytes:
        """A stored hash."""
        return self._hashes.read(place * HASH_BYTES, HASH_BYTES)

    def lines(self, first: int = 0) -> Iterator[Line]:
        """The lines from number `first` on. Raises LedgerBrokenError at one that is none."""
        offset = self._names.offset(first) if first < self.size else self._entries.size_bytes
        for number, (at, stored) in enumerate(self._whole_lines(offset), first):
            yield _read(number, at, stored)

    def named(self, keys: set[int]) -> Iterator[Line]:
        """The lines that may speak of what has one of these keys, oldest first."""
        for number, offset in self._names.places(keys):
            yield self._line(number, offset)

    def _recover(self, checkpoint: Checkpoint | None) -> None:
        signed = checkpoint.size if checkpoint else 0
        if self._begin(signed):
            self._derive_tail()
        if checkpoint is not None and not self._holds(checkpoint):
            # What is derived may be wrong rather than the lines: from the lines alone, once.
            self._begin(0)
            self._derive_tail()
            if not self._holds(checkpoint):
                raise LedgerBrokenError(
                    f"the ledger's {self.size} lines are not those of its checkpoint over {signed}: "
                    "truncated, altered, or another ledger's"
                )
        self.torn_bytes = self._entries.size_bytes - self._end
        self._entries.cut(self._end)
        self._flush_derived()

    def _begin(self, size: int) -> bool:
        """Go back to the first `size` entries; False, and to none, when what is derived does not reach so far."""
        known = self._names.reaches(size) and self._hashes.size_bytes >= merkle.stored_count(size) * HASH_BYTES
        self._end = 0
        if size and known:
            try:
                last = self._line(size - 1, self._names.offset(size - 1))
                # A wrong offset would make lines that are there look new, or torn.
                known = _leaf_hash(last) == self.read_hash(merkle.stored_place(0, size - 1))
                self._end = last.offset + len(last.stored) + 1 if known else 0
            except LedgerBrokenError:
                known = False
        size = size if known else 0
        self._hashes.cut(merkle.stored_count(size) * HASH_BYTES)
        self._names.cut(size)
        self._frontier = Frontier(size, self.read_hash)
        return known

    def _derive_tail(self) -> None:
        """Derive what follows from the lines that are whole."""
        for at, stored in self._whole_lines(self._end):
            try:
                entry = entries.parse(stored)
            except LedgerError:
                return
            self._derive(Line(number=self.size, offset=at, stored=stored, entry=entry))
            self._end = at + len(stored) + 1
            if not self.size % _DERIVED_AT_ONCE:
                self._flush_derived()

    def _flush_derived(self) -> None:
        """Write what is derived while recovering; what the disk does not take goes on waiting."""
        with contextlib.suppress(OSError):
            self._hashes.flush()
            self._derived.flush()

    def _holds(self, checkpoint: Checkpoint) -> bool:
        size = checkpoint.size
        return size <= self.size and merkle.root(size, self.read_hash) == checkpoint.root

    def _derive(self, line: Line) -> None:
        for one in self._frontier.append(_leaf_hash(line)):
            self._hashes.append(one)
        self._names.add(line.entry, line.number, line.offset)

    def _line(self, number: int, offset: int) -> Line:
        at, stored = next(self._whole_lines(offset, _LINE_BYTES), (offset, b""))
        return _read(number, at, stored)

    def _whole_lines(self, offset: int, read_bytes: int = _READ_BYTES) -> Iterator[tuple[int, bytes]]:
        """Offset and content of every line that ends in a newline, from `offset` on."""
        rest, at = b"", offset
        while piece := self._entries.read(at + len(rest), read_bytes):
            *whole, rest = (rest + piece).split(b"\n")
            for stored in whole:
                yield at, stored
                at += len(stored) + 1
            if len(rest) > entries.MAX_ENTRY_BYTES:
                return


def _read(number: int, offset: int, stored: bytes) -> Line:
    try:
        return Line(number=number, offset=offset, stored=stored, entry=entries.parse(stored))
    except LedgerError as error:
        raise LedgerBrokenError(f"line {number + 1} of the ledger is damaged: {error}") from error


def _leaf_hash(line: Line) -> bytes:
    return merkle.leaf_hash(entries.leaf(line.entry, line.stored))
