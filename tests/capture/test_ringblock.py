"""Ring blocks packed by hand as the kernel lays them out, and damaged in every number they hold."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.errors import RingBlockError
from capture.records import GUARD_BYTES, LINK_ETHERNET, RecordBatch
from capture.ringblock import RingBytes, batch, batch_of
from tests.capture.ringblocks import MAC, START_S, block, packet

VLAN_VALID, VLAN_TPID_VALID = 0x10, 0x40
MACS = bytes(range(12))


def frame(size: int, number: int = 0) -> bytes:
    """A frame that is told from the others."""
    return MACS + b"\x08\x00" + number.to_bytes(4, "big") + bytes((number + i) & 0xFF for i in range(size - 18))


def copied(*blocks: bytes) -> RingBytes:
    extents = []
    buffer = b""
    for data in blocks:
        extents.append((len(buffer), len(data)))
        buffer += data.ljust(-(-len(data) // 8) * 8, b"\x00")
    octets = np.frombuffer(buffer + bytes(GUARD_BYTES), np.uint8).copy()
    return RingBytes(buffer=octets, extents=tuple(extents), sequence=5)


def octets(block_bytes: bytes) -> np.ndarray:
    return np.frombuffer(block_bytes, np.uint8)


def frames_of(found: RecordBatch) -> list[bytes]:
    data = found.buffer.tobytes()
    return [data[s : s + n] for s, n in zip(found.start.tolist(), found.captured.tolist(), strict=True)]


def test_columns() -> None:
    sent = [frame(214, 0), frame(60, 1), frame(1514, 2)]
    ring = copied(
        block([packet(sent[0]), packet(sent[1], number=1, wire=90)]), block([]), block([packet(sent[2], number=2)])
    )
    found = batch(ring, 3)
    assert frames_of(found) == sent
    assert found.captured.tolist() == [214, 60, 1514]
    assert found.wire.tolist() == [214, 90, 1514]
    assert found.ts_ns.tolist() == [START_S * 10**9, (START_S + 1) * 10**9 + 7, (START_S + 2) * 10**9 + 14]
    assert found.interface.tolist() == [3, 3, 3]
    assert found.link_type.tolist() == [LINK_ETHERNET] * 3
    assert [c.dtype for c in (found.start, found.captured, found.wire, found.ts_ns)] == [np.int64] * 4
    assert found.interface.dtype == found.link_type.dtype == np.uint16
    assert len(found.buffer) - int((found.start + found.captured).max()) >= GUARD_BYTES


def test_nothing_is_a_batch_too() -> None:
    assert len(batch(copied(), 0)) == 0
    assert len(batch(copied(block([]), block([])), 0)) == 0


MIXTURES = {
    "all alike": [214] * 3000,
    "one in a hundred": [90 if i % 100 == 50 else 214 for i in range(3000)],
    "by turns": [214, 294] * 1500,
    "two halves": [214] * 1500 + [294] * 1500,
    "any size": np.random.default_rng(1).integers(60, 1515, 3000).tolist(),
}


def test_packets_that_look_like_several_are_one() -> None:
    """A frame that carries ring packets, in line with the real ones; and headers that differ."""
    inside = packet(frame(100)) * 3
    for shift in range(8):
        sent = [frame(214), frame(60 + shift) + inside, frame(214)]
        assert frames_of(batch(copied(block([packet(data) for data in sent])), 0)) == sent
    other = bytearray(packet(frame(214, 1)))
    struct.pack_into("=2H", other, 24, MAC, MAC + 18)
    packets = [packet(frame(214, 0)), bytes(other), packet(frame(214, 2))]
    assert frames_of(batch(copied(block(packets)), 0)) == [frame(214, number) for number in range(3)]


def test_what_an_earlier_use_of_the_block_left_is_no_packet() -> None:
    """Between `struct sockaddr_ll`, 20 bytes behind the header, and the frame the kernel writes nothing."""
    address = struct.pack("=HHiHBB8x", 17, 0x0008, 7, 1, 3, 6)
    sent = [frame(214, number) for number in range(50)]
    packets = [bytearray(packet(data, number=number)) for number, data in enumerate(sent)]
    for data in packets:
        data[48:68] = address
        struct.pack_into("=2H", data, 72, MAC, MAC + 14)
    assert frames_of(batch(copied(block([bytes(data) for data in packets])), 0)) == sent


@pytest.mark.parametrize("mixture", MIXTURES)
def test_every_packet_is_found_whatever_the_sizes(mixture: str) -> None:
    sent = [frame(size, number) for number, size in enumerate(MIXTURES[mixture])]
    packets = [packet(data, number=number) for number, data in enumerate(sent)]
    assert frames_of(batch(copied(block(packets[:1000]), block(packets[1000:])), 0)) == sent


@pytest.mark.parametrize(
    ("tag", "put_back"),
    [
        ((VLAN_VALID | VLAN_TPID_VALID, 0x6064, 0x8100), b"\x81\x00\x60\x64"),
        ((VLAN_VALID | VLAN_TPID_VALID, 0x0064, 0x88A8), b"\x88\xa8\x00\x64"),
        ((VLAN_VALID, 0xE001, 0), b"\x81\x00\xe0\x01"),
        ((VLAN_VALID | VLAN_TPID_VALID, 0, 0x8100), b"\x81\x00\x00\x00"),
        ((0, 0x0064, 0x8100), b""),
    ],
)
def test_tags_are_put_back(tag: tuple[int, int, int], put_back: bytes) -> None:
    plain = frame(100, 1)
    tagged = frame(214, 2)
    found = batch(copied(block([packet(plain), packet(tagged, wire=300, tag=tag), packet(plain)])), 0)
    assert frames_of(found) == [plain, tagged[:12] + put_back + tagged[12:], plain]
    assert found.wire.tolist() == [100, 300 + len(put_back), 100]


def test_a_stored_block_gives_the_same() -> None:
    tag = (VLAN_VALID, 100, 0)
    stored = block([packet(frame(60 + i, i), number=i, tag=tag) for i in range(50)], rest=b"\x01\x02\x03")
    ring = copied(stored)
    raw = ring.block(0).copy()
    assert raw.tobytes() == stored
    found, again = batch(ring, 9), batch_of(raw, 9)
    assert frames_of(found) == frames_of(again)
    assert found.ts_ns.tolist() == again.ts_ns.tolist()
    assert raw.tobytes() == stored


def damaged(offset: int, form: str, value: int) -> bytes:
    """A sound block of ten packets, a tagged one first, with one number changed."""
    packets = [packet(frame(214), tag=(VLAN_VALID, 1, 0)), *(packet(frame(214, n)) for n in range(9))]
    data = bytearray(block(packets))
    struct.pack_into(form, data, offset, value)
    return bytes(data)


FIRST = 48
STRIDE = 296
LAST = FIRST + 9 * STRIDE


@pytest.mark.parametrize(
    ("offset", "form", "value", "message"),
    [
        (12, "=I", 11, "packets overlap"),
        (12, "=I", 0xFFFFFFFF, "4294967295 packets in a block of 3008 bytes"),
        (16, "=I", 0, "a packet lies in its block's header"),
        (16, "=I", 47, "in its block's header"),
        (16, "=I", 52, "packets overlap|behind its block's end"),
        (16, "=I", 0xFFFFFFF0, "behind its block's end"),
        (FIRST, "=I", 0, "packets overlap"),
        (FIRST, "=I", 8, "packets overlap|behind its block's end"),
        (FIRST, "=I", STRIDE + 1, "packets overlap|behind its block's end"),
        (FIRST, "=I", 0xFFFFFFF8, "behind its block's end"),
        (FIRST + 5 * STRIDE, "=I", 0, "packets overlap"),
        (FIRST + 8 * STRIDE, "=I", STRIDE + 256, "a packet lies behind its block's end"),
        (LAST + 12, "=I", 215 + 8, "a frame lies outside its block"),
        (LAST + 12, "=I", 0xFFFFFFFF, "a frame lies outside its block"),
        (LAST + 24, "=H", 0, "a frame lies outside its block"),
        (LAST + 24, "=H", 51, "a frame lies outside its block"),
        (LAST + 24, "=H", 0xFFFF, "a frame lies outside its block"),
        (FIRST + 12, "=I", 11, "a tagged frame without addresses"),
    ],
)
def test_damage_raises_and_leaves_the_block_as_it_was(offset: int, form: str, value: int, message: str) -> None:
    sound, bad = block([packet(frame(100), tag=(VLAN_VALID, 1, 0))]), damaged(offset, form, value)
    ring = copied(sound, bad, sound)
    with pytest.raises(RingBlockError, match=message):
        batch(ring, 0)
    assert [ring.block(number).tobytes() for number in range(3)] == [sound, bad, sound]


@pytest.mark.parametrize("size", [0, 1, 47])
def test_a_block_without_a_header(size: int) -> None:
    with pytest.raises(RingBlockError, match=f"block of {size} bytes"):
        batch_of(octets(bytes(size)), 0)


@given(
    changes=st.lists(st.tuples(st.integers(0, LAST + 80), st.integers(0, 255)), max_size=6),
    size=st.integers(0, LAST + STRIDE),
)
@settings(max_examples=400, deadline=None)
def test_nothing_else_is_ever_raised(changes: list[tuple[int, int]], size: int) -> None:
    data = bytearray(damaged(0, "=I", 1))
    for place, value in changes:
        data[place] = value
    stored = octets(bytes(data[:size]))
    try:
        found = batch_of(stored, 0)
    except RingBlockError:
        return
    assert (found.start >= 48).all()
    assert (found.start + found.captured <= len(stored)).all()
