"""GUID partition tables (UEFI 2.10, 5.3), read, and made anew for another disk. Pure.

Only what an image needs: sectors of 512 bytes, and entries of the size that everybody writes.
"""

import dataclasses
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from appliance.flashing.errors import ImageError

SECTOR_BYTES = 512
TABLE_SECTORS = 34
"""Of the primary table: protective MBR, header, entries."""
BACKUP_SECTORS = TABLE_SECTORS - 1
"""Of the backup at the disk's end: entries, header."""
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_SIGNATURE, _REVISION = b"EFI PART", 0x10000
_ENTRY = struct.Struct("<16s16sQQQ72s")
_ENTRIES, _ENTRIES_SECTORS = 128, 32
_MBR_PARTITION = slice(446, 462)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition, as its entry has it."""

    type: UUID
    id: UUID
    first_sector: int
    last_sector: int
    """Included."""
    attributes: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a table says."""

    disk_id: UUID
    partitions: tuple[Partition, ...]
    """In their order, none left out between two of them."""
    disk_sectors: int
    """The disk that it was made for."""


def parse(sectors: bytes) -> Table:
    """Read the first `TABLE_SECTORS` sectors of a disk.

    Raises:
        ImageError: no table, or one that is damaged or unusual.
    """
    if len(sectors) < TABLE_SECTORS * SECTOR_BYTES:
        raise ImageError("shorter than a partition table")
    entries = sectors[2 * SECTOR_BYTES : TABLE_SECTORS * SECTOR_BYTES]
    return _parse(sectors[SECTOR_BYTES:], entries, where="at its beginning", at=1, entries_at=2)


def parse_backup(sectors: bytes, disk_sectors: int) -> Table:
    """Read the last `BACKUP_SECTORS` sectors of a disk of this size.

    Raises:
        ImageError: no table, or one that is damaged or unusual.
    """
    if len(sectors) < BACKUP_SECTORS * SECTOR_BYTES:
        raise ImageError("shorter than a partition table")
    at = disk_sectors - 1
    header = sectors[_ENTRIES_SECTORS * SECTOR_BYTES :]
    return _parse(
        header, sectors[: _ENTRIES * _ENTRY.size], where="at its end", at=at, entries_at=at - _ENTRIES_SECTORS
    )


def _parse(sector: bytes, entries: bytes, *, where: str, at: int, entries_at: int) -> Table:
    """A copy whose header has to be in the sector `at`."""
    header = sector[: _HEADER.size]
    signature, _, size, checksum, _, own_at, other_at, _, _, disk_id, *form, entries_checksum = _HEADER.unpack(header)
    if signature != _SIGNATURE:
        raise ImageError(f"no GUID partition table {where}")
    if size != _HEADER.size or zlib.crc32(header[:16] + bytes(4) + header[20:]) != checksum:
        raise ImageError("the header of its partition table is damaged")
    if own_at != at or form != [entries_at, _ENTRIES, _ENTRY.size]:
        raise ImageError("its partition table has an unusual form")
    if zlib.crc32(entries) != entries_checksum:
        raise ImageError("the entries of its partition table are damaged")
    partitions = []
    for type_id, own_id, first, last, attributes, name in _ENTRY.iter_unpack(entries):
        if any(type_id):
            partitions.append(
                Partition(
                    type=UUID(bytes_le=type_id),
                    id=UUID(bytes_le=own_id),
                    first_sector=first,
                    last_sector=last,
                    attributes=attributes,
                    name=name.decode("utf-16-le", "replace").rstrip("\0"),
                )
            )
    return Table(disk_id=UUID(bytes_le=disk_id), partitions=tuple(partitions), disk_sectors=max(at, other_at) + 1)


def renewed(table: Table, disk_sectors: int, fresh: Callable[[], UUID]) -> Table:
    """Return the table for a disk of this size, with ids that no other disk has; types and places stay."""
    return Table(
        disk_id=fresh(),
        partitions=tuple(dataclasses.replace(each, id=fresh()) for each in table.partitions),
        disk_sectors=disk_sectors,
    )


def serialize(table: Table) -> tuple[bytes, bytes]:
    """Return the first `TABLE_SECTORS` and the last `BACKUP_SECTORS` sectors of a disk with this table."""
    entries = b"".join(
        _ENTRY.pack(
            *(each.type.bytes_le, each.id.bytes_le, each.first_sector, each.last_sector, each.attributes),
            each.name.encode("utf-16-le"),
        )
        for each in table.partitions
    ).ljust(_ENTRIES * _ENTRY.size, b"\0")
    last = table.disk_sectors - 1
    primary = _header(table, entries, at=1, other=last, entries_at=2)
    backup = _header(table, entries, at=last, other=1, entries_at=last - _ENTRIES_SECTORS)
    return _protective(table.disk_sectors) + primary + entries, entries + backup


def _header(table: Table, entries: bytes, *, at: int, other: int, entries_at: int) -> bytes:
    last_usable = table.disk_sectors - 1 - BACKUP_SECTORS

    def pack(checksum: int) -> bytes:
        return _HEADER.pack(
            *(_SIGNATURE, _REVISION, _HEADER.size, checksum, 0, at, other),
            *(TABLE_SECTORS, last_usable, table.disk_id.bytes_le),
            *(entries_at, _ENTRIES, _ENTRY.size, zlib.crc32(entries)),
        )

    return pack(zlib.crc32(pack(0))).ljust(SECTOR_BYTES, b"\0")


def _protective(disk_sectors: int) -> bytes:
    """The MBR that keeps old programs off (5.2.3)."""
    covered = min(disk_sectors - 1, 0xFFFFFFFF)
    record = bytearray(SECTOR_BYTES)
    record[_MBR_PARTITION] = struct.pack("<B3sB3sII", 0, b"\x00\x02\x00", 0xEE, b"\xff\xff\xff", 1, covered)
    record[510:] = b"\x55\xaa"
    return bytes(record)
