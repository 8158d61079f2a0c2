"""A file that only grows: what is added waits in memory until it is written at its place, however often that takes."""

import os
from pathlib import Path

from storage.disk import Disk


class AppendFile:
    """One open file. Its methods raise OSError."""

    def __init__(self, disk: Disk, path: Path) -> None:
        """Open it, or make it."""
        self._disk = disk
        self._descriptor = disk.open(path)
        self._waiting = bytearray()
        self.written_bytes = os.fstat(self._descriptor).st_size
        """How much is in the file."""

    @property
    def size_bytes(self) -> int:
        """How long the file is with what waits."""
        return self.written_bytes + len(self._waiting)

    def close(self) -> None:
        """Close it; what waits is forgotten."""
        os.close(self._descriptor)

    def append(self, content: bytes) -> None:
        """Add to what waits."""
        self._waiting += content

    def flush(self) -> None:
        """Bring what waits to the disk. When that fails it goes on waiting, and another try writes the same again."""
        if not self._waiting:
            return
        # At its place, not at the end: a try that failed may have left some of it there, and after a failed fsync
        # only a page that is written anew is tried again.
        done = 0
        while done < len(self._waiting):
            chunk = bytes(self._waiting[done : done + (1 << 20)])
            done += self._disk.write_at(self._descriptor, chunk, self.written_bytes + done)
        self._disk.fsync(self._descriptor)
        self.written_bytes += done
        self._waiting.clear()

    def read(self, offset_bytes: int, count_bytes: int) -> bytes:
        """Read `count_bytes`, or fewer at the end, of what is written or waits."""
        end = min(offset_bytes + count_bytes, self.size_bytes)
        content = bytearray()
        while (at := offset_bytes + len(content)) < min(end, self.written_bytes):
            piece = os.pread(self._descriptor, min(end, self.written_bytes) - at, at)
            if not piece:
                break
            content += piece
        if end > self.written_bytes:
            first = max(offset_bytes - self.written_bytes, 0)
            content += self._waiting[first : end - self.written_bytes]
        return bytes(content)

    def cut(self, size_bytes: int) -> None:
        """Forget what waits and cut off what lies behind `size_bytes`."""
        self._waiting.clear()
        if self.written_bytes > size_bytes:
            self._disk.truncate(self._descriptor, size_bytes)
            self.written_bytes = size_bytes
