"""The classic pcap format (draft-ietf-opsawg-pcap): a 24-byte header, then records of 16 bytes and a frame.

Both byte orders, microseconds and nanoseconds, and the variant with 24-byte record headers (magic 0xa1b2cd34). The
header's snap length only ever raises the bound on a record: files whose frames are longer than it says exist.
"""

import struct

import numpy as np

from capture.lanes import SEARCH_BYTES, Bytes, Flags, Int64s, RecordFinder, Words
from capture.recordscan import MAX_RECORD_BYTES, Columns, Interface, Scan, anywhere, gather

HEADER_BYTES = 24

_MICROSECONDS, _NANOSECONDS, _EXTENDED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
_LEAST_SNAP_BYTES = 262_144
"""What libpcap and Wireshark allow in any file, whatever its header says."""

_LENGTH_AT = 8
_NS_PER_S = 1_000_000_000

_KINDS = {
    struct.pack(f"{order}I", magic): (order, tick_ns, record_header_bytes)
    for order in "<>"
    for magic, tick_ns, record_header_bytes in ((_MICROSECONDS, 1000, 16), (_NANOSECONDS, 1, 16), (_EXTENDED, 1000, 24))
}


def recognised(head: bytes) -> bool:
    """Whether a file that begins with `head` is a classic pcap."""
    return head[:4] in _KINDS


class PcapScanner:
    """Turns windows of one classic pcap into columns. `head` is the file's beginning, at least its header."""

    first_record = HEADER_BYTES

    def __init__(self, head: bytes) -> None:
        self._order, self._tick_ns, self._overhead = _KINDS[head[:4]]
        snap_bytes, network = struct.unpack_from(f"{self._order}II", head, 16)
        # The upper half holds the length of the frame check sequence, not the link type.
        self.interfaces = [Interface(name="", link_type=network & 0xFFFF, snap_bytes=snap_bytes)]
        self.skipped_blocks = 0
        self.missing_time = 0
        self._finder = RecordFinder()
        self._longest = min(max(snap_bytes, _LEAST_SNAP_BYTES), MAX_RECORD_BYTES)

    def scan(self, buffer: Bytes, begin: int, end: int) -> Scan:
        """Take the whole records from `begin` on."""
        chain = _PcapChain(buffer, end, self._order, self._overhead, self._longest)
        starts, position = self._finder.starts(chain, begin)
        heads = gather(buffer, starts, 4, self._order)
        oversize = heads[2] > self._longest
        if oversize.any():
            first = int(oversize.argmax())
            good = self._columns(starts[:first], heads[:, :first])
            return self._damaged(good, int(starts[first]), int(heads[2, first]))
        columns = self._columns(starts, heads)
        if end - position < self._overhead:
            return Scan(columns=columns, position=position, needs_bytes=self._overhead)
        length = int(anywhere(buffer, f"{self._order}u4")[position + _LENGTH_AT])
        if length > self._longest:
            return self._damaged(columns, position, length)
        return Scan(columns=columns, position=position, needs_bytes=self._overhead + length)

    def tail(self, buffer: Bytes, begin: int, end: int) -> Columns | None:
        """Take what is there of the last record's frame; None when nothing is."""
        if end - begin <= self._overhead:
            return None
        starts = np.array([begin], np.int64)
        return self._columns(starts, gather(buffer, starts, 4, self._order)).clipped(end)

    def _columns(self, starts: Int64s, heads: Words) -> Columns:
        seconds, fraction, captured, wire = heads
        ts_ns = seconds.astype(np.int64)
        ts_ns *= _NS_PER_S
        ts_ns += fraction.astype(np.int64) * self._tick_ns
        return Columns(
            start=starts + self._overhead,
            captured=captured.astype(np.int64),
            wire=np.maximum(wire, captured).astype(np.int64),
            ts_ns=ts_ns,
            interface=np.zeros(len(starts), np.uint16),
            link_type=np.full(len(starts), self.interfaces[0].link_type, np.uint16),
        )

    @staticmethod
    def _damaged(columns: Columns, position: int, length: int) -> Scan:
        return Scan(columns=columns, position=position, damage=f"record header says {length} bytes")


class _PcapChain:
    """How the records of a window hang together (see `lanes.Chain`)."""

    key = slice(_LENGTH_AT, _LENGTH_AT + 4)
    mark_spacing = 1

    def __init__(self, buffer: Bytes, end: int, order: str, overhead: int, longest: int) -> None:
        self.buffer = buffer
        self.end = end
        self._order, self._overhead, self._longest = order, overhead, longest
        self._view = buffer.data
        self._length = struct.Struct(f"{order}{_LENGTH_AT}xI")
        self._words = anywhere(buffer, f"{order}u4")
        # The upper half of the seconds stays the same for 18 hours: by it a record is known.
        self._half_at = 2 if order == "<" else 0
        self._halves = anywhere(buffer, "u2")

    def step(self, position: int, count: int, starts: list[int]) -> int:
        """Append the starts of up to `count` whole records."""
        unpack, view, overhead, end = self._length.unpack_from, self._view, self._overhead, self.end
        for _ in range(count):
            # A header that the window cuts is read into the guard bytes: wherever it ends, it ends behind `end`.
            following = position + overhead + unpack(view, position)[0]
            if following > end:
                break
            starts.append(position)
            position = following
        return position

    def follow(self, positions: Int64s) -> Int64s:
        """Where the records at `positions` end."""
        following: Int64s = self._words[positions + _LENGTH_AT] + positions
        following += self._overhead
        return np.minimum(following, self.end + 1)

    def marks(self, first: int, model: int, lanes: int, lane_bytes: int) -> Flags:
        """Tell where the upper half of the seconds stands."""
        places = np.ndarray((lanes, SEARCH_BYTES), "u2", self.buffer, first + self._half_at, (lane_bytes, 1))
        marks: Flags = places == self._halves[model + self._half_at]
        return marks

    def plausible(self, positions: Int64s, model: int) -> Flags:
        """Whether the header's numbers can be, and another header follows."""
        heads = gather(self.buffer, positions, 4, self._order)
        following = self.follow(positions)
        same_hours: Flags = self._halves[following + self._half_at] == self._halves[model + self._half_at]
        possible: Flags = (heads[1] < _NS_PER_S) & (heads[2] <= self._longest) & (following <= self.end)
        return possible & same_hours
