"""The ZIP around a part: stored entries whose sizes are known in advance (PKWARE APPNOTE 6.3.10, sections 4.3 and 4.4).

Pure: bytes of the structures only. No compression (audio does not deflate usefully), no encryption, no data
descriptors, no Zip64: a part stays below 4 GiB. Every field follows from the arguments, so the same part gives the same
bytes.
"""

import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

MAX_BYTES = 0xFFFF_FFFE
"""Greatest size or offset without Zip64, whose marker is all ones."""
_VERSION_NEEDED = 20
_MADE_BY_UNIX = 3 << 8 | _VERSION_NEEDED
_UTF8_NAMES = 1 << 11
_STORED = 0
_UNIX_FILE_0640 = (stat.S_IFREG | 0o640) << 16
_LOCAL_HEADER = struct.Struct("<IHHHHHIIIHH")
_CENTRAL_HEADER = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A stored file in the ZIP."""

    name: str
    """Its name."""
    crc32: int
    """CRC-32 of its content."""
    size_bytes: int
    """Length of its content."""
    offset_bytes: int
    """Where its local header begins in the ZIP."""
    modified: datetime
    """Local time; ZIP keeps two-second steps from 1980 to 2107 and no zone."""


def local_header(entry: Entry) -> bytes:
    """What stands before the content. Its length depends on the name alone."""
    return _LOCAL_HEADER.pack(0x04034B50, _VERSION_NEEDED, *_shared_fields(entry)) + entry.name.encode()


def central_directory(entries: Sequence[Entry], offset_bytes: int) -> bytes:
    """What stands at the end, from `offset_bytes` of the ZIP on."""
    directory = b"".join(
        _CENTRAL_HEADER.pack(
            0x02014B50,
            _MADE_BY_UNIX,
            _VERSION_NEEDED,
            *_shared_fields(entry),
            0,
            0,
            0,
            _UNIX_FILE_0640,
            entry.offset_bytes,
        )
        + entry.name.encode()
        for entry in entries
    )
    return directory + _END.pack(0x06054B50, 0, 0, len(entries), len(entries), len(directory), offset_bytes, 0)


def _shared_fields(entry: Entry) -> tuple[int, ...]:
    """Flags to the extra field's length, which both headers have alike."""
    date, time = _dos_date_time(entry.modified)
    name_bytes = len(entry.name.encode())
    return (_UTF8_NAMES, _STORED, time, date, entry.crc32, entry.size_bytes, entry.size_bytes, name_bytes, 0)


def _dos_date_time(moment: datetime) -> tuple[int, int]:
    if moment.year < 1980:
        moment = datetime(1980, 1, 1)
    elif moment.year > 2107:
        moment = datetime(2107, 12, 31, 23, 59, 58)
    date = (moment.year - 1980) << 9 | moment.month << 5 | moment.day
    return date, moment.hour << 11 | moment.minute << 5 | moment.second // 2
