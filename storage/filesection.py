"""A stretch of a file, to read and to seek in as a file of its own: what a stored ZIP entry is, nothing more read."""

import io
import os
import struct
import zipfile
from typing import BinaryIO

_LOCAL_HEADER = struct.Struct("<26xHH")
"""Lengths of name and extra field in a ZIP's local header (APPNOTE 6.3.10, section 4.3.7)."""


class FileSection(io.RawIOBase):
    """Bytes `first` to `first + size` of an open file, which is shared: its own position is not used."""

    def __init__(self, file: BinaryIO, first_bytes: int, size_bytes: int) -> None:
        self._fileno = file.fileno()
        self.extent = range(first_bytes, first_bytes + size_bytes)
        """Where it lies in the file."""
        self._first = first_bytes
        self._size = size_bytes
        self._position = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, as in any file."""
        self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what fits and is there."""
        wanted = max(0, min(len(buffer), self._size - self._position))
        read = os.preadv(self._fileno, [memoryview(buffer)[:wanted]], self._first + self._position)
        self._position += read
        return read


def stored_entry(file: BinaryIO, bundle: zipfile.ZipFile, name: str) -> FileSection:
    """Return a stored entry of `bundle`, which was opened on `file`.

    Its checksum is not looked at. Raises KeyError when there is no such entry, `zipfile.BadZipFile` when it is none
    that we store.
    """
    entry = bundle.getinfo(name)
    header = os.pread(file.fileno(), _LOCAL_HEADER.size, entry.header_offset)
    if entry.compress_type != zipfile.ZIP_STORED or len(header) < _LOCAL_HEADER.size:
        raise zipfile.BadZipFile(f"{name} is not stored")
    first = entry.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(header))
    return FileSection(file, first, entry.file_size)
