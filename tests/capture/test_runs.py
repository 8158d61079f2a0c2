"""Runs: which packets are one stream without a long pause, and where they lie; and the bounds of the table."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.endpoint import Endpoint
from capture.errors import JournalError
from capture.intake import Intake
from capture.journal import EXTENT, MediaBlock
from capture.packets import Extent, read
from capture.runs import INLINE, PAUSE_NS, Claim, Run, RunLimits, RunTable, StreamKey
from tests.capture.batches import HERE, HERE_6, START_NS, THERE, THERE_6, batch_of, cut, frame_of, rtp
from tests.traffic.pcapwriter import Address, Wire, packed

BOUNDED = settings(max_examples=80, deadline=None)
MILLISECOND_NS = 1_000_000


def endpoint(address: Address) -> Endpoint:
    return Endpoint(packed(address.host), address.port)


def key_of(ssrc: int = 0x1234ABCD, source: Address = HERE, destination: Address = THERE) -> StreamKey:
    return endpoint(source), endpoint(destination), ssrc


def flow(ssrc: int = 0x1234ABCD, source: Address = HERE, destination: Address = THERE, **fields: int) -> np.ndarray:
    """One extent without times."""
    extent = np.zeros(1, EXTENT)
    record = extent["flow"]
    for name, address in (("source", source), ("destination", destination)):
        ip = packed(address.host)
        record[name][0, : len(ip)] = np.frombuffer(ip, np.uint8)
        record[f"{name}_port"][0] = np.frombuffer(address.port.to_bytes(2, "big"), np.uint8)
    record["ssrc"][0] = np.frombuffer(ssrc.to_bytes(4, "big"), np.uint8)
    record["version"] = 6 if ":" in source.host else 4
    for name, value in fields.items():
        record[name] = value
    extent["captured"] = extent["wire"] = 172
    return extent


def block(*extents: tuple[np.ndarray, int, int], rows: int = 2) -> MediaBlock:
    """(extent, first, last) in the order of the journal, addresses counting up."""
    joined = np.concatenate([extent for extent, _, _ in extents])
    joined["first_ns"] = [first for _, first, _ in extents]
    joined["last_ns"] = [last for _, _, last in extents]
    joined["rows"] = rows
    joined["address"] = joined["first_ns"] % (1 << 62)
    return MediaBlock(first_ns=int(joined["first_ns"].min()), last_ns=int(joined["last_ns"].max()), extents=joined)


def spans(table: RunTable) -> list[tuple[int, int, int]]:
    return [(run.first_ns, run.last_ns, run.rows) for run in table.by_number.values()]


class TestPauses:
    @pytest.mark.parametrize(("pause_ns", "runs"), [(0, 1), (PAUSE_NS, 1), (PAUSE_NS + 1, 2), (10 * PAUSE_NS, 2)])
    def test_a_pause_ends_a_run(self, pause_ns, runs):
        table = RunTable()
        table.register(block((flow(), 100, 200)))
        table.register(block((flow(), 200 + pause_ns, 300 + pause_ns)))
        assert len(table.by_number) == runs
        assert spans(table)[-1] == ((200 + pause_ns if runs == 2 else 100), 300 + pause_ns, 2 if runs == 2 else 4)
        assert [run.number for run in table.begun] == list(range(runs))

    def test_times_that_go_back_stay_in_the_run(self):
        table = RunTable()
        table.register(block((flow(), 10 * PAUSE_NS, 10 * PAUSE_NS)))
        table.register(block((flow(), PAUSE_NS, PAUSE_NS)))
        assert spans(table) == [(PAUSE_NS, 10 * PAUSE_NS, 4)]

    def test_the_order_of_extents_in_a_block_does_not_matter(self):
        """The journal orders by size; the packet within the pause may be the larger one."""
        small, large = flow(), flow()
        small["captured"] = 13
        tables = [RunTable(), RunTable()]
        for table in tables:
            table.register(block((large, 0, 0)))
        late, early = (small, PAUSE_NS + 1, PAUSE_NS + 1), (large, PAUSE_NS - 1, PAUSE_NS - 1)
        tables[0].register(block(late, early))
        tables[1].register(block(early))
        tables[1].register(block(late))
        assert spans(tables[0]) == spans(tables[1]) == [(0, PAUSE_NS + 1, 6)]

    @BOUNDED
    @given(
        steps=st.lists(
            st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from([0, 1, 20, 9000, 15_001, 31_000])),
            min_size=1,
            max_size=40,
        ),
        cuts=st.lists(st.floats(0, 1), max_size=6),
    )
    def test_blocks_do_not_matter(self, steps, cuts):
        ts_ns, frames, times = START_NS, [], []
        for number, (copy, size, step_ms) in enumerate(steps):
            ts_ns += step_ms * MILLISECOND_NS
            wire = Wire(vlans=(copy,)) if copy else Wire()
            frames.append(frame_of(rtp(number, 160 * number, b"\xd5" * (10 + size)), wire=wire))
            times.append(ts_ns)
        whole = batch_of(frames, times=times)
        expected = [[times[0], times[0], 0]]
        for ts_ns in times:
            if ts_ns - expected[-1][1] > PAUSE_NS:
                expected.append([ts_ns, ts_ns, 0])
            expected[-1][1:] = [ts_ns, expected[-1][2] + 1]
        places = sorted({0, len(frames), *(int(place * len(frames)) for place in cuts)})
        intake, table = Intake(frozenset()), RunTable()
        for low, high in itertools.pairwise(places):
            for window in intake.windows(cut(whole, low, high)):
                table.register(MediaBlock(first_ns=window.first_ns, last_ns=window.last_ns, extents=window.extents))
        assert spans(table) == [tuple(span) for span in expected]


class TestIdentity:
    @pytest.mark.parametrize(
        "fields",
        [{"interface": 1}, {"vlan_outer": 0x1005}, {"tunnel": 1}, {"ttl": 9}, {"tos": 9}],
        ids=lambda f: next(iter(f)),
    )
    def test_copies_share_a_run(self, fields):
        table = RunTable()
        table.register(block((flow(), 0, 1), (flow(**fields), 0, 1)))
        assert [run.key for run in table.by_number.values()] == [key_of()]
        assert table.by_number[0].rows == 4

    @pytest.mark.parametrize(
        "other",
        [
            (2, HERE, THERE),
            (1, Address(HERE.host, 1), THERE),
            (1, HERE, Address("192.0.2.77", THERE.port)),
            (1, THERE, HERE),
            (1, HERE_6, THERE_6),
        ],
        ids=["SSRC", "port", "address", "direction", "IPv6"],
    )
    def test_streams_do_not(self, other):
        table = RunTable()
        table.register(block((flow(1), 0, 1), (flow(*other), 0, 1)))
        assert [run.key for run in table.by_number.values()] == [key_of(1), key_of(*other)]

    def test_found_by_both_ends(self):
        table = RunTable()
        table.register(block((flow(1), 0, 1), (flow(2, THERE, HERE), 0, 1), (flow(3, HERE_6, THERE_6), 0, 1)))
        first, second, third = table.by_number.values()
        assert table.at(endpoint(HERE)) == table.at(endpoint(THERE)) == [first, second]
        assert table.at(endpoint(HERE_6)) == table.at(endpoint(THERE_6)) == [third]
        assert table.at(Endpoint(b"\0\0\0\0", 0)) == []

    def test_to_oneself(self):
        table = RunTable()
        table.register(block((flow(1, HERE, HERE), 0, 1)))
        assert len(table.at(endpoint(HERE))) == 1
        table.remove(table.by_number[0])
        assert table.at(endpoint(HERE)) == []


class TestRun:
    def test_extents_come_back(self):
        table = RunTable()
        extent = flow()
        extent["crc"] = 0xFFFFFFFF
        extent["wire"] = 0xFFFF
        first = block((extent, 5, 6), rows=0xFFFFFFFF)
        first.extents["address"] = (1 << 63) - 1
        table.register(first)
        table.register(block((flow(), 7, 8)))
        assert table.by_number[0].extents() == [
            Extent((1 << 63) - 1, 0xFFFFFFFF, 172, 0xFFFF, 0xFFFFFFFF),
            Extent(7, 2, 172, 172, 0),
        ]

    def test_keep_and_oldest(self):
        table = RunTable()
        for at in range(5):
            table.register(block((flow(), at, at)))
        run = table.by_number[0]
        assert run.oldest() == 0
        run.keep({1, 3})
        assert [extent.address for extent in run.extents()] == [1, 3]
        assert run.oldest() == 1
        run.keep(set())
        assert run.oldest() is None

    def test_what_two_legs_need_is_kept_until_both_are_done(self):
        table = RunTable()
        for at in range(5):
            table.register(block((flow(), at, at)))
        run = table.by_number[0]
        run.spend({3, 4}, "one", {"other"})
        assert [extent.address for extent in run.extents("one")] == [3, 4]
        assert [extent.address for extent in run.extents("other")] == [0, 1, 2, 3, 4]
        run.spend({1, 4}, "other", {"one"})
        assert [extent.address for extent in run.extents()] == [1, 3, 4]
        run.spend({1}, "one", {"other"})
        assert [extent.address for extent in run.extents("one")] == [4]
        assert [extent.address for extent in run.extents("other")] == [1, 4]
        run.spend(set(), "other", set())
        assert run.extents() == []
        assert not run.spent["other"]

    @pytest.mark.parametrize(
        ("claimed", "free"),
        [
            ([], [(10, 90)]),
            ([(0, 100)], []),
            ([(10, 90)], []),
            ([(30, 50)], [(10, 29), (51, 90)]),
            ([(50, 60), (20, 30)], [(10, 19), (31, 49), (61, 90)]),
            ([(20, 60), (30, 40)], [(10, 19), (61, 90)]),
            ([(0, 10)], [(11, 90)]),
            ([(90, 95)], [(10, 89)]),
            ([(95, 99)], [(10, 90)]),
        ],
    )
    def test_free_spans(self, claimed, free):
        run = Run(number=0, source=endpoint(HERE), destination=endpoint(THERE), ssrc=1, first_ns=10, last_ns=90)
        run.claimed = [Claim(low, high) for low, high in claimed]
        assert run.free_spans() == free


@BOUNDED
@given(claimed=st.lists(st.tuples(st.integers(-3, 25), st.integers(0, 8)), max_size=6), last=st.integers(0, 20))
def test_free_spans_are_what_no_call_took(claimed, last):
    run = Run(number=0, source=endpoint(HERE), destination=endpoint(THERE), ssrc=1, first_ns=0, last_ns=last)
    run.claimed = [Claim(low, low + length) for low, length in claimed]
    free = [ns for ns in range(last + 1) if not any(claim.low_ns <= ns <= claim.high_ns for claim in run.claimed)]
    found = run.free_spans()
    assert [ns for low, high in found for ns in range(low, high + 1)] == free
    assert all(second[0] - first[1] > 1 for first, second in itertools.pairwise(found))


class TestBounds:
    def test_runs(self):
        table = RunTable(limits=RunLimits(runs=3))
        for ssrc in range(5):
            table.register(block((flow(ssrc, Address(HERE.host, 1000 + ssrc), Address(THERE.host, 1000 + ssrc)), 0, 1)))
        assert (len(table.by_number), table.overflowed) == (3, 4)
        table.register(block((flow(0, Address(HERE.host, 1000), Address(THERE.host, 1000)), 2, 3)))
        assert table.by_number[0].rows == 4
        table.remove(table.by_number[1])
        table.register(block((flow(9), 4, 5)))
        assert len(table.by_number) == 3

    def test_made_up_ssrcs_keep_no_call_out(self):
        table = RunTable(limits=RunLimits(at_endpoint=10))
        for ssrc in range(50):
            table.register(block((flow(ssrc), 0, 1), rows=1))
        assert (len(table.by_number), table.overflowed) == (10, 40)
        table.register(block((flow(99), 2, 3), rows=2))
        assert (len(table.by_number), table.overflowed) == (11, 40)
        for ssrc in range(100, 200):
            table.register(block((flow(ssrc), 4, 5), rows=2))
        assert (len(table.by_number), table.overflowed) == (80, 40 + 2 * 31)
        table.register(block((flow(200, HERE_6, THERE_6), 4, 5), rows=1))
        assert len(table.by_number) == 81

    def test_flow_records_are_bounded(self):
        table = RunTable(limits=RunLimits(runs=4))
        for number in range(100):
            table.register(block((flow(vlan_outer=number), number, number)))
        assert len(table.by_number) == 1
        assert table.by_number[0].rows == 200
        assert len(table._by_flow) <= 8

    def test_remove_forgets_everything(self):
        table = RunTable()
        table.register(block((flow(), 0, 1)))
        run = table.by_number[0]
        table.remove(run)
        assert (table.by_number, table.at(endpoint(HERE))) == ({}, [])
        table.register(block((flow(), 2, 3)))
        assert spans(table) == [(2, 3, 2)]
        assert run.number not in table.by_number

    def test_the_run_after_a_pause_outlives_the_one_before(self):
        table = RunTable()
        table.register(block((flow(), 0, 1)))
        table.register(block((flow(), 2 * PAUSE_NS, 2 * PAUSE_NS)))
        table.remove(table.by_number[0])
        table.register(block((flow(), 2 * PAUSE_NS + 1, 2 * PAUSE_NS + 1)))
        assert spans(table) == [(2 * PAUSE_NS, 2 * PAUSE_NS + 1, 4)]


class TestInline:
    """Packets that came in fragments are held by their run."""

    @pytest.mark.parametrize("ts_ns", [START_NS, 0, -5])
    def test_read_back(self, ts_ns):
        table = RunTable()
        sent = [rtp(n, 160 * n, bytes([n]) * 100) for n in range(3)]
        for n, payload in enumerate(sent):
            table.add_packet(key_of(), ts_ns + n, payload)
        table.add_packet(key_of(7), ts_ns, sent[0])
        run = table.by_number[0]
        assert (run.rows, run.first_ns, run.last_ns) == (3, ts_ns, ts_ns + 2)
        assert all(extent.address >= INLINE for extent in run.extents())
        assert run.oldest() is None
        packets = read(run.extents(), table.read_inline)
        assert [packets.datagram(index) for index in range(3)] == sent
        assert packets.arrival_ns.tolist() == [ts_ns, ts_ns + 1, ts_ns + 2]
        assert packets.damaged == ()

    def test_joins_the_run_of_the_journal(self):
        table = RunTable()
        table.register(block((flow(), 0, 1)))
        table.add_packet(key_of(), 5, rtp(1, 2))
        assert spans(table) == [(0, 5, 3)]
        assert table.by_number[0].oldest() == 0

    def test_what_is_let_go_is_gone(self):
        table = RunTable()
        for n in range(4):
            table.add_packet(key_of(), n, rtp(n, n))
        run = table.by_number[0]
        extents = run.extents()
        run.keep({2})
        assert list(run.inline) == [extents[2].address]
        table.add_packet(key_of(), 9, rtp(9, 9))
        packets = read(run.extents(), table.read_inline)
        assert packets.sequence.tolist() == [2, 9]
        assert read(extents[:1], table.read_inline).damaged == (extents[0],)
        table.remove(run)
        with pytest.raises(JournalError):
            table.read_inline(extents[2].address, memoryview(bytearray(8)))

    def test_memory_is_bounded(self):
        table = RunTable(limits=RunLimits(inline_bytes=1000))
        for n in range(20):
            table.add_packet(key_of(n), n, rtp(n, n, b"x" * 80))
        assert (len(table.by_number), table.overflowed, table.state.inline_bytes) == (10, 10, 1000)
        table.remove(table.by_number[3])
        table.add_packet(key_of(50), 50, rtp(1, 1, b"x" * 80))
        assert (len(table.by_number), table.state.inline_bytes) == (10, 1000)


def test_a_table_made_from_the_state_goes_on_the_same():
    tables = [RunTable(), RunTable()]
    for at in range(0, 10 * PAUSE_NS, 2 * PAUSE_NS // 3):
        for number, table in enumerate(tables):
            table.register(block((flow(at % 3), at, at + 5), (flow(7, HERE_6, THERE_6), at + 1, at + 2)))
            table.add_packet(key_of(9), at, rtp(1, 2))
            if at == 2 * PAUSE_NS:
                table.remove(table.by_number[0])
            if number:
                tables[1] = RunTable(table.state)
    first, second = tables
    assert spans(first) == spans(second)
    assert [run.extents() for run in first.by_number.values()] == [run.extents() for run in second.by_number.values()]
    for end in (HERE, THERE_6):
        assert [run.number for run in first.at(endpoint(end))] == [run.number for run in second.at(endpoint(end))]


def test_many_streams_in_any_order():
    chance = random.Random(1)
    table = RunTable()
    expected: dict = {}
    for at in range(0, 200_000, 1000):
        extents = []
        for ssrc in chance.sample(range(20), 7):
            extents.append((flow(ssrc), at + ssrc, at + ssrc + 500))
            low, _, rows = expected.get(ssrc, (at + ssrc, 0, 0))
            expected[ssrc] = (low, at + ssrc + 500, rows + 2)
        table.register(block(*extents))
    assert {run.ssrc: (run.first_ns, run.last_ns, run.rows) for run in table.by_number.values()} == expected


def test_a_run_knows_the_ports_it_was_seen_at() -> None:
    table = RunTable()
    table.register(block((flow(interface=3), 10, 20), (flow(interface=300), 12, 22), (flow(7, interface=1), 10, 20)))
    table.register(block((flow(interface=3), 30, 40)))
    both, other = table.by_number.values()
    assert [sorted(run.interfaces) for run in (both, other)] == [[3, 300], [1]]


def test_the_port_of_fragments_is_not_known() -> None:
    table = RunTable()
    table.register(block((flow(interface=3), 10, 20)))
    table.add_packet(key_of(), 30, rtp(1, 2))
    (run,) = table.by_number.values()
    assert run.interfaces == frozenset()
