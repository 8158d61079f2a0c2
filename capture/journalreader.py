"""Follows a journal that another process writes: whole blocks, in order, from any address on.

| at the position                         | in the newest file        | in an older file                   |
|-----------------------------------------|---------------------------|------------------------------------|
| a whole block                           | it is next                | it is next                         |
| nothing, or the beginning of a block    | wait                      | skip the rest, go on with the next |
| no block, intact ones follow            | skip to them              | skip to them                       |
| no block, nothing intact follows        | wait                      | skip the rest, go on with the next |
| a whole block whose data are damaged    | skip it                   | skip it                            |

Whether a newer file exists is asked before the file is looked at: then nothing more comes to it. An empty one is as
none, as it goes when the next capture starts. Damaged media are noticed by whoever reads their rows.
"""

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from capture import journal, journalscan
from capture.errors import JournalError, JournalForgottenError
from capture.journalfile import OFFSET_BITS, OFFSET_MASK

_OPEN_FILES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A place of the journal that could not be read."""

    file: int
    """Number of the file."""
    offset: int
    """Where in the file."""
    bytes: int | None
    """How much; None when the file is gone."""


class JournalReader:
    """Reads the journal in `directory`, which need not be there yet, from the address `position` on."""

    def __init__(self, directory: Path, position: int = 0) -> None:
        self._directory = directory
        self._number = position >> OFFSET_BITS
        self._offset = position & OFFSET_MASK
        self._descriptors: OrderedDict[int, int] = OrderedDict()
        self._synced = self._number
        """The file from which on not everything is known to be durable."""
        self._durable = position
        """Up to where all that was read is known to be durable."""
        self._searched = (-1, -1, -1)
        """File, offset and end of a search that found nothing, not to be done again until the file grows."""
        self.skipped: list[Skipped] = []
        """What could not be read, in order; whoever takes note of it may clear it."""

    @property
    def position(self) -> int:
        """Address to continue from."""
        return self._number << OFFSET_BITS | self._offset

    def behind_bytes(self) -> int:
        """Bytes that are written and not yet read."""
        sizes = {number: self._size(number) for number in self._numbers() if number >= self._number}
        return sum(sizes.values()) - min(self._offset, sizes.get(self._number, 0))

    def next(self) -> tuple[int, journal.Block] | None:
        """Read the next whole block and its address, of media header and directory only; None when there is none yet.

        Raises:
            OSError: a file that is there cannot be opened.
        """
        self._close_removed()
        while True:
            found = self._block_here()
            if found is None:
                if not self._go_on():
                    return None
                continue
            size, block = found
            address = self.position
            if block is None:
                self._skip(size)
                continue
            self._offset += size
            return address, block

    def read_into(self, address: int, target: memoryview) -> None:
        """Fill `target` with the bytes at `address`.

        Raises:
            JournalForgottenError: the file it was in was gone when the last block was asked for.
            JournalError: cut short or not readable.
        """
        try:
            descriptor = self._descriptor(address >> OFFSET_BITS)
            if descriptor is None:
                raise JournalForgottenError("journal has forgotten what is asked for")
            if os.preadv(descriptor, [target], address & OFFSET_MASK) == len(target):
                return
        except OSError as error:
            raise JournalError("journal cannot be read") from error
        raise JournalError("journal does not hold what is asked for")

    def sync(self) -> None:
        """Make durable all that was read so far: what is founded on it must not survive it.

        Raises:
            OSError: the disk lost something.
        """
        for number in [number for number in self._numbers() if self._synced <= number <= self._number]:
            if (descriptor := self._descriptor(number)) is not None:
                os.fdatasync(descriptor)
        self._synced, self._durable = self._number, self.position

    def secure(self) -> None:
        """Likewise, unless nothing was read since.

        Raises:
            OSError: the disk lost something.
        """
        if self._durable != self.position:
            self.sync()

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def _block_here(self) -> tuple[int, journal.Block | None] | None:
        """The size of the whole block at the position, and the block unless its data are damaged."""
        descriptor = self._descriptor(self._number)
        header = None if descriptor is None else journalscan.header_at(descriptor, self._offset)
        if descriptor is None or header is None:
            return None
        size = needed = int(header[0]["bytes"])
        if self._offset + size > os.fstat(descriptor).st_size:
            return None
        if header[0]["kind"] == journal.BlockKind.MEDIA:
            needed = journal.HEADER.itemsize + journal.directory_bytes(header)
        raw = np.frombuffer(journalscan.read(descriptor, self._offset, needed), np.uint8)
        # A block that the disk did not take whole is withdrawn, and another may have come into its place meanwhile.
        if raw[: journal.HEADER.itemsize].tobytes() != header.tobytes():
            return None
        try:
            return size, journal.parse(raw, self.position)
        except JournalError:
            directory = raw[journal.HEADER.itemsize :][: journal.directory_bytes(header)]
            return (size, None) if journal.checksum_fits(header, directory) else None

    def _go_on(self) -> bool:
        """Leave what is no whole block, if nothing can make it one; tell whether there is something to look at."""
        existing = self._numbers()
        self._close_all_but(existing)
        later = next((number for number in existing if number > self._number and self._size(number)), None)
        descriptor = self._descriptor(self._number)
        if descriptor is None:
            return self._leave(later, None)
        end = os.fstat(descriptor).st_size
        if end <= self._offset:
            return self._leave(later, 0)
        if later is None and self._searched == (self._number, self._offset, end):
            return False
        intact = self._find_intact(descriptor, end)
        if self._offset < intact < end:
            self._skip(intact - self._offset)
            return True
        if intact == self._offset and self._is_whole(descriptor):
            return True
        self._searched = (self._number, self._offset, end)
        return self._leave(later, end - self._offset)

    def _find_intact(self, descriptor: int, end: int) -> int:
        try:
            return journalscan.find_head(descriptor, self._offset, end)
        except JournalError:
            return end

    def _is_whole(self, descriptor: int) -> bool:
        header = journalscan.header_at(descriptor, self._offset)
        return header is not None and self._offset + int(header[0]["bytes"]) <= os.fstat(descriptor).st_size

    def _leave(self, later: int | None, left_bytes: int | None) -> bool:
        """Go on with a later file, if there is one; `left_bytes` are not read in this one, None when it is gone."""
        if later is None:
            return False
        if left_bytes or (left_bytes is None and self.position):
            self.skipped.append(Skipped(file=self._number, offset=self._offset, bytes=left_bytes))
        self._number, self._offset = later, 0
        return True

    def _skip(self, size: int) -> None:
        self.skipped.append(Skipped(file=self._number, offset=self._offset, bytes=size))
        self._offset += size

    def _numbers(self) -> list[int]:
        try:
            return journalscan.numbers(self._directory)
        except OSError:
            return []

    def _size(self, number: int) -> int:
        try:
            return journalscan.path_of(self._directory, number).stat().st_size
        except OSError:
            return 0

    def _descriptor(self, number: int) -> int | None:
        """The open file of this number; None when it is not there."""
        descriptor = self._descriptors.get(number)
        if descriptor is None:
            return self._open(number)
        self._descriptors.move_to_end(number)
        return descriptor

    def _close_removed(self) -> None:
        """Close what was forgotten meanwhile: else the disk would not get back its space."""
        for number in [number for number, file in self._descriptors.items() if os.fstat(file).st_nlink == 0]:
            self._close(number)

    def _open(self, number: int) -> int | None:
        try:
            descriptor = os.open(journalscan.path_of(self._directory, number), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        self._descriptors[number] = descriptor
        if len(self._descriptors) > _OPEN_FILES:
            self._close(next(iter(self._descriptors)))
        return descriptor

    def _close_all_but(self, existing: list[int]) -> None:
        for number in self._descriptors.keys() - set(existing):
            self._close(number)

    def _close(self, number: int) -> None:
        os.close(self._descriptors.pop(number))

    def __enter__(self) -> "JournalReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
