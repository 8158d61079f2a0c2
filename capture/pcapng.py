"""The pcapng format (draft-ietf-opsawg-pcapng): sections of blocks, each with its byte order and interfaces.

Packets come from Enhanced, Simple and the obsolete Packet Blocks. Interfaces are numbered through the whole file, so
number 0 of a second section differs from number 0 of the first. Name resolution, statistics, secrets and the like are
passed over; options are read from interface descriptions only.
"""

import struct
from collections.abc import Iterator

import numpy as np

from capture.blockchain import (
    ENHANCED,
    INTERFACE,
    LEAST_BLOCK_BYTES,
    LEAST_BYTES,
    PACKET,
    PACKET_BLOCKS,
    PACKET_HEAD_BYTES,
    PACKETLESS_BLOCKS,
    SIMPLE,
    SIMPLE_HEAD_BYTES,
    STATE_BLOCKS,
    TRAILER_BYTES,
    BlockChain,
    length_fault,
    trailer_fault,
)
from capture.lanes import Bytes, Flags, Int64s, RecordFinder, Words
from capture.recordscan import MAX_RECORD_BYTES, Columns, Interface, Scan, anywhere, gather
from capture.tickclock import TickClocks

_SECTION_MAGIC = b"\x0a\x0d\x0d\x0a"
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_OPTION_NAME, _OPTION_RESOLUTION, _OPTION_OFFSET = 2, 9, 14
_MICROSECOND_RESOLUTION = 6
_MAX_INTERFACES = 1 << 16
_MAX_SECTIONS = _MAX_INTERFACES
"""A section without an interface has no packets, so more of them only cost time."""
_HEAD_WORDS = 7


def recognised(head: bytes) -> bool:
    """Whether a file that begins with `head` is a pcapng."""
    return head[:4] == _SECTION_MAGIC and head[8:12] in _ORDERS


class PcapngScanner:
    """Turns windows of one pcapng into columns. `head` is the file's beginning, at least its first section header."""

    first_record = 0

    def __init__(self, head: bytes) -> None:
        self.interfaces: list[Interface] = []
        self.skipped_blocks = 0
        self.missing_time = 0
        self._clocks = TickClocks(_MAX_INTERFACES)
        self._link_types = np.zeros(_MAX_INTERFACES, np.uint16)
        self._finder = RecordFinder()
        self._sections = 0
        self._section_base = 0
        self._last_ts_ns = 0
        self._begin_section(_ORDERS[head[8:12]])

    def scan(self, buffer: Bytes, begin: int, end: int) -> Scan:
        """Take one section header or interface description, or the whole blocks up to the next of those."""
        if end - begin < LEAST_BLOCK_BYTES:
            return Scan(position=begin, needs_bytes=LEAST_BLOCK_BYTES)
        head = bytes(buffer[begin : begin + LEAST_BLOCK_BYTES])
        if head[:4] == _SECTION_MAGIC:
            if head[8:] not in _ORDERS:
                return Scan(position=begin, damage="section header without byte-order magic")
            self._begin_section(_ORDERS[head[8:]])
        kind, length = self._head.unpack_from(head)
        if kind in STATE_BLOCKS:
            return self._state_block(buffer, begin, end, kind, length)
        return self._blocks(buffer, begin, end)

    def tail(self, buffer: Bytes, begin: int, end: int) -> Columns | None:
        """Take what is there of the last packet block's frame; None when nothing is."""
        room = end - begin
        kind = self._head.unpack_from(buffer.data, begin)[0] if room >= self._head.size else None
        head_bytes = SIMPLE_HEAD_BYTES if kind == SIMPLE else PACKET_HEAD_BYTES
        if kind not in PACKET_BLOCKS or room <= head_bytes:
            return None
        starts = np.array([begin], np.int64)
        columns = self._columns(starts, gather(buffer, starts, _HEAD_WORDS, self._order))
        return columns.clipped(end) if len(columns.start) else None

    def _begin_section(self, order: str) -> None:
        self._order = order
        self._head = struct.Struct(f"{order}II")
        self._section_base = len(self.interfaces)

    def _state_block(self, buffer: Bytes, begin: int, end: int, kind: int, length: int) -> Scan:
        damage = length_fault(kind, length)
        if damage is None and end - begin < length:
            return Scan(position=begin, needs_bytes=length)
        if damage is None:
            damage = self._apply(kind, bytes(buffer[begin : begin + length]))
        return Scan(position=begin if damage else begin + length, damage=damage)

    def _apply(self, kind: int, block: bytes) -> str | None:
        (trailer,) = struct.unpack_from(f"{self._order}I", block, len(block) - TRAILER_BYTES)
        if trailer != len(block):
            return trailer_fault(len(block), trailer)
        if kind == INTERFACE:
            return self._describe_interface(block)
        return self._count_section(block)

    def _count_section(self, block: bytes) -> str | None:
        self._sections += 1
        if self._sections > _MAX_SECTIONS:
            return f"more than {_MAX_SECTIONS} sections"
        major, minor = struct.unpack_from(f"{self._order}HH", block, 12)
        return None if major == 1 else f"pcapng version {major}.{minor} is not known"

    def _describe_interface(self, block: bytes) -> str | None:
        number = len(self.interfaces)
        if number == _MAX_INTERFACES:
            return f"more than {_MAX_INTERFACES} interfaces"
        link_type, snap_bytes = struct.unpack_from(f"{self._order}H2xI", block, 8)
        options = dict(self._options(block[16:-TRAILER_BYTES]))
        resolution, offset = options.get(_OPTION_RESOLUTION, b""), options.get(_OPTION_OFFSET, b"")
        offset_s = struct.unpack(f"{self._order}q", offset)[0] if len(offset) == 8 else 0
        self._clocks.add(resolution[0] if resolution else _MICROSECOND_RESOLUTION, offset_s)
        self._link_types[number] = link_type
        name = options.get(_OPTION_NAME, b"").rstrip(b"\0").decode(errors="replace")
        self.interfaces.append(Interface(name=name, link_type=link_type, snap_bytes=snap_bytes))
        return None

    def _options(self, area: bytes) -> Iterator[tuple[int, bytes]]:
        position = 0
        while position + 4 <= len(area):
            code, size = struct.unpack_from(f"{self._order}HH", area, position)
            if code == 0:
                return
            yield code, area[position + 4 : position + 4 + size]
            position += 4 + (size + 3 & ~3)

    def _blocks(self, buffer: Bytes, begin: int, end: int) -> Scan:
        starts, position = self._finder.starts(BlockChain(buffer, end, self._order), begin)
        heads = gather(buffer, starts, _HEAD_WORDS, self._order)
        faulty, trailers = self._faults(buffer, starts, heads)
        if faulty.any():
            first = int(faulty.argmax())
            kind, length = int(heads[0, first]), int(heads[1, first])
            return Scan(
                columns=self._columns(starts[:first], heads[:, :first]),
                position=int(starts[first]),
                damage=length_fault(kind, length) or trailer_fault(length, int(trailers[first])),
            )
        columns = self._columns(starts, heads)
        if end - position < self._head.size:
            return Scan(columns=columns, position=position, needs_bytes=LEAST_BLOCK_BYTES)
        kind, length = self._head.unpack_from(buffer.data, position)
        if kind in STATE_BLOCKS:
            return Scan(columns=columns, position=position)
        return Scan(columns=columns, position=position, needs_bytes=length, damage=length_fault(kind, length))

    def _faults(self, buffer: Bytes, starts: Int64s, heads: Words) -> tuple[Flags, Words]:
        """Tell which blocks have a length that cannot be, and give the length that stands at the end of each."""
        kinds, lengths = heads[0], heads[1]
        trailers = anywhere(buffer, f"{self._order}u4")[starts + lengths - TRAILER_BYTES]
        faulty = (trailers != lengths) | (lengths & np.uint32(3) != 0)
        if lengths.min(initial=MAX_RECORD_BYTES) < LEAST_BYTES[ENHANCED]:
            for kind in PACKET_BLOCKS:
                faulty |= (kinds == kind) & (lengths < LEAST_BYTES[kind])
        return faulty, trailers

    def _columns(self, starts: Int64s, heads: Words) -> Columns:
        """Give the columns of the packet blocks among those at `starts`; count the others."""
        starts, heads, local = self._packets(starts, heads)
        kinds, lengths, _, _, _, claimed, wire = heads
        simple = kinds == SIMPLE
        head_bytes: Words | np.uint32 = np.uint32(PACKET_HEAD_BYTES)
        if simple.any():
            head_bytes = np.where(simple, np.uint32(SIMPLE_HEAD_BYTES), head_bytes)
            wire = np.where(simple, heads[2], wire)
            snap_bytes = self.interfaces[self._section_base].snap_bytes or MAX_RECORD_BYTES
            claimed = np.where(simple, np.minimum(wire, np.uint32(snap_bytes)), claimed)
        captured = np.minimum(claimed, lengths - head_bytes - np.uint32(TRAILER_BYTES))
        wire = np.maximum(wire, captured)
        number = local + np.int64(self._section_base)
        return Columns(
            start=starts + head_bytes,
            captured=captured.astype(np.int64),
            wire=wire.astype(np.int64),
            ts_ns=self._times(heads, number, simple),
            interface=number.astype(np.uint16),
            link_type=self._link_types[number],
        )

    def _packets(self, starts: Int64s, heads: Words) -> tuple[Int64s, Words, Words]:
        """Keep the blocks that hold a packet of a known interface, and its number within the section."""
        kinds, local = heads[0], heads[2]
        packet = kinds == ENHANCED
        if not packet.all():
            old, simple = kinds == PACKET, kinds == SIMPLE
            halves = local >> np.uint32(16) if self._order == ">" else local & np.uint32(0xFFFF)
            local = np.where(simple, np.uint32(0), np.where(old, halves, local))
            packet |= old | simple
        known = packet & (local < len(self.interfaces) - self._section_base)
        if known.all():
            return starts, heads, local
        self.skipped_blocks += int((~known & ~np.isin(kinds, PACKETLESS_BLOCKS)).sum())
        return starts[known], heads[:, known], local[known]

    def _times(self, heads: Words, number: Int64s, simple: Flags) -> Int64s:
        """Nanoseconds; a Simple Packet Block has no time and takes that of the packet before it."""
        ticks = heads[3].astype(np.uint64)
        ticks <<= np.uint64(32)
        ticks |= heads[4]
        ts_ns = self._clocks.to_ns(ticks, number)
        if simple.any():
            self.missing_time += int(simple.sum())
            latest = np.maximum.accumulate(np.where(simple, -1, np.arange(len(simple))))
            ts_ns = np.where(latest < 0, self._last_ts_ns, ts_ns[latest])
        if len(ts_ns):
            self._last_ts_ns = int(ts_ns[-1])
        return ts_ns
