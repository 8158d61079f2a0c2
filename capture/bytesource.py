"""Where a capture file's bytes come from: the file as it is, or what its gzip data (RFC 1952) unpack to."""

import zlib
from typing import Protocol

_CHUNK_BYTES = 256 << 10
_GZIP_WINDOW = 31
GZIP_MAGIC = b"\x1f\x8b"


class ReadableFile(Protocol):
    """The part of an unbuffered binary file that is used here."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read up to `len(buffer)` bytes; 0 at the end."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class ByteSource(Protocol):
    """Bytes to be read once, front to back."""

    offset_name: str
    """How a position in these bytes is called in messages."""
    damage: str | None
    """Why there was no more to read, when that is not the file's end."""

    @property
    def position_bytes(self) -> int:
        """How far the file on disk was read."""
        ...

    def readinto(self, target: memoryview) -> int:
        """Fill the beginning of `target`; 0 at the end."""
        ...


class PlainSource:
    """The file's own bytes."""

    offset_name = "offset"

    def __init__(self, file: ReadableFile) -> None:
        self._file = file
        self.position_bytes = 0
        self.damage: str | None = None

    def readinto(self, target: memoryview) -> int:
        """Fill the beginning of `target`; 0 at the end or when the medium fails."""
        try:
            size = self._file.readinto(target) or 0
        except OSError as error:
            self.damage = f"offset {self.position_bytes}: {error.strerror}"
            return 0
        self.position_bytes += size
        return size


class GzipSource:
    """What the gzip data of a file unpack to, every byte before damage. `head` is what was already read of the file."""

    offset_name = "uncompressed offset"

    def __init__(self, plain: ByteSource, head: bytes) -> None:
        self._plain = plain
        self._packed = head
        self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        self.damage: str | None = None
        self._ended = False

    @property
    def position_bytes(self) -> int:
        """How far the file on disk was read and unpacked."""
        return self._plain.position_bytes - len(self._packed)

    def readinto(self, target: memoryview) -> int:
        """Fill the beginning of `target`; 0 at the end."""
        while not self._ended:
            if not self._packed:
                self._packed = self._more()
            at_end = not self._packed
            if self._inflate.eof:
                self._next_member()
            elif unpacked := self._unpack(len(target)):
                target[: len(unpacked)] = unpacked
                return len(unpacked)
            elif at_end and not self._ended:
                self._fail(self._plain.damage or f"offset {self.position_bytes}: gzip data end early")
        return 0

    def _more(self) -> bytes:
        chunk = memoryview(bytearray(_CHUNK_BYTES))
        return bytes(chunk[: self._plain.readinto(chunk)])

    def _next_member(self) -> None:
        """Go on to a further member; zeros may fill the space behind the last one."""
        if not self._packed:
            self._ended = True
            self.damage = self._plain.damage
        elif self._packed[:1] == GZIP_MAGIC[:1]:
            self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        elif stripped := self._packed.lstrip(b"\0"):
            self._packed = stripped
            if stripped[:1] != GZIP_MAGIC[:1]:
                self._fail(f"offset {self.position_bytes}: neither gzip data nor padding")
        else:
            self._packed = b""

    def _unpack(self, limit: int) -> bytes:
        before = self._inflate.copy()
        try:
            unpacked = self._inflate.decompress(self._packed, limit)
        except zlib.error:
            return self._unpack_up_to_damage(before, limit)
        self._packed = self._inflate.unconsumed_tail or self._inflate.unused_data
        return unpacked

    def _unpack_up_to_damage(self, inflate: "zlib._Decompress", limit: int) -> bytes:
        """Repeat the failed step byte by byte, so that nothing that lies before the damage is lost."""
        unpacked = bytearray()
        for index in range(len(self._packed)):
            try:
                unpacked += inflate.decompress(self._packed[index : index + 1])
            except zlib.error:
                self._packed = self._packed[index:]
                break
        self._fail(f"offset {self.position_bytes}: gzip data are damaged")
        return bytes(unpacked[:limit])

    def _fail(self, damage: str) -> None:
        self._ended = True
        self.damage = damage
