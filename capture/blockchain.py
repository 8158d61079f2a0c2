"""The blocks of pcapng as a chain: their kinds, what lengths they can have, and how one leads to the next."""

import struct

import numpy as np

from capture.lanes import SEARCH_BYTES, Bytes, Flags, Int64s
from capture.recordscan import MAX_RECORD_BYTES, anywhere

SECTION_HEADER = 0x0A0D0D0A
INTERFACE, PACKET, SIMPLE, NAMES, STATISTICS, ENHANCED, JOURNAL, SECRETS = 1, 2, 3, 4, 5, 6, 9, 10
STATE_BLOCKS = frozenset((SECTION_HEADER, INTERFACE))
PACKET_BLOCKS = (ENHANCED, PACKET, SIMPLE)
PACKETLESS_BLOCKS = (NAMES, STATISTICS, JOURNAL, SECRETS)
LEAST_SECTION_BYTES = 28
LEAST_BYTES = {SECTION_HEADER: LEAST_SECTION_BYTES, INTERFACE: 20, PACKET: 32, SIMPLE: 16, ENHANCED: 32}
LEAST_BLOCK_BYTES = 12
PACKET_HEAD_BYTES, SIMPLE_HEAD_BYTES, TRAILER_BYTES = 28, 12, 4


class BlockChain:
    """The blocks of a window, up to the next one that changes the section's state (see `lanes.Chain`)."""

    key = slice(0, 8)
    mark_spacing = 4

    def __init__(self, buffer: Bytes, end: int, order: str) -> None:
        self.buffer = buffer
        self.end = end
        self._order = order
        self._view = buffer.data
        self._head = struct.Struct(f"{order}II")
        self._words = anywhere(buffer, f"{order}u4")

    def step(self, position: int, count: int, starts: list[int]) -> int:
        """Append the starts of up to `count` whole blocks."""
        unpack, view, end = self._head.unpack_from, self._view, self.end
        for _ in range(count):
            # What the window cuts is read into the guard bytes: it gives a length of 0 or one that ends behind `end`.
            kind, length = unpack(view, position)
            following = position + length
            if following > end or length < LEAST_BLOCK_BYTES or (kind != ENHANCED and kind in STATE_BLOCKS):
                break
            starts.append(position)
            position = following
        return position

    def follow(self, positions: Int64s) -> Int64s:
        """Where the blocks at `positions` end."""
        kinds, lengths = self._words[positions], self._words[positions + 4]
        following: Int64s = np.minimum(lengths + positions, self.end + 1)
        following[(lengths < LEAST_BLOCK_BYTES) | (kinds == INTERFACE) | (kinds == SECTION_HEADER)] = self.end + 1
        return following

    def marks(self, first: int, model: int, lanes: int, lane_bytes: int) -> Flags:  # noqa: ARG002
        """Tell where the type of an Enhanced Packet Block stands."""
        shape, strides = (lanes, SEARCH_BYTES // self.mark_spacing), (lane_bytes, self.mark_spacing)
        marks: Flags = np.ndarray(shape, f"{self._order}u4", self.buffer, first, strides) == ENHANCED
        return marks

    def plausible(self, positions: Int64s, model: int) -> Flags:  # noqa: ARG002
        """Whether the block ends with its length."""
        lengths = self._words[positions + 4]
        trailers = np.minimum(lengths + positions, self.end) - TRAILER_BYTES
        possible: Flags = (lengths >= LEAST_BYTES[ENHANCED]) & (lengths % 4 == 0) & (self._words[trailers] == lengths)
        return possible


def length_fault(kind: int, length: int) -> str | None:
    """Say what is wrong with the length of a block of this kind."""
    least = LEAST_BYTES.get(kind, LEAST_BLOCK_BYTES)
    return None if least <= length <= MAX_RECORD_BYTES and length % 4 == 0 else f"block header says {length} bytes"


def trailer_fault(length: int, trailer: int) -> str:
    """Say that the two lengths of a block differ."""
    return f"block of {length} bytes ends with length {trailer}"
