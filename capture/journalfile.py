"""The journal on disk: append blocks, read rows back, forget what nobody needs.

An address in the journal is `file number << 40 | offset`. The files of an import have no name: they vanish with the
process, however it ends, because the capture they came from is still there.
"""

import os
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import numpy.typing as npt

from capture import journal
from capture.errors import JournalError

FILE_BYTES = 256 << 20
"""A file is closed and the next one begun when it has grown past this."""
OFFSET_BITS = 40
OFFSET_MASK = (1 << OFFSET_BITS) - 1


class TransientJournal:
    """A journal that lives as long as the process, in unnamed files of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: OrderedDict[int, IO[bytes]] = OrderedDict()
        self._number = -1
        self._offset = 0
        self.bytes_written = 0

    @property
    def end(self) -> int:
        """Address behind the last block."""
        return max(self._number, 0) << OFFSET_BITS | self._offset

    def append(self, pieces: Sequence[npt.NDArray[np.uint8]]) -> int:
        """Write a block; return its address."""
        if self._number < 0 or self._offset >= FILE_BYTES:
            self._begin_file()
        address = self._number << OFFSET_BITS | self._offset
        buffers = [piece.data for piece in pieces if len(piece)]
        for buffer in buffers:
            self._write(buffer)
        return address

    def _begin_file(self) -> None:
        self._number += 1
        self._offset = 0
        # Has no name where the file system can (O_TMPFILE), and loses it at once where it cannot.
        self._files[self._number] = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115

    def _write(self, buffer: memoryview) -> None:
        descriptor = self._files[self._number].fileno()
        while buffer:
            written = os.write(descriptor, buffer)
            self._offset += written
            self.bytes_written += written
            buffer = buffer[written:]

    def read_into(self, address: int, target: memoryview) -> None:
        """Fill `target` with the bytes at `address`.

        Raises:
            JournalError: forgotten or cut short.
        """
        file = self._files.get(address >> OFFSET_BITS)
        if file is None or os.preadv(file.fileno(), [target], address & OFFSET_MASK) != len(target):
            raise JournalError("journal does not hold what is asked for")

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
        while self._files and (oldest := next(iter(self._files))) < min(address >> OFFSET_BITS, self._number):
            self._files.pop(oldest).close()

    def close(self) -> None:
        """Drop everything."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def __enter__(self) -> "TransientJournal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
