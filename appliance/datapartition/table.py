"""A partition table (GPT, UEFI 2.10, section 5.3): a copy parsed, changed, and both copies serialised. Pure.

Sectors have 512 bytes, which is what the image is made for. What a table holds that this product does not know stays as
it is. The protective MBR is not touched.
"""

import struct
import zlib
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from appliance.datapartition.errors import TableError

SECTOR_BYTES = 512
PRIMARY = 1
"""The sector of the first copy's header; the other copy's is the disk's last."""
ENTRIES = 128
ENTRIES_SECTORS = ENTRIES * 128 // SECTOR_BYTES
_ALIGNED_SECTORS = 2048
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_SIGNATURE, _REVISION = b"EFI PART", 0x00010000
_UNUSED = bytes(16)


class State(StrEnum):
    """What the data partition is, as its name says."""

    UNMADE = "data-unmade"
    """Nothing is in it that anybody needs."""
    MADE = "data"
    ERASING = "data-erasing"
    """A factory reset was confirmed, and is not finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """An entry of the table."""

    type_id: bytes
    """GUID as stored; zeroes when the entry is not used."""
    id: bytes
    """GUID as stored."""
    first_sector: int
    last_sector: int
    attributes: int
    name: str

    @property
    def is_used(self) -> bool:
        """Whether there is such a partition."""
        return self.type_id != _UNUSED

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """An entry of 128 bytes."""
        type_id, own_id, first, last, attributes, name = _ENTRY.unpack(octets)
        text = name.decode("utf-16-le", "replace").partition("\0")[0]
        return cls(type_id=type_id, id=own_id, first_sector=first, last_sector=last, attributes=attributes, name=text)

    def serialize(self) -> bytes:
        """The 128 bytes."""
        name = self.name.encode("utf-16-le")
        return _ENTRY.pack(self.type_id, self.id, self.first_sector, self.last_sector, self.attributes, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What both copies say."""

    disk_id: bytes
    """GUID as stored."""
    first_usable: int
    last_usable: int
    partitions: tuple[Partition, ...]
    """All 128 entries; partition n is the one at n - 1."""

    def state(self, number: int) -> State:
        """Raises TableError when the partition has another name than the data partition can have."""
        name = self.partitions[number - 1].name
        try:
            return State(name)
        except ValueError:
            raise TableError(f"partition {number} is named {name!r}, not {State.MADE.value!r}") from None

    def named(self, number: int, state: State) -> Self:
        """With another name for a partition."""
        return self._with(number, replace(self.partitions[number - 1], name=state.value))

    def grown(self, number: int, disk_sectors: int) -> Self:
        """With all the room of the disk for a partition; as it is when there is none, or another one behind it."""
        partition = self.partitions[number - 1]
        last_usable = disk_sectors - ENTRIES_SECTORS - 2
        end = (last_usable + 1) // _ALIGNED_SECTORS * _ALIGNED_SECTORS - 1
        is_last = all(other.first_sector <= partition.first_sector for other in self.partitions if other.is_used)
        if not is_last or end <= partition.last_sector:
            return self
        table = replace(self, last_usable=last_usable)
        return table._with(number, replace(partition, last_sector=end))

    def _with(self, number: int, partition: Partition) -> Self:
        return replace(self, partitions=(*self.partitions[: number - 1], partition, *self.partitions[number:]))

    def primary(self, disk_sectors: int) -> bytes:
        """The first copy, as it lies from sector 1 on."""
        entries = self._entries()
        return self._header(PRIMARY, disk_sectors - 1, PRIMARY + 1, entries) + entries

    def backup(self, disk_sectors: int) -> bytes:
        """The other copy, as it lies at the disk's end: its entries come before its header."""
        entries = self._entries()
        at = disk_sectors - 1
        return entries + self._header(at, PRIMARY, at - ENTRIES_SECTORS, entries)

    def _entries(self) -> bytes:
        return b"".join(partition.serialize() for partition in self.partitions)

    def _header(self, at: int, other: int, entries_at: int, entries: bytes) -> bytes:
        def packed(checksum: int) -> bytes:
            return _HEADER.pack(
                _SIGNATURE,
                _REVISION,
                _HEADER.size,
                checksum,
                0,
                at,
                other,
                self.first_usable,
                self.last_usable,
                self.disk_id,
                entries_at,
                ENTRIES,
                _ENTRY.size,
                zlib.crc32(entries),
            )

        return packed(zlib.crc32(packed(0))).ljust(SECTOR_BYTES, b"\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A header that is whole: where the rest is, and how to know it."""

    other_at: int
    """Where the header of the other copy is said to be."""
    entries_at: int
    """Where its entries begin, which are `ENTRIES_SECTORS` long."""
    entries_checksum: int
    disk_id: bytes
    first_usable: int
    last_usable: int

    @classmethod
    def parse(cls, sector: bytes, at: int) -> Self:
        """The header in the sector `at`. Raises TableError."""
        fields = _HEADER.unpack_from(sector)
        signature, _, size, checksum, _, own_at, other_at, first, last, disk_id, entries_at, count, each, entries = (
            fields
        )
        if signature != _SIGNATURE or size != _HEADER.size or own_at != at:
            raise TableError(f"sector {at} holds no header of a partition table")
        if zlib.crc32(sector[:16] + bytes(4) + sector[20 : _HEADER.size]) != checksum:
            raise TableError(f"the header of the partition table in sector {at} is damaged")
        if (count, each) != (ENTRIES, _ENTRY.size):
            raise TableError(f"the partition table has {count} entries of {each} bytes, not {ENTRIES} of {_ENTRY.size}")
        return cls(
            other_at=other_at,
            entries_at=entries_at,
            entries_checksum=entries,
            disk_id=disk_id,
            first_usable=first,
            last_usable=last,
        )

    def table(self, entries: bytes) -> Table:
        """The table, given its entries. Raises TableError."""
        if zlib.crc32(entries) != self.entries_checksum:
            raise TableError(f"the entries of the partition table at sector {self.entries_at} are damaged")
        pieces = (entries[at : at + _ENTRY.size] for at in range(0, len(entries), _ENTRY.size))
        return Table(
            disk_id=self.disk_id,
            first_usable=self.first_usable,
            last_usable=self.last_usable,
            partitions=tuple(Partition.parse(piece) for piece in pieces),
        )
