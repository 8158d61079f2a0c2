"""Journal blocks: what goes in comes out, and no flipped bit goes unnoticed."""

import numpy as np
import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from capture import journal
from capture.errors import JournalError
from capture.intake import Intake, Window
from capture.journal import (
    EXTENT,
    FRAME,
    HEADER,
    MAX_BLOCK_BYTES,
    BlockKind,
    Bytes,
    Event,
    EventBlock,
    MediaBlock,
    SignallingBlock,
)
from capture.records import GUARD_BYTES
from tests.capture.batches import START_NS, batch_of, frame_of, rtp

BOUNDED = settings(max_examples=60, deadline=None)


def joined(pieces: list[Bytes]) -> Bytes:
    return np.concatenate(pieces)


def media_window(sizes: list[int]) -> Window:
    """One window of RTP: flow `n % 3`, payloads of the sizes given."""
    frames = [frame_of(rtp(n, 160 * n, bytes([n % 256]) * size, ssrc=n % 3)) for n, size in enumerate(sizes)]
    (window,) = Intake(frozenset()).windows(batch_of(frames))
    return window


def media_block(sizes: list[int]) -> Bytes:
    window = media_window(sizes)
    return joined(journal.serialize_media(window.first_ns, window.last_ns, window.extents, window.rows))


SIGNALLING = joined(
    journal.serialize_signalling(
        batch_of(
            [b"first", b"", b"the third frame"],
            times=[30, 10, 20],
            wires=[5, 0, 9000],
            interfaces=[0, 1, 65535],
            link_type=[1, 113, 276],
        )
    )
)
EVENTS = (
    Event(ts_ns=START_NS, kind="start", detail={"interface": "span0", "mtu": 1500}),
    Event(ts_ns=START_NS - 5, kind="interface", detail={"name": "主回線"}),
)
EVENT = joined(journal.serialize_events(EVENTS))
MEDIA = media_block([160, 160, 20, 160, 0])
BLOCKS = {"media": MEDIA, "signalling": SIGNALLING, "events": EVENT}


def test_sizes_on_disk():
    """What is written by one version is read by the next: the layouts are fixed."""
    assert (HEADER.itemsize, EXTENT.itemsize, FRAME.itemsize) == (48, 104, 24)
    assert MEDIA[:8].tobytes() == b"RKBJ\x01\x00\x01\x00"


class TestMedia:
    @BOUNDED
    @given(
        sizes=st.lists(st.sampled_from([0, 20, 160, 160, 160, 240, 1400]), min_size=1, max_size=60),
        address=st.integers(0, 1 << 50),
    )
    def test_round_trip(self, sizes, address):
        window = media_window(sizes)
        block = joined(journal.serialize_media(window.first_ns, window.last_ns, window.extents, window.rows))
        assert int(np.frombuffer(block[:48].tobytes(), HEADER)["bytes"][0]) == len(block)
        parsed = journal.parse(block, address)
        assert isinstance(parsed, MediaBlock)
        assert (parsed.first_ns, parsed.last_ns) == (window.first_ns, window.last_ns)
        found = []
        for extent in parsed.extents:
            start, rows, captured = int(extent["address"]) - address, int(extent["rows"]), int(extent["captured"])
            data = block[start : start + rows * (8 + captured)]
            assert crc32c(data.tobytes()) == extent["crc"]
            found += [(row[:8].tobytes(), row[8:].tobytes()) for row in data.reshape(rows, 8 + captured)]
        times = [(START_NS + 1000 * n).to_bytes(8, "little") for n in range(len(sizes))]
        sent = [rtp(n, 160 * n, bytes([n % 256]) * size, ssrc=n % 3) for n, size in enumerate(sizes)]
        assert sorted(found) == sorted(zip(times, sent, strict=True))

    def test_the_directory_alone_is_enough(self):
        size = HEADER.itemsize + journal.directory_bytes(journal.parse_header(MEDIA[:48].tobytes()))
        alone, whole = journal.parse(MEDIA[:size], 7), journal.parse(MEDIA, 7)
        assert isinstance(alone, MediaBlock)
        assert isinstance(whole, MediaBlock)
        assert (alone.extents == whole.extents).all()

    def test_addresses_count_from_the_journal_s_start(self):
        here, there = journal.parse(MEDIA, 0), journal.parse(MEDIA, 3 << 40)
        assert isinstance(here, MediaBlock)
        assert isinstance(there, MediaBlock)
        assert here.extents["address"][0] == HEADER.itemsize + len(here.extents) * EXTENT.itemsize
        assert (there.extents["address"] - here.extents["address"] == 3 << 40).all()

    def test_every_flip_in_the_data_is_found_by_the_extent_s_checksum(self):
        parsed = journal.parse(MEDIA, 0)
        assert isinstance(parsed, MediaBlock)
        data = bytearray(MEDIA.tobytes())
        covered = 0
        for extent in parsed.extents:
            start = int(extent["address"])
            size = int(extent["rows"]) * (8 + int(extent["captured"]))
            covered += size
            for bit in range(start * 8, (start + size) * 8):
                data[bit // 8] ^= 1 << bit % 8
                assert crc32c(data[start : start + size]) != extent["crc"]
                data[bit // 8] ^= 1 << bit % 8
        assert covered == len(MEDIA) - HEADER.itemsize - parsed.extents.nbytes


class TestSignalling:
    def test_round_trip(self):
        block = journal.parse(SIGNALLING, 123)
        assert isinstance(block, SignallingBlock)
        assert (block.first_ns, block.last_ns) == (10, 30)
        frames = block.frames
        data = frames.buffer.tobytes()
        assert [data[s : s + n] for s, n in zip(frames.start.tolist(), frames.captured.tolist(), strict=True)] == [
            b"first",
            b"",
            b"the third frame",
        ]
        assert frames.ts_ns.tolist() == [30, 10, 20]
        assert frames.wire.tolist() == [5, 0, 9000]
        assert frames.interface.tolist() == [0, 1, 65535]
        assert frames.link_type.tolist() == [1, 113, 276]
        assert data[-GUARD_BYTES:] == bytes(GUARD_BYTES)

    @BOUNDED
    @given(frames=st.lists(st.binary(max_size=80), min_size=1, max_size=20), gap=st.binary(max_size=20))
    def test_any_frames(self, frames, gap):
        block = journal.parse(joined(journal.serialize_signalling(batch_of(frames, gap=gap))), 0)
        assert isinstance(block, SignallingBlock)
        data, batch = block.frames.buffer.tobytes(), block.frames
        assert [data[s : s + n] for s, n in zip(batch.start.tolist(), batch.captured.tolist(), strict=True)] == frames


def test_events_round_trip():
    block = journal.parse(EVENT, 9)
    assert block == EventBlock(first_ns=START_NS - 5, last_ns=START_NS, events=EVENTS)


@pytest.mark.parametrize(("name", "block"), BLOCKS.items(), ids=BLOCKS)
def test_every_flipped_bit_is_noticed(name, block):
    """In header and directory, and in the data of what has one checksum for all of it."""
    head = HEADER.itemsize + journal.directory_bytes(journal.parse_header(block[:48].tobytes()))
    for bit in range(8 * (head if name == "media" else len(block))):
        damaged = block.copy()
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(JournalError):
            journal.parse(damaged, 0)


@pytest.mark.parametrize(("name", "block"), BLOCKS.items(), ids=BLOCKS)
def test_every_truncation_is_noticed(name, block):
    head = HEADER.itemsize + journal.directory_bytes(journal.parse_header(block[:48].tobytes()))
    for size in range(head if name == "media" else len(block)):
        with pytest.raises(JournalError):
            journal.parse(block[:size], 0)


@BOUNDED
@given(raw=st.binary(max_size=300), valid=st.booleans())
def test_random_bytes_raise_nothing_else(raw, valid):
    head = b"RKBJ\x01\x00" if valid else b""
    with pytest.raises(JournalError):
        journal.parse(np.frombuffer(head + raw, np.uint8), 0)


def forged(block: Bytes, *, header: dict[str, int] | None = None, directory: bytes | None = None) -> Bytes:
    """The block with other values, and checksums that fit them."""
    head = block[:48].copy().view(HEADER)
    for name, value in (header or {}).items():
        head[name] = value
    size = journal.directory_bytes(journal.parse_header(block[:48].tobytes()))
    entries = block[48 : 48 + size].tobytes() if directory is None else directory
    head["crc"] = crc32c(entries, crc32c(head.view(np.uint8)[:-4].tobytes()))
    return np.concatenate((head.view(np.uint8), np.frombuffer(entries, np.uint8), block[48 + size :]))


class TestHostile:
    """Blocks whose checksums fit and whose sizes lie: nothing is allocated or read on their word."""

    def test_forged_without_a_change_reads(self):
        for block in BLOCKS.values():
            journal.parse(forged(block), 0)

    @pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
    @pytest.mark.parametrize("size", [0, 47, MAX_BLOCK_BYTES + 1, (1 << 64) - 1])
    def test_block_size(self, block, size):
        with pytest.raises(JournalError, match="block size out of range"):
            journal.parse(forged(block, header={"bytes": size}), 0)

    @pytest.mark.parametrize("block", [MEDIA, SIGNALLING], ids=["media", "signalling"])
    @pytest.mark.parametrize("entries", [1 << 20, (1 << 32) - 1])
    def test_number_of_entries(self, block, entries):
        lying = forged(block, header={"entries": entries})
        with pytest.raises(JournalError, match="block size out of range"):
            journal.parse_header(lying[:48].tobytes())

    @pytest.mark.parametrize("kind", [0, 5, 65535])
    def test_kind(self, kind):
        with pytest.raises(JournalError, match="unknown kind of block"):
            journal.parse(forged(EVENT, header={"kind": kind}), 0)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("address", 0),
            ("address", len(MEDIA)),
            ("address", (1 << 64) - 1),
            ("rows", (1 << 32) - 1),
            ("rows", 1000),
            ("captured", 65535),
        ],
    )
    def test_extent_outside_its_block(self, field, value):
        size = journal.directory_bytes(journal.parse_header(MEDIA[:48].tobytes()))
        directory = np.frombuffer(MEDIA[48 : 48 + size].tobytes(), EXTENT).copy()
        directory[-1][field] = value
        with pytest.raises(JournalError, match="extent outside its block"):
            journal.parse(forged(MEDIA, directory=directory.tobytes()), 0)

    @pytest.mark.parametrize(
        ("field", "value"), [("start", (1 << 32) - 1), ("captured", (1 << 32) - 1), ("captured", 16)]
    )
    def test_frame_outside_its_block(self, field, value):
        directory = np.frombuffer(SIGNALLING[48 : 48 + 3 * FRAME.itemsize].tobytes(), FRAME).copy()
        directory[2][field] = value
        with pytest.raises(JournalError, match="frame outside its block"):
            journal.parse(forged(SIGNALLING, directory=directory.tobytes()), 0)

    @pytest.mark.parametrize(
        "content", [b"", b"[", b"[1]", b'{"a":1}', b'[{"ts_ns":"x","kind":"","detail":{}}]', b"\xff\xfe"]
    )
    def test_events_that_do_not_read(self, content):
        head = {"bytes": HEADER.itemsize + len(content), "data_crc": crc32c(content)}
        block = np.concatenate((forged(EVENT, header=head)[:48], np.frombuffer(content, np.uint8)))
        with pytest.raises(JournalError, match="events do not read"):
            journal.parse(block, 0)

    def test_kinds_in_the_header_are_those_that_exist(self):
        assert [kind.value for kind in BlockKind] == [1, 2, 3, 4]
