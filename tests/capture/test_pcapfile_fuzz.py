"""Properties of the capture file reader: neither batches nor speed-ups matter, and nothing before damage is lost."""

import gzip
import random
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.errors import CaptureFileError
from tests.capture.capturefiles import (
    block,
    enhanced,
    interface,
    obsolete,
    pcap,
    pcapng,
    read_all,
    section,
    simple,
)

_HALF = 3 << 19
"""A window that several lanes fit in and that ends inside a record."""

BOUNDED = settings(max_examples=60, deadline=None)


def account(content: bytes, batch_bytes: int):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture"
        path.write_bytes(content)
        try:
            packets, reader = read_all(path, batch_bytes)
        except CaptureFileError as error:
            return str(error).removeprefix(f"{path}: ")
    counters = (reader.truncated_records, reader.skipped_blocks, reader.missing_time)
    return packets, reader.damage, counters, reader.interfaces


def mixed_pcapng(seed: int, blocks: int) -> bytes:
    chance = random.Random(seed)
    content = section() + interface(snap_bytes=chance.choice((0, 96)))
    order = "<"
    for ticks in range(blocks):
        frame = chance.randbytes(chance.randrange(200))
        content += chance.choice(
            [enhanced(frame, ticks, order=order, number=chance.randrange(2))] * 12
            + [obsolete(frame, ticks, order=order), simple(frame, 300, order), block(5, frame, order)]
        )
        if chance.random() < 0.05:
            order = chance.choice("<>")
            content += section(order) + interface(order, chance.randrange(300))
        elif chance.random() < 0.05:
            content += interface(order, 101)
    return content


@BOUNDED
@given(
    sizes=st.lists(st.sampled_from([0, 1, 60, 214, 214, 214, 1400, 5000]), max_size=80),
    kind=st.sampled_from([pcap, pcapng]),
    order=st.sampled_from("<>"),
    batch_bytes=st.integers(4096, 20_000),
)
def test_batches_do_not_matter(sizes, kind, order, batch_bytes):
    frames = [bytes([i % 256]) * size for i, size in enumerate(sizes)]
    whole = account(kind(frames, order), 1 << 20)
    assert [packet.frame for packet in whole[0]] == frames
    assert account(kind(frames, order), batch_bytes) == whole


@BOUNDED
@given(seed=st.integers(0, 1 << 32), batch_bytes=st.integers(4096, 20_000))
def test_batches_do_not_matter_to_blocks_of_all_kinds(seed, batch_bytes):
    content = mixed_pcapng(seed, 120)
    assert account(content, batch_bytes) == account(content, 1 << 20)


@pytest.mark.parametrize(
    "content", [pcap([b"abc", b"", b"defgh", b"i" * 40]), mixed_pcapng(5, 12)], ids=["pcap", "pcapng"]
)
def test_every_truncation_keeps_the_records_before_it(content):
    whole = account(content, 4096)[0]
    seen = 0
    for size in range(len(content)):
        result = account(content[:size], 4096)
        if isinstance(result, str):
            assert size < 28
            continue
        packets, damage, _, _ = result
        complete = packets if damage is None or packets == whole[: len(packets)] else packets[:-1]
        assert complete == whole[: len(complete)]
        assert len(complete) >= seen
        seen = len(complete)
        if len(packets) > len(complete):
            assert whole[len(complete)].frame.startswith(packets[-1].frame)
    assert seen >= len(whole) - 1


@BOUNDED
@given(
    seed=st.integers(0, 1 << 32),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), min_size=1, max_size=8),
    kind=st.sampled_from(["pcap", "pcapng", "gzip"]),
)
def test_flipped_bytes_never_raise_and_batches_still_do_not_matter(seed, flips, kind):
    chance = random.Random(seed)
    frames = [chance.randbytes(chance.randrange(300)) for _ in range(60)]
    content = bytearray(mixed_pcapng(seed, 60) if kind == "pcapng" else pcap(frames))
    if kind == "gzip":
        content = bytearray(gzip.compress(bytes(content)))
    for place, mask in flips:
        content[int(place * len(content))] ^= mask
    assert account(bytes(content), 4096) == account(bytes(content), 1 << 20)


@pytest.mark.parametrize("kind", [pcap, pcapng])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("traffic", ["mixed", "runs", "tiny", "captures inside", "large"])
def test_large_windows_read_like_small_ones(kind, order, traffic):
    chance = random.Random(traffic)
    noise = chance.randbytes(4000)
    # Frames that are themselves pieces of a capture file hold any number of plausible wrong records.
    inner = kind([noise[:90]] * 60, order)[28:]
    makers = {
        "mixed": lambda: [noise[: chance.randrange(60, 400)] for _ in range(12_000)],
        "runs": lambda: [
            noise[:214] if chance.random() < 0.99 else noise[: chance.randrange(1400)] for _ in range(12_000)
        ],
        "tiny": lambda: [noise[: chance.randrange(4)] for _ in range(90_000)],
        "captures inside": lambda: [inner[chance.randrange(100) :][: chance.randrange(1400)] for _ in range(4000)],
        "large": lambda: [noise[: chance.randrange(4000)] for _ in range(1200)],
    }
    frames = makers[traffic]()
    content = kind(frames, order)
    assert [packet.frame for packet in account(content, 16 << 20)[0]] == frames
    assert account(content, _HALF) == account(content, 16 << 20)
    middle = len(content) // 2
    for damaged in (
        content[: middle + 5],
        content[:middle] + noise[:300] + content[middle + 300 :],
        content[:middle] + bytes(2000) + content[middle + 2000 :],
    ):
        assert account(damaged, 16 << 20) == account(damaged, _HALF) == account(damaged, 64 << 10)


@pytest.mark.parametrize("length", [0, 4, 8])
def test_a_block_shorter_than_any_among_many_packets(length):
    # Of 4 bytes and of 8, the "length at the block's end" is the block's own type or length and so may agree.
    chance = random.Random(length)
    packets = [enhanced(bytes(chance.randrange(300)), ticks) for ticks in range(12_000)]
    head = section() + interface() + b"".join(packets[:6000])
    content = head + struct.pack("<II", 4, length) + b"".join(packets[6000:])
    whole = account(content, 16 << 20)
    assert whole[1] == f"offset {len(head)}: block header says {length} bytes"
    assert len(whole[0]) == 6000
    assert account(content, 4096) == whole


def test_blocks_of_other_kinds_among_many_packets():
    chance = random.Random(1)
    content = bytearray(section() + interface())
    expected = []
    for ticks in range(12_000):
        expected.append(bytes(chance.randrange(300)))
        content += enhanced(expected[-1], ticks)
        if ticks % 300 == 0:
            content += chance.choice((block(5, bytes(40)), block(0xBAD, bytes(12)), interface()))
    whole = account(bytes(content), 16 << 20)
    assert [packet.frame for packet in whole[0]] == expected
    assert whole == account(bytes(content), 4096)


FRAMES = [random.Random(i).randbytes(200 + i % 7) for i in range(300)]


class TestGzip:
    @pytest.mark.parametrize("kind", [pcap, pcapng])
    @pytest.mark.parametrize("batch_bytes", [4096, 1 << 20])
    def test_members_and_padding(self, kind, batch_bytes):
        content = kind(FRAMES)
        packed = (
            gzip.compress(content[:9000]) + gzip.compress(b"") + bytes(3) + gzip.compress(content[9000:]) + bytes(600)
        )
        assert account(packed, batch_bytes) == account(content, batch_bytes)

    def test_progress_is_in_packed_bytes(self, tmp_path):
        path = tmp_path / "capture.gz"
        path.write_bytes(gzip.compress(pcap([bytes(1400)] * 3000)))
        _, reader = read_all(path)
        assert reader.position_bytes == reader.size_bytes == path.stat().st_size

    def test_a_wrong_checksum_costs_no_record(self):
        packed = bytearray(gzip.compress(pcap(FRAMES)))
        packed[-6] ^= 1
        packets, damage, _, _ = account(bytes(packed), 1 << 20)
        assert [packet.frame for packet in packets] == FRAMES
        assert damage is not None
        assert damage.endswith(": gzip data are damaged")

    def test_garbage_behind_the_data(self):
        packed = gzip.compress(pcap(FRAMES))
        packets, damage, _, _ = account(packed + b"\0\0garbage", 1 << 20)
        assert len(packets) == len(FRAMES)
        assert damage == f"offset {len(packed) + 2}: neither gzip data nor padding"

    @pytest.mark.parametrize("batch_bytes", [4096, 1 << 20])
    def test_every_tail_keeps_what_unpacks(self, batch_bytes):
        content = pcap(FRAMES)
        packed = gzip.compress(content)
        for size in range(len(packed) // 2, len(packed), 997):
            packets, damage, _, _ = account(packed[:size], batch_bytes)
            assert damage == f"offset {size}: gzip data end early"
            # Random bytes do not compress: about as many records unpack as lie in the part that is there.
            assert abs(len(packets) - len(FRAMES) * size / len(packed)) < 150
            assert [packet.frame for packet in packets[:-1]] == FRAMES[: len(packets) - 1]

    def test_damage_inside_names_the_unpacked_offset(self):
        packed = gzip.compress(pcap([b"ok"]) + struct.pack("<4I", 0, 0, 1 << 30, 0))
        assert account(packed, 1 << 20)[1] == "uncompressed offset 42: record header says 1073741824 bytes"
