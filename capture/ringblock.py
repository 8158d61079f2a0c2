"""The blocks of a TPACKET_V3 ring (Linux `include/uapi/linux/if_packet.h`), read as they lie in memory.

    block:  version u32 · offset to private u32 · status u32 · packets u32 · offset of the first u32 · used bytes u32 ·
            sequence u64 · time of first and last packet
    packet: offset of the next u32 · s u32 · ns u32 · captured u32 · wire u32 · status u32 · offset of the MAC header
            u16 · of the network header u16 · hash u32 · tag control u32 · tag protocol u16 · padding · address

All numbers are in the machine's byte order, offsets count from the block's or the packet's header. The kernel takes a
frame's outermost VLAN tag out and tells it beside the frame; it is put back here, so that a frame is what was on the
wire. Nothing is believed: a block whose numbers do not fit together raises, and the caller keeps it as it is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capture.errors import RingBlockError
from capture.octets import IntArray, Octets, gather
from capture.records import GUARD_BYTES, LINK_ETHERNET, RecordBatch

BLOCK_HEADER = np.dtype(
    [
        *((name, np.uint32) for name in ("version", "offset_to_priv", "status", "packets", "first", "used_bytes")),
        ("sequence", np.uint64),
        ("times", np.uint32, 4),
    ]
)
"""`struct tpacket_block_desc` with `struct tpacket_hdr_v1`."""
PACKET_HEADER = np.dtype(
    [
        *((name, np.uint32) for name in ("next", "s", "ns", "captured", "wire", "status")),
        *((name, np.uint16) for name in ("mac", "net")),
        *((name, np.uint32) for name in ("hash", "tag_control")),
        ("tag_protocol", np.uint16),
        ("padding", np.uint8, 10),
    ]
)
"""`struct tpacket3_hdr`."""
NS = 1_000_000_000
ALIGNMENT = 8
"""Of packets in a block."""
_PACKETS, _FIRST, _USED_BYTES = 3, 4, 5
"""Words of the block header."""
_OFFSETS = 6
"""Word of the packet header that tells where MAC and network header are."""
_VLAN_VALID = 1 << 4
_VLAN_PROTOCOL_VALID = 1 << 6
_VLAN_DEFAULT_PROTOCOL = 0x8100
_TAG_BYTES = 4
_ADDRESSES_BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class RingBytes:
    """Whole ring blocks, copied out of the ring."""

    buffer: Octets
    """The blocks; `GUARD_BYTES` follow the last. Valid until the next copy."""
    extents: tuple[tuple[int, int], ...]
    """First byte in `buffer` (a multiple of `ALIGNMENT`) and length of each block."""
    sequence: int
    """Number of the first block; the others count on from there."""

    def block(self, number: int) -> Octets:
        """Return the bytes of one block: as the kernel wrote them, until `batch` was successful."""
        start, size = self.extents[number]
        return self.buffer[start : start + size]


def batch(copied: RingBytes, interface: int) -> RecordBatch:
    """Find the packets of all blocks. Puts VLAN tags back into `copied`, which it leaves untouched when it raises.

    Raises:
        RingBlockError: a block is not what the kernel writes.
    """
    found = [_packets(copied.block(number)) for number in range(len(copied.extents))]
    blocks = np.array(copied.extents, np.int64).reshape(-1, 2).repeat([len(offsets) for offsets in found], axis=0)
    header_at = np.concatenate([np.zeros(0, np.int64), *found]) + blocks[:, 0]
    headers = gather(copied.buffer, header_at, PACKET_HEADER.itemsize).view(PACKET_HEADER)[:, 0]
    start = header_at + headers["mac"]
    captured = headers["captured"].astype(np.int64)
    wire = headers["wire"].astype(np.int64)
    tagged = np.flatnonzero(headers["status"] & _VLAN_VALID)
    _check(headers, start + captured, blocks.sum(axis=1), tagged)
    if len(tagged):
        _put_tags_back(copied.buffer, start[tagged], headers[tagged])
        start[tagged] -= _TAG_BYTES
        captured[tagged] += _TAG_BYTES
        wire[tagged] += _TAG_BYTES
    return RecordBatch(
        buffer=copied.buffer,
        start=start,
        captured=captured,
        wire=wire,
        ts_ns=headers["s"].astype(np.int64) * NS + headers["ns"],
        interface=np.full(len(start), interface, np.uint16),
        link_type=np.full(len(start), LINK_ETHERNET, np.uint16),
    )


def batch_of(block: Octets, interface: int) -> RecordBatch:
    """Find the packets of one block as it was stored, in a copy.

    Raises:
        RingBlockError: the block is not what the kernel writes.
    """
    buffer = np.zeros(-(-len(block) // ALIGNMENT) * ALIGNMENT + GUARD_BYTES, np.uint8)
    buffer[: len(block)] = block
    return batch(RingBytes(buffer=buffer, extents=((0, len(block)),), sequence=0), interface)


def used_bytes(block: Octets) -> int:
    """How much of a block in the ring is filled, by its header; never more than there is."""
    announced = int(block[: BLOCK_HEADER.itemsize].view(np.uint32)[_USED_BYTES])
    return min(max(announced, BLOCK_HEADER.itemsize), len(block))


def times(block: Octets) -> tuple[int, int]:
    """When the first and the last packet of a block came, by its header as the kernel wrote it; (0, 0) without one."""
    if len(block) < BLOCK_HEADER.itemsize:
        return 0, 0
    first_s, first_ns, last_s, last_ns = block[: BLOCK_HEADER.itemsize].view(BLOCK_HEADER)["times"][0].tolist()
    return first_s * NS + first_ns, last_s * NS + last_ns


def _packets(block: Octets) -> IntArray:
    """Offsets of the packet headers in a block."""
    if len(block) < BLOCK_HEADER.itemsize:
        raise RingBlockError(f"block of {len(block)} bytes")
    words = block[: len(block) & ~3].view(np.uint32)
    count, first = int(words[_PACKETS]), int(words[_FIRST])
    if count > len(block) // PACKET_HEADER.itemsize:
        raise RingBlockError(f"{count} packets in a block of {len(block)} bytes")
    if not count:
        return np.zeros(0, np.int64)
    if first < BLOCK_HEADER.itemsize:
        raise RingBlockError("a packet lies in its block's header")
    try:
        offsets = _walk(words, count, first)
    except IndexError as error:
        raise RingBlockError("a packet lies behind its block's end") from error
    if (np.diff(offsets) < PACKET_HEADER.itemsize).any() or (offsets % ALIGNMENT).any():
        raise RingBlockError("packets overlap")
    if offsets[-1] + PACKET_HEADER.itemsize > len(block):
        raise RingBlockError("a packet lies behind its block's end")
    return offsets


def _walk(words: npt.NDArray[np.uint32], count: int, first: int) -> IntArray:
    """Offsets of `count` packets from `first` on. IndexError: the chain leads out of the block.

    Nearly always, the two offsets that a packet's header holds are the same in all packets and nowhere else: where they
    are found, and each of these places leads to the next one, these are the packets, just as if they had been stepped
    through one by one. What an earlier use of the block left between a packet's header and its frame can look like
    them, too; but there the offset of the next packet would be in the link-layer address (`struct sockaddr_ll`), whose
    family makes it odd.
    """
    at = first >> 2
    places = np.flatnonzero(words[at + _OFFSETS :: ALIGNMENT >> 2] == words[at + _OFFSETS]) * ALIGNMENT + first
    following = words[places >> 2]
    if (odd := following % ALIGNMENT != 0).any():
        places, following = places[~odd], following[~odd]
    places, following = places[:count], following[: count - 1]
    if len(places) == count and (np.diff(places) == following).all():
        return places
    return _single_steps(words.data, count, first)


def _single_steps(words: memoryview, count: int, first: int) -> IntArray:
    offsets, at = [], first
    for _ in range(count):
        offsets.append(at)
        at += words[at >> 2]
    return np.array(offsets, np.int64)


def _check(headers: npt.NDArray[np.void], data_ends: IntArray, ends: IntArray, tagged: IntArray) -> None:
    """Every frame lies behind its header, with room for a tag, and inside its block."""
    if (headers["mac"] < PACKET_HEADER.itemsize + _TAG_BYTES).any() or (data_ends > ends).any():
        raise RingBlockError("a frame lies outside its block")
    if (headers["captured"][tagged] < _ADDRESSES_BYTES).any():
        raise RingBlockError("a tagged frame without addresses")


def _put_tags_back(buffer: Octets, start: IntArray, headers: npt.NDArray[np.void]) -> None:
    """Move the addresses forward and write the tag behind them (IEEE 802.1Q 9.3); `start` as the kernel told it."""
    head = np.empty((len(start), _ADDRESSES_BYTES + _TAG_BYTES), np.uint8)
    head[:, :_ADDRESSES_BYTES] = gather(buffer, start, _ADDRESSES_BYTES)
    told = (headers["status"] & _VLAN_PROTOCOL_VALID) != 0
    tag = head[:, _ADDRESSES_BYTES:].copy().view(">u2")
    tag[:, 0] = np.where(told, headers["tag_protocol"], _VLAN_DEFAULT_PROTOCOL)
    tag[:, 1] = headers["tag_control"]
    head[:, _ADDRESSES_BYTES:] = tag.view(np.uint8)
    windows = np.lib.stride_tricks.as_strided(
        buffer[: head.shape[1]].view(f"V{head.shape[1]}"), shape=(len(buffer) - head.shape[1] + 1,), strides=(1,)
    )
    windows[start - _TAG_BYTES] = head.view(f"V{head.shape[1]}")[:, 0]
