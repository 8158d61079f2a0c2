"""The journal of an import: append blocks, read rows back, forget what nobody needs.

An address in the journal is `file number << 40 | offset`. The files have no name: they vanish with the process, however
it ends, because the capture they came from is still there. The newest bytes are held in memory, so that a small import
makes no file at all; full, that memory goes to the file as whole units (see `unitfile`).
"""

import mmap
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from capture import journal
from capture.errors import JournalError
from capture.unitfile import UNIT_BYTES, UnitCache, UnitFile

FILE_BYTES = 256 << 20
"""A file is closed and the next one begun when it has grown past this."""
OFFSET_BITS = 40
OFFSET_MASK = (1 << OFFSET_BITS) - 1
HELD_BYTES = 64 * UNIT_BYTES
"""What is held in memory before it is written."""


class TransientJournal:
    """A journal that lives as long as the process, in memory and in unnamed files of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held = memoryview(mmap.mmap(-1, HELD_BYTES))
        """The end of the newest file."""
        self._cache = UnitCache()
        self._files: dict[int, UnitFile] = {}
        self._sizes: dict[int, int] = {}
        """Bytes of each file that is not forgotten, those in memory included."""
        self._number = -1
        self._written = 0
        """Bytes of the newest file that are in it."""
        self.bytes_written = 0

    @property
    def end(self) -> int:
        """Address behind the last block."""
        return max(self._number, 0) << OFFSET_BITS | self._sizes.get(self._number, 0)

    def append(self, pieces: Sequence[npt.NDArray[np.uint8]]) -> int:
        """Take a block; return its address.

        Raises:
            OSError: the disk did not take what was held in memory; it still is.
        """
        if self._number < 0 or self._sizes[self._number] >= FILE_BYTES:
            self._begin_file()
        address = self.end
        for piece in pieces:
            if len(piece):
                self._hold(piece.data)
        return address

    def _begin_file(self) -> None:
        if self._number >= 0:
            self._write()
        self._number += 1
        self._written = 0
        self._sizes[self._number] = 0

    def _hold(self, buffer: memoryview) -> None:
        while buffer:
            filled = self._sizes[self._number] - self._written
            if filled == HELD_BYTES:
                self._write()
                filled = 0
            taken = min(HELD_BYTES - filled, len(buffer))
            self._held[filled : filled + taken] = buffer[:taken]
            self._sizes[self._number] += taken
            self.bytes_written += taken
            buffer = buffer[taken:]

    def _write(self) -> None:
        """Write what is held, up to the end of its last unit."""
        if self._number not in self._files:
            self._files[self._number] = UnitFile(self._directory)
        units = -(-(self._sizes[self._number] - self._written) // UNIT_BYTES)
        self._files[self._number].append(self._held[: units * UNIT_BYTES])
        self._written += units * UNIT_BYTES

    def read_into(self, address: int, target: memoryview) -> None:
        """Fill `target` with the bytes at `address`.

        Raises:
            JournalError: forgotten or cut short.
        """
        number, offset = address >> OFFSET_BITS, address & OFFSET_MASK
        if offset + len(target) > self._sizes.get(number, -1):
            raise JournalError("journal does not hold what is asked for")
        filled = 0
        while filled < len(target):
            source = self._from(number, offset + filled)[: len(target) - filled]
            target[filled : filled + len(source)] = source
            filled += len(source)

    def _from(self, number: int, offset: int) -> memoryview:
        """Return some of the bytes from an offset of a file on, which holds at least one there."""
        if number == self._number and offset >= self._written:
            return self._held[offset - self._written :]
        unit, inside = divmod(offset, UNIT_BYTES)
        return self._cache.unit(self._files[number], unit)[inside:]

    def block(self, address: int) -> journal.Block:
        """Read and check the block at `address`; of media the directory only."""
        raw = bytearray(journal.HEADER.itemsize)
        self.read_into(address, memoryview(raw))
        header = journal.parse_header(bytes(raw))
        size = int(header[0]["bytes"])
        if header[0]["kind"] == journal.BlockKind.MEDIA:
            size = journal.HEADER.itemsize + journal.directory_bytes(header)
        whole = np.empty(size, np.uint8)
        self.read_into(address, whole.data)
        return journal.parse(whole, address)

    def forget_before(self, address: int) -> None:
        """Drop the files that lie wholly before `address`."""
        for number in [n for n in self._sizes if n < min(address >> OFFSET_BITS, self._number)]:
            self._forget(number)

    def _forget(self, number: int) -> None:
        del self._sizes[number]
        file = self._files.pop(number, None)
        if file is not None:
            self._cache.forget(file)
            file.close()

    def close(self) -> None:
        """Drop everything."""
        for number in list(self._sizes):
            self._forget(number)

    def __enter__(self) -> "TransientJournal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
