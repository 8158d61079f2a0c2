"""Numbers for RTP flows: which rows of a batch belong to the same flow, found for whole batches at once.

A flow is everything the wire shows that stays the same from packet to packet: interface, VLAN tags, tunnel depth, MAC
pair, addresses, ports, SSRC, DSCP and TTL. The 64-byte record is the identity; the hash only finds it.
"""

import numpy as np
import numpy.typing as npt

from capture.frames import Frames
from capture.octets import IntArray, gather
from capture.records import RecordBatch

FLOW = np.dtype(
    [
        ("mac", "u1", 12),
        ("vlan_outer", "<u2"),
        ("vlan_inner", "<u2"),
        ("source", "u1", 16),
        ("destination", "u1", 16),
        ("source_port", "u1", 2),
        ("destination_port", "u1", 2),
        ("ssrc", "u1", 4),
        ("interface", "<u2"),
        ("tunnel", "u1"),
        ("version", "u1"),
        ("tos", "u1"),
        ("ttl", "u1"),
        ("reserved", "<u2"),
    ]
)
"""A flow's identity as the journal keeps it: 64 bytes, IPv4 addresses in the first four of sixteen.

What is in network order is bytes here, since numpy turns big-endian fields round when it joins arrays.
"""

WORDS = FLOW.itemsize // 8
WORDS_V4 = (0, 1, 2, 4, 6, 7)
"""The words that can differ between two IPv4 flows; word 7 holds the version, so an IPv6 flow never matches an IPv4
one."""
WORDS_V6 = tuple(range(WORDS))
_VERSION_6 = np.uint64(2 << 24)
"""The bit of word 7 that tells version 6 from version 4."""

Words = npt.NDArray[np.uint64]
_MULTIPLIERS = np.array(
    [
        *(0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5),
        *(0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3),
    ],
    np.uint64,
)


def flow_words(batch: RecordBatch, frames: Frames, rows: IntArray) -> Words:
    """Build the flow records of UDP frames.

    Args:
        batch: the batch the frames lie in.
        frames: its layers.
        rows: frame numbers, shape `(n,)`.

    Returns:
        The records as columns of 64-bit words, shape `(8, n)`: column `i` viewed as bytes is one `FLOW` record.
    """
    chosen = slice(None) if len(rows) == len(batch) else rows
    head, version = frames.head[chosen], frames.ip_version[chosen]
    quads, pairs = head.view("<u4"), head.view("<u8")
    words = np.zeros((WORDS, len(rows)), np.uint64)
    # The MAC pair is bytes 2 to 13 of a head.
    words[0] = pairs[:, 0] >> np.uint64(16)
    words[0] |= pairs[:, 1] << np.uint64(48)
    words[1] = pairs[:, 1] >> np.uint64(16) & np.uint64(0xFFFFFFFF)
    words[2] = quads[:, 7]
    words[4] = quads[:, 8]
    words[6] = quads[:, 13]
    words[6] <<= np.uint64(32)
    words[6] |= quads[:, 9]
    words[7] = head[:, 24]
    words[7] <<= np.uint64(8)
    words[7] |= head[:, 17]
    _ipv6_words(words, batch.buffer, frames.ip_start[chosen], version == 6)
    words[7] <<= np.uint64(32)
    words[7] |= batch.interface[chosen]
    words[7] |= (version.astype(np.uint16) << np.uint16(8) | frames.tunnel[chosen]).astype(np.uint64) << np.uint64(16)
    vlan_outer = frames.vlan_outer[chosen]
    if vlan_outer.any():
        words[1] |= vlan_outer.astype(np.uint64) << np.uint64(32)
        words[1] |= frames.vlan_inner[chosen].astype(np.uint64) << np.uint64(48)
    return words


def _ipv6_words(words: Words, buffer: npt.NDArray[np.uint8], ip_start: IntArray, six: npt.NDArray[np.bool_]) -> None:
    """Addresses of IPv6, and its hop limit and traffic class in word 7."""
    if not six.any():
        return
    header = gather(buffer, ip_start[six], 40)
    words[2:6, six] = np.ascontiguousarray(header[:, 8:40]).view("<u8").T
    traffic_class = ((header[:, 0] & 0x0F) << 4) | (header[:, 1] >> 4)
    words[7, six] = header[:, 7].astype(np.uint64) << np.uint64(8) | traffic_class


class FlowTable:
    """Open addressing over flow records. When it is full it starts afresh, which changes numbers but no meaning."""

    def __init__(self, *, bits: int = 18) -> None:
        self._bits = bits
        self.capacity = 1 << (bits - 1)
        self.resets = 0
        self._clear()

    def _clear(self) -> None:
        self._slots = np.full(1 << self._bits, -1, np.int32)
        self._words = np.zeros((WORDS, self.capacity), np.uint64)
        self._used = 0

    def records(self, numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.void]:
        """Return the `FLOW` records behind flow numbers."""
        return np.ascontiguousarray(self._words[:, numbers].T).view(FLOW).reshape(-1)

    def number(self, words: Words) -> npt.NDArray[np.int32]:
        """Give each column of `words` (shape `(8, n)`) the number of its flow. Numbers hold until `resets` changes.

        `n` must not exceed `capacity`, so that one batch always fits a fresh table.
        """
        compared = WORDS_V6 if (words[7] & _VERSION_6).any() else WORDS_V4
        slot = (_hash(words, compared) >> np.uint64(64 - self._bits)).astype(np.int64)
        numbers = np.empty(words.shape[1], np.int32)
        pending = np.arange(words.shape[1])
        while len(pending):
            found = self._slots[slot[pending]]
            fresh = found < 0
            if fresh.any():
                if not self._insert(words, pending[fresh], slot):
                    self._clear()
                    self.resets += 1
                    return self.number(words)
                continue
            candidates = words if len(pending) == words.shape[1] else words[:, pending]
            same = np.ones(len(pending), bool)
            for word in compared:
                same &= self._words[word, found] == candidates[word]
            if same.all() and candidates is words:
                return found
            numbers[pending[same]] = found[same]
            pending = pending[~same]
            slot[pending] = (slot[pending] + 1) & ((1 << self._bits) - 1)
        return numbers

    def _insert(self, words: Words, rows: IntArray, slot: IntArray) -> bool:
        """Insert one new flow for each distinct empty slot among `rows`, in order of appearance; False when full."""
        taken, first = np.unique(slot[rows], return_index=True)
        order = np.argsort(first)
        taken, rows = taken[order], rows[first[order]]
        if self._used + len(rows) > self.capacity:
            return False
        numbers = np.arange(self._used, self._used + len(rows))
        self._words[:, numbers] = words[:, rows]
        self._slots[taken] = numbers
        self._used += len(rows)
        return True


def _hash(words: Words, compared: tuple[int, ...]) -> Words:
    """Hash flows; those of IPv4 get the same value whether there are others beside them or not."""
    mixed = words[WORDS_V4[0]] * _MULTIPLIERS[WORDS_V4[0]]
    for word in WORDS_V4[1:]:
        mixed ^= mixed >> np.uint64(29)
        mixed += words[word] * _MULTIPLIERS[word]
    for word in sorted(set(compared) - set(WORDS_V4)):
        mixed += words[word] * _MULTIPLIERS[word]
    mixed ^= mixed >> np.uint64(32)
    mixed *= _MULTIPLIERS[0]
    return np.asarray(mixed)
