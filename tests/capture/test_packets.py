"""A stream's packets read back from the journal: all of them, in order of arrival; damage costs its extent alone."""

import itertools
import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture import journal
from capture.errors import JournalError
from capture.intake import Intake
from capture.journal import MediaBlock
from capture.packets import Extent, Packets, read, replace_datagrams
from capture.runs import RunTable
from tests.capture.batches import START_NS, batch_of, cut, frame_of, rtp

BOUNDED = settings(max_examples=60, deadline=None)


class Memory:
    """A journal in memory."""

    def __init__(self) -> None:
        self.data = bytearray(b"something before")

    def read_into(self, address: int, target: memoryview) -> None:
        if address + len(target) > len(self.data):
            raise JournalError("not there")
        target[:] = self.data[address : address + len(target)]

    def append(self, block: MediaBlock, rows: Sequence[np.ndarray]) -> None:
        address = len(self.data)
        for content in journal.serialize_media(block.first_ns, block.last_ns, block.extents, rows):
            self.data += content.tobytes()
        block.extents["address"] += np.uint64(address)


def written(
    payloads: Sequence[bytes], times: Sequence[int], cuts: Sequence[int] = (), snap_bytes: int = 1 << 16
) -> tuple[Memory, list[Extent]]:
    """One stream through intake into the journal."""
    frames = [frame_of(payload) for payload in payloads]
    whole = batch_of([f[:snap_bytes] for f in frames], times=times, wires=[len(f) for f in frames])
    memory, table, intake = Memory(), RunTable(), Intake(frozenset())
    places = [0, *sorted(cuts), len(frames)]
    for low, high in itertools.pairwise(places):
        for window in intake.windows(cut(whole, low, high)):
            block = MediaBlock(first_ns=window.first_ns, last_ns=window.last_ns, extents=window.extents)
            memory.append(block, window.rows)
            table.register(block)
    return memory, [extent for run in table.by_number.values() for extent in run.extents()]


def datagrams(packets: Packets) -> list[bytes]:
    return [packets.datagram(index) for index in range(len(packets))]


def stream(sizes: Sequence[int]) -> list[bytes]:
    return [rtp(65530 + n, (1 << 32) - 800 + 160 * n, bytes([n % 256]) * size) for n, size in enumerate(sizes)]


@BOUNDED
@given(
    content=st.lists(
        st.tuples(st.sampled_from([1, 160, 160, 160, 4, 1300]), st.sampled_from([0, 0, 1, 20, 3000])),
        min_size=1,
        max_size=50,
    ),
    cuts=st.lists(st.integers(0, 50), max_size=6),
)
def test_what_went_in_comes_out(content, cuts):
    payloads = stream([size for size, _ in content])
    times = (START_NS + np.cumsum([step for _, step in content]) * 1_000_000).tolist()
    cuts = [place for place in cuts if place <= len(payloads)]
    memory, extents = written(payloads, times, cuts)
    packets = read(extents, memory.read_into)
    assert packets.arrival_ns.tolist() == times
    assert sorted(zip(packets.arrival_ns.tolist(), datagrams(packets), strict=True)) == sorted(
        zip(times, payloads, strict=True)
    )
    for index, payload in enumerate(datagrams(packets)):
        start = int(packets.payload_start[index])
        row = packets.pieces[packets.piece[index]][packets.row[index]]
        assert row[start : start + packets.payload_bytes[index]].tobytes() == payload[12:]
        assert packets.sequence[index] == int.from_bytes(payload[2:4], "big")
        assert packets.rtp_time[index] == int.from_bytes(payload[4:8], "big")
    assert (packets.payload_type == 8).all()
    assert not packets.missing_bytes.any()
    assert (packets.invalid, packets.damaged) == (0, ())
    by_extent = np.bincount(packets.extent, minlength=len(extents)).tolist()
    assert by_extent == [extent.rows for extent in extents]
    one_block, one = written(payloads, times)
    assert datagrams(read(one, one_block.read_into)) == datagrams(packets)


def test_times_that_go_back_are_put_in_order():
    payloads, times = stream([160] * 4), [START_NS + n for n in (5, 3, 9, 3)]
    memory, extents = written(payloads, times)
    packets = read(extents, memory.read_into)
    assert packets.arrival_ns.tolist() == [START_NS + n for n in (3, 3, 5, 9)]
    assert datagrams(packets) == [payloads[1], payloads[3], payloads[0], payloads[2]]


def test_no_extents():
    packets = read([], Memory().read_into)
    assert len(packets) == 0
    assert len(packets.select(np.zeros(0, np.int64))) == 0


def test_select_shares_the_pieces():
    memory, extents = written(stream([160, 20, 160]), [START_NS + n for n in range(3)])
    packets = read(extents, memory.read_into)
    chosen = packets.select(packets.payload_bytes == 160)
    assert datagrams(chosen) == [datagrams(packets)[0], datagrams(packets)[2]]
    assert chosen.pieces is packets.pieces


class TestRtpHeaders:
    def test_csrc_extension_and_padding(self):
        head = rtp(1, 2, b"")[1:]
        payloads = [
            b"\x82" + head + bytes(8) + b"speech",
            b"\x90" + head + b"\xbe\xde\x00\x01abcd" + b"speech",
            b"\xa0" + head + b"speech" + b"\0\0\x03",
            b"\xb1" + head + bytes(4) + b"\0\0\0\0" + b"speech" + b"\x01",
        ]
        memory, extents = written(payloads, [START_NS + n for n in range(4)])
        packets = read(extents, memory.read_into)
        for index in range(4):
            row = packets.pieces[packets.piece[index]][packets.row[index]]
            start, size = int(packets.payload_start[index]), int(packets.payload_bytes[index])
            assert row[start : start + size].tobytes() == b"speech"

    @pytest.mark.parametrize("first", [b"\x8f", b"\x90", b"\xa0"], ids=["CSRCs", "extension", "padding"])
    def test_what_cannot_be_rtp_is_counted(self, first):
        wrong = first + rtp(2, 160, b"\xff" * 20)[1:]
        memory, extents = written(
            [rtp(1, 0, b"x" * 20), wrong, rtp(3, 320, b"x" * 20)], [START_NS + n for n in range(3)]
        )
        packets = read(extents, memory.read_into)
        assert packets.sequence.tolist() == [1, 3]
        assert packets.invalid == 1
        assert len(datagrams(packets)) == 2


class TestSnapLength:
    @pytest.mark.parametrize("cut_bytes", [1, 80, 159, 160])
    def test_what_is_there_is_used(self, cut_bytes):
        payloads = stream([160] * 5)
        memory, extents = written(payloads, [START_NS + n for n in range(5)], snap_bytes=42 + 172 - cut_bytes)
        packets = read(extents, memory.read_into)
        assert packets.payload_bytes.tolist() == [160 - cut_bytes] * 5
        assert packets.missing_bytes.tolist() == [cut_bytes] * 5
        assert datagrams(packets) == [payload[: 172 - cut_bytes] for payload in payloads]

    @pytest.mark.parametrize("speech", [b"\xd5", b"\x00", b"\x05"])
    def test_speech_is_not_taken_for_a_padding_count(self, speech):
        padded = b"\xa0" + rtp(1, 2, speech * 160 + b"\0\0\0\x04")[1:]
        memory, extents = written([padded], [START_NS], snap_bytes=42 + 12 + 100)
        packets = read(extents, memory.read_into)
        assert (packets.payload_bytes.tolist(), packets.missing_bytes.tolist(), packets.invalid) == ([100], [64], 0)


class TestDamage:
    def test_costs_its_extent_alone(self):
        payloads = stream([160, 20] * 20)
        times = [START_NS + n * 1_000_000 for n in range(40)]
        memory, extents = written(payloads, times, cuts=[10, 20, 30])
        assert len(extents) == 8
        for number, extent in enumerate(extents):
            place = extent.address + random.Random(number).randrange(extent.rows * (8 + extent.captured))
            memory.data[place] ^= 0x10
            packets = read(extents, memory.read_into)
            memory.data[place] ^= 0x10
            assert packets.damaged == (extent,)
            assert len(packets) == 40 - extent.rows
            lost = set(payloads) - set(datagrams(packets))
            assert {len(payload) for payload in lost} == {extent.captured}
            assert number not in packets.extent
            assert (np.diff(packets.arrival_ns) >= 0).all()

    def test_what_the_journal_forgot(self):
        memory, extents = written(stream([160] * 20), [START_NS + n for n in range(20)], cuts=[10])
        gone = [extents[0]._replace(address=1 << 40), extents[1]]
        packets = read(gone, memory.read_into)
        assert packets.damaged == (gone[0],)
        assert packets.sequence.tolist() == read(extents[1:], memory.read_into).sequence.tolist()
        assert packets.extent.tolist() == [1] * 10

    def test_everything(self):
        memory, extents = written(stream([160, 30] * 5), [START_NS + n for n in range(10)])
        packets = read([extent._replace(crc=extent.crc ^ 1) for extent in extents], memory.read_into)
        assert (len(packets), len(packets.damaged)) == (0, 2)


class TestReplace:
    def test_other_lengths_and_gaps(self):
        payloads = stream([160, 20, 160, 160, 20])
        memory, extents = written(payloads, [START_NS + n for n in range(5)])
        packets = read(extents, memory.read_into)
        clear = [payloads[0][:-10], None, payloads[2] + b"more", b"not RTP at all", payloads[4]]
        opened, which = replace_datagrams(packets, clear)
        assert which.tolist() == [0, 2, 4]
        assert datagrams(opened) == [clear[0], clear[2], clear[4]]
        assert opened.arrival_ns.tolist() == [START_NS, START_NS + 2, START_NS + 4]
        assert opened.payload_bytes.tolist() == [150, 164, 20]
        assert opened.extent.tolist() == packets.extent[which].tolist()
        assert opened.invalid == 1

    @pytest.mark.parametrize("clear", [[None] * 3, [b""] * 3])
    def test_none_left(self, clear):
        memory, extents = written(stream([160] * 3), [START_NS + n for n in range(3)])
        opened, which = replace_datagrams(read(extents, memory.read_into), clear)
        assert (len(opened), which.tolist()) == (0, [])

    def test_of_nothing(self):
        opened, which = replace_datagrams(read([], Memory().read_into), [])
        assert (len(opened), len(which)) == (0, 0)


def test_equal_times_have_one_order_whatever_the_blocks():
    """A clock of coarse ticks: packets of several sizes at one instant."""
    payloads = stream([160, 20, 160, 20, 5, 160])
    orders: defaultdict = defaultdict(int)
    for cuts in ([], [1], [2], [3], [1, 2, 3, 4, 5]):
        memory, extents = written(payloads, [START_NS] * 6, cuts=cuts)
        orders[tuple(datagrams(read(extents, memory.read_into)))] += 1
    assert len(orders) == 1
