"""Sending order: wraps, lateness, copies, restarts; and a stream cut anywhere is ordered like one in a piece."""

import itertools
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.sequence import LOOK_AHEAD, SequenceCarry, Sequenced, put_in_order

BOUNDED = settings(max_examples=150, deadline=None)
START_NS = 1_767_287_045_000_000_000
SLOT_NS = 20_000_000


class Sent(NamedTuple):
    """A packet, its numbers not yet wrapped."""

    sequence: int
    rtp_time: int
    arrival_ns: int


def ordered(packets: Sequence[Sent], carry: SequenceCarry | None = None) -> Sequenced:
    """Put packets in order that are given in order of arrival."""
    assert all(a.arrival_ns <= b.arrival_ns for a, b in itertools.pairwise(packets))
    return put_in_order(
        np.array([packet.sequence % (1 << 16) for packet in packets], np.uint16),
        np.array([packet.rtp_time % (1 << 32) for packet in packets], np.uint32),
        np.array([packet.arrival_ns for packet in packets], np.int64),
        carry,
    )


def stream(count: int, *, sequence: int = 1000, rtp_time: int = 5000, slot: int = 0) -> list[Sent]:
    """`count` packets of 20 ms, on time."""
    return [Sent(sequence + n, rtp_time + 160 * n, START_NS + (slot + n) * SLOT_NS) for n in range(count)]


def arriving(packets: Sequence[Sent]) -> list[Sent]:
    return sorted(packets, key=lambda packet: packet.arrival_ns)


def late(packet: Sent, by_ns: int) -> Sent:
    return packet._replace(arrival_ns=packet.arrival_ns + by_ns)


def check(result: Sequenced, packets: Sequence[Sent]) -> None:
    """What holds of every result."""
    index = result.index
    assert sorted([*index, *result.duplicate, *result.before_carry]) == list(range(len(packets)))
    epochs = np.diff(result.epoch)
    assert (epochs >= 0).all()
    assert (np.diff(result.sequence)[epochs == 0] >= 0).all()
    for column, name, modulus in ((result.sequence, "sequence", 1 << 16), (result.rtp_time, "rtp_time", 1 << 32)):
        told = [int(value) % modulus for value in column[~result.odd]]
        assert told == [getattr(packets[i], name) % modulus for i in index[~result.odd]]
    for copy, place in zip(result.duplicate, result.original, strict=True):
        first = packets[index[place]]
        assert packets[copy][:2] == first[:2]
        assert index[place] < copy


def sending(result: Sequenced, packets: Sequence[Sent]) -> list[Sent]:
    return [packets[i] for i in result.index]


class TestWraps:
    @pytest.mark.parametrize("count", [5, 32_769, 65_537, 140_000])
    @pytest.mark.parametrize("lossy", [False, True])
    def test_sequence(self, count, lossy):
        packets = stream(count, sequence=65_530, rtp_time=(1 << 32) - 400)
        if lossy:
            del packets[3]
        result = ordered(packets)
        assert (np.diff(result.sequence) == np.diff([packet.sequence for packet in packets])).all()
        assert (np.diff(result.rtp_time) == np.diff([packet.rtp_time for packet in packets])).all()
        assert not result.epoch.any()
        assert not len(result.reordered)
        assert result.sequence[0] == 65_530

    def test_reordering_across_the_wrap(self):
        packets = stream(40, sequence=65_520)
        packets[15], packets[16], packets[17] = (
            late(packets[15], 60_000_000),
            packets[16],
            late(packets[17], 50_000_000),
        )
        seen = arriving(packets)
        result = ordered(seen)
        check(result, seen)
        assert sending(result, seen) == packets
        assert (np.diff(result.sequence) == 1).all()

    def test_a_timestamp_that_wraps_alone(self):
        packets = stream(10, rtp_time=(1 << 32) - 480)
        assert (np.diff(ordered(packets).rtp_time) == 160).all()

    def test_first_packet_late_at_the_wrap(self):
        """The numbers go below those of the packet that came first."""
        packets = stream(5, sequence=65_534)
        seen = arriving([late(packets[0], 50_000_000), late(packets[1], 50_000_000), *packets[2:]])
        result = ordered(seen)
        assert [packet.sequence for packet in sending(result, seen)] == list(range(65_534, 65_539))
        assert (np.diff(result.sequence) == 1).all()


class TestLateness:
    @pytest.mark.parametrize("by_s", [0.1, 1, 5, 60])
    def test_a_late_packet_stays_in_its_epoch(self, by_s):
        packets = stream(4000)
        packets[100] = late(packets[100], int(by_s * 1e9) + 1)
        seen = arriving(packets)
        result = ordered(seen)
        check(result, seen)
        assert sending(result, seen) == packets
        assert not result.epoch.any()
        assert [result.index[place] for place in result.reordered] == [seen.index(packets[100])]

    def test_reordered_are_those_behind_a_higher_number(self):
        packets = stream(10)
        seen = [packets[i] for i in (0, 1, 4, 2, 3, 5, 9, 6, 8, 7)]
        seen = [packet._replace(arrival_ns=START_NS + n) for n, packet in enumerate(seen)]
        result = ordered(seen)
        assert result.reordered.tolist() == [2, 3, 6, 7, 8]
        assert result.sequence[result.reordered].tolist() == [1002, 1003, 1006, 1007, 1008]

    def test_copies_are_not_reordered(self):
        packets = stream(4)
        seen = [packets[0], packets[1], packets[0], packets[2], packets[1], packets[3]]
        seen = [packet._replace(arrival_ns=START_NS + n) for n, packet in enumerate(seen)]
        result = ordered(seen)
        check(result, seen)
        assert len(result.reordered) == 0
        assert sorted(result.duplicate.tolist()) == [2, 4]


class TestCopies:
    @pytest.mark.parametrize("delay_ns", [40_000, SLOT_NS // 2, 5 * SLOT_NS + 1, 2_000_000_000])
    def test_a_doubled_mirror(self, delay_ns):
        packets = stream(300, sequence=65_400)
        seen = arriving([*packets, *(late(packet, delay_ns) for packet in packets)])
        result = ordered(seen)
        check(result, seen)
        assert [packet[:2] for packet in sending(result, seen)] == [packet[:2] for packet in packets]
        assert len(result.duplicate) == 300
        assert len(result.reordered) == 0

    def test_what_one_copy_lost_the_other_has(self):
        packets = stream(100)
        first = [packet for n, packet in enumerate(packets) if n % 7]
        second = [late(packet, 40_000) for n, packet in enumerate(packets) if n % 5]
        seen = arriving([*first, *second])
        result = ordered(seen)
        check(result, seen)
        assert [packet[:2] for packet in sending(result, seen)] == [
            packet[:2] for n, packet in enumerate(packets) if n % 35
        ]

    def test_the_same_number_with_another_timestamp_is_no_copy(self):
        packets = stream(3)
        packets.insert(2, packets[1]._replace(rtp_time=packets[1].rtp_time + 7))
        result = ordered(packets)
        assert len(result.index) == 4
        assert len(result.duplicate) == 0


class TestRestarts:
    @pytest.mark.parametrize(
        ("sequence", "rtp_time"),
        [
            (s, t)
            for s in (40_000, 10_000, 0, 1050 + 3002, 1050 + 200, 1050 - 200)
            for t in (0, 3_000_000_000, 77, 13_000)
        ]
        + [(s, t) for s in (1049, 1000, 990) for t in (3_000_000_000, 1_000_000)],
    )
    def test_a_new_epoch(self, sequence, rtp_time):
        packets = stream(50) + stream(50, sequence=sequence, rtp_time=rtp_time, slot=50)
        result = ordered(packets)
        check(result, packets)
        assert result.index.tolist() == list(range(100))
        assert result.epoch.tolist() == [0] * 50 + [1] * 50
        assert not len(result.reordered)

    def test_reordering_behind_a_restart_to_lower_numbers(self):
        packets = stream(10, sequence=30_000) + stream(10, sequence=5000, rtp_time=9, slot=10)
        packets[15] = late(packets[15], 30_000_000)
        seen = arriving(packets)
        result = ordered(seen)
        assert sending(result, seen) == packets
        assert [result.sequence[place] % 65536 for place in result.reordered] == [5005]

    def test_of_a_doubled_mirror(self):
        packets = stream(50) + stream(50, sequence=30_000, rtp_time=1, slot=50)
        seen = arriving([*packets, *(late(packet, 40_000) for packet in packets)])
        result = ordered(seen)
        check(result, seen)
        assert result.epoch.tolist() == [0] * 50 + [1] * 50
        assert len(result.duplicate) == 100

    def test_a_lone_forged_packet(self):
        packets = stream(100)
        forged = Sent(41_000, 3_333_333_333, packets[50].arrival_ns + 1)
        seen = arriving([*packets, forged])
        result = ordered(seen)
        check(result, seen)
        assert result.index.tolist() == list(range(101))
        assert np.flatnonzero(result.odd).tolist() == [51]
        assert not result.epoch.any()
        assert [packet for packet, odd in zip(sending(result, seen), result.odd, strict=True) if not odd] == packets
        assert not len(result.reordered)
        assert int(np.maximum(np.diff(result.sequence) - 1, 0).sum()) == 0

    @pytest.mark.parametrize("gap", [2999, 3500, 30_000, 32_767, 33_000, 65_000, 65_550, 200_000])
    def test_a_long_loss_is_no_restart(self, gap):
        packets = stream(20) + stream(20, sequence=1020 + gap, rtp_time=5000 + 160 * (20 + gap), slot=20 + gap)
        result = ordered(packets)
        assert not result.epoch.any()
        assert np.diff(result.sequence).max() == gap + 1

    def test_a_restart_behind_a_long_pause_is_no_loss(self):
        gap = 40_000
        packets = stream(20) + stream(20, sequence=50_000, rtp_time=77 + 160 * gap, slot=20 + gap)
        assert ordered(packets).epoch.tolist() == [0] * 20 + [1] * 20

    @pytest.mark.parametrize("slots", [3000, 40_000, 65_536])
    def test_silence_is_no_restart(self, slots):
        packets = stream(20) + stream(20, sequence=1020, rtp_time=5000 + 160 * slots, slot=slots)
        result = ordered(packets)
        assert not result.epoch.any()
        assert np.diff(result.sequence).max() == 1


def carry_of(result: Sequenced, packets: Sequence[Sent], consumed: int) -> SequenceCarry:
    last = int(np.flatnonzero(~result.odd[:consumed])[-1])
    copies = [result.index[consumed - 1], *result.duplicate[result.original == consumed - 1]]
    return SequenceCarry(
        epoch=int(result.epoch[last]),
        sequence=int(result.sequence[last]),
        rtp_time=int(result.rtp_time[last]),
        arrival_ns=packets[result.index[last]].arrival_ns,
        odd_until_ns=max(packets[copy].arrival_ns for copy in copies) if last < consumed - 1 else -1,
    )


class TestCarry:
    @pytest.mark.parametrize("sequence", [40_000, 1010, 990, 0])
    def test_a_restart_right_at_the_cut(self, sequence):
        packets = stream(50) + stream(50, sequence=sequence, rtp_time=3_000_000_000, slot=50)
        whole = ordered(packets)
        for again in (0, 1, 30):
            rest = ordered(packets[50 - again :], carry_of(whole, packets, 50))
            assert (rest.index + 50 - again).tolist() == whole.index[50:].tolist()
            assert rest.epoch.tolist() == whole.epoch[50:].tolist()
            assert rest.before_carry.tolist() == list(range(again))

    def test_a_restart_before_the_cut_whose_packets_come_again(self):
        packets = stream(50) + stream(50, sequence=20_000, rtp_time=3_000_000_000, slot=50)
        whole = ordered(packets)
        rest = ordered(packets[30:], carry_of(whole, packets, 60))
        assert (rest.index + 30).tolist() == list(range(60, 100))
        assert rest.sequence.tolist() == whole.sequence[60:].tolist()
        assert rest.before_carry.tolist() == list(range(30))

    def test_a_packet_too_late_for_its_part(self):
        packets = stream(100)
        packets[20] = late(packets[20], 30 * SLOT_NS + 1)
        seen = arriving(packets)
        closed = seen[:40]
        first = ordered(closed)
        rest = ordered(seen[40:], carry_of(first, closed, len(first.index)))
        assert [seen[40 + row] for row in rest.before_carry] == [packets[20]]

    def test_nothing_new(self):
        packets = stream(10)
        carry = carry_of(ordered(packets), packets, 10)
        assert len(ordered([], carry).index) == 0
        assert ordered(packets, carry).before_carry.tolist() == list(range(10))

    @pytest.mark.parametrize("cut", [1, 40_000, 70_000, 139_999])
    def test_far_beyond_the_wrap(self, cut):
        packets = stream(140_000, sequence=50_000, rtp_time=(1 << 32) - 1_000_000)
        whole = ordered(packets)
        rest = ordered(packets[cut:], carry_of(whole, packets, cut))
        assert (rest.sequence == whole.sequence[cut:]).all()
        assert (rest.rtp_time == whole.rtp_time[cut:]).all()
        assert not len(rest.before_carry)


def eventful(seed: int, count: int) -> list[Sent]:
    """A stream with loss, pauses, restarts, forged packets, lateness and copies, in order of arrival."""
    chance = random.Random(seed)
    sequence, rtp_time, clock = chance.choice([1000, 65_500, 32_760]), chance.choice([0, (1 << 32) - 9000]), START_NS
    packets: list[Sent] = []
    doubled = chance.random() < 0.3
    for _ in range(count):
        event = chance.random()
        if event < 0.02:
            clock += 3_000_000_000
            rtp_time += 24_000
        elif event < 0.04:
            sequence, rtp_time = (
                sequence + chance.choice((chance.randrange(1 << 16), chance.randrange(-150, 150))),
                chance.randrange(1 << 32),
            )
        elif event < 0.05:
            packets.append(Sent(chance.randrange(1 << 16), chance.randrange(1 << 32), clock + 1))
        clock, sequence, rtp_time = clock + SLOT_NS, sequence + 1, rtp_time + 160
        if event > 0.95:
            continue
        delay = chance.choice([0, 0, 0, 7_000_000, 45_000_000, 300_000_000]) if event > 0.3 else 0
        packets.append(Sent(sequence, rtp_time, clock + delay))
        if doubled:
            packets.append(Sent(sequence, rtp_time, clock + delay + 40_000))
    return arriving(packets)


@BOUNDED
@given(seed=st.integers(0, 1 << 32), count=st.integers(1, 200))
def test_invariants(seed, count):
    packets = eventful(seed, count)
    check(ordered(packets), packets)


@BOUNDED
@given(
    seed=st.integers(0, 1 << 32),
    count=st.integers(2, 200),
    close=st.floats(0, 1),
    share=st.floats(0, 1),
    again=st.floats(0, 1),
)
def test_a_cut_anywhere_gives_the_same_as_one_piece(seed, count, close, share, again):
    """A part is closed some time after its cut; what it used, and what it used of, may be seen again by the next.

    What the last packets are, only those behind them tell.
    """
    packets = eventful(seed, count)
    whole = ordered(packets)
    seen = 1 + int(close * (len(packets) - 1))
    beyond = np.flatnonzero(whole.index >= seen - LOOK_AHEAD)
    settled = int(beyond[0]) if len(beyond) else len(whole.index)
    consumed = int(share * settled)
    if not consumed:
        return
    first = ordered(packets[:seen])
    assert first.index[:consumed].tolist() == whole.index[:consumed].tolist()
    assert first.sequence[:consumed].tolist() == whole.sequence[:consumed].tolist()
    unused = whole.index[consumed:]
    low = int(again * min(unused, default=len(packets)))
    rest = ordered(packets[low:], carry_of(first, packets, consumed))
    assert (rest.index + low).tolist() == unused.tolist()
    assert rest.sequence.tolist() == whole.sequence[consumed:].tolist()
    assert rest.rtp_time.tolist() == whole.rtp_time[consumed:].tolist()
    assert rest.epoch.tolist() == whole.epoch[consumed:].tolist()


def sent_with_restarts(chance: random.Random, restarts: int) -> list[list[Sent]]:
    """What a sender sent, on time, epoch by epoch, without what was lost on the way: up to 400 s at a time."""
    sequence, rtp_time, clock = chance.randrange(1 << 16), chance.randrange(1 << 32), START_NS
    epochs: list[list[Sent]] = []
    for _ in range(1 + restarts):
        epochs.append([])
        for _ in range(chance.randrange(1, 80)):
            step = 1 + chance.choice([0] * 8 + [1, 50, 2900, 20_000])
            sequence, rtp_time, clock = sequence + step, rtp_time + 160 * step, clock + step * SLOT_NS
            epochs[-1].append(Sent(sequence, rtp_time, clock))
        sequence += chance.randrange(5000, 60_000)
        rtp_time += chance.randrange(1 << 28, 15 << 28)
        clock += 8_000_000_000
    return epochs


@BOUNDED
@given(seed=st.integers(0, 1 << 32), restarts=st.integers(0, 3), copies=st.integers(1, 3))
def test_what_was_sent_comes_out(seed, restarts, copies):
    """Cycles of the numbers, lateness up to 5 s, copies that overtake each other, restarts."""
    chance = random.Random(seed)
    epochs = sent_with_restarts(chance, restarts)
    sent = [packet for epoch in epochs for packet in epoch]
    number = {packet[:2]: epoch for epoch, packets in enumerate(epochs) for packet in packets}
    delays = [0, 0, 0, 0, 40_000, 45_000_000, 2_000_000_000, 5_000_000_000]
    seen = arriving([late(packet, chance.choice(delays)) for packet in sent for _ in range(chance.randint(1, copies))])
    result = ordered(seen)
    check(result, seen)
    assert [packet[:2] for packet in sending(result, seen)] == [packet[:2] for packet in sent]
    assert result.epoch.tolist() == [number[packet[:2]] for packet in sent]
    within = np.diff(result.epoch) == 0
    assert np.diff(result.sequence)[within].tolist() == np.diff([packet.sequence for packet in sent])[within].tolist()
    assert np.diff(result.rtp_time)[within].tolist() == np.diff([packet.rtp_time for packet in sent])[within].tolist()
    overtaken, highest, met = [], -1, set()
    for packet in seen:
        if packet[:2] not in met:
            met.add(packet[:2])
            if packet.sequence < highest:
                overtaken.append(packet[:2])
            highest = max(highest, packet.sequence)
    assert sorted(seen[result.index[place]][:2] for place in result.reordered) == sorted(overtaken)


def test_nothing():
    result = ordered([])
    assert len(result.index) == len(result.duplicate) == len(result.reordered) == len(result.before_carry) == 0


class Reference(NamedTuple):
    """What RFC 3550 counts: numbers in the span of those seen that are absent, seen twice, or behind a higher one."""

    lost: int
    duplicates: int
    reordered: int


def count_slowly(seen: Sequence[Sent], forged: set[int]) -> Reference:
    """The account of one sender's packets, one after the other, by someone who knows which are forged."""
    met: set[int] = set()
    duplicates = reordered = 0
    for place, packet in enumerate(seen):
        if place in forged:
            continue
        if packet.sequence in met:
            duplicates += 1
            continue
        reordered += bool(met) and packet.sequence < max(met)
        met.add(packet.sequence)
    return Reference(max(met) - min(met) + 1 - len(met), duplicates, reordered)


def counted(result: Sequenced) -> Reference:
    steps = np.diff(result.sequence) - 1
    within = np.diff(result.epoch) == 0
    return Reference(int(np.maximum(steps[within], 0).sum()), len(result.duplicate), len(result.reordered))


def disturbed(chance: random.Random, count: int) -> tuple[list[Sent], set[int]]:
    """A stream with loss, lateness and copies, and single forged packets among them; where those lie."""
    packets = stream(
        count, sequence=chance.choice([1000, 65_400, 65_530]), rtp_time=chance.choice([0, (1 << 32) - 9000])
    )
    share, doubled = chance.choice([0, 0.02, 0.3]), chance.random() < 0.3
    for _ in range(chance.randrange(3)):  # bursts, up to what RFC 3550 takes for a gap and beyond
        at = chance.randrange(count)
        del packets[at : at + chance.choice([1, 5, 90, 110])]
    sent = [packet for packet in packets if chance.random() >= share]
    sent = [late(packet, chance.choice([0, 0, 0, 45_000_000, 300_000_000])) for packet in sent]
    if doubled:
        sent += [late(packet, 40_000) for packet in sent]
    seen = arriving(sent)
    forged = []
    for _ in range(chance.randrange(4)):
        at = chance.randrange(12, max(13, len(seen) - 12))
        if at + 12 < len(seen):
            number, rtp_time = (
                (seen[at].sequence + chance.randrange(200, 65_000)) % (1 << 16),
                chance.randrange(1 << 32),
            )
            forged.append(Sent(number, rtp_time, seen[at].arrival_ns + 1))
    seen = arriving([*seen, *forged])
    return seen, {place for place, packet in enumerate(seen) if packet in forged}


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 1 << 32), count=st.integers(60, 700))
def test_the_account_is_that_of_a_slow_reader(seed, count):
    """Loss, reordering, copies, wraps; and no single forged packet hides what was lost beside it, or adds to it."""
    seen, forged = disturbed(random.Random(seed), count)
    if len(seen) - len(forged) < 2:
        return
    result = ordered(seen)
    check(result, seen)
    assert set(result.index[result.odd].tolist()) == forged
    assert counted(result) == count_slowly(seen, forged)


@pytest.mark.parametrize("lost", [1, 5, 90, 150, 3500, 33_000])
@pytest.mark.parametrize("forged", [1, 2, 3], ids=lambda number: f"{number} forged")
@pytest.mark.parametrize("copies", [1, 2])
def test_loss_beside_forged_packets_is_counted(lost, forged, copies):
    packets = stream(300) + stream(300, sequence=1300 + lost, rtp_time=5000 + 160 * (300 + lost), slot=300 + lost)
    at_ns = packets[300].arrival_ns
    numbers = [(40_000 + 7919 * n, 3_000_000_000 + 77_777_777 * n) for n in range(forged)]
    strange = [Sent(*each, at_ns - 9 + n) for n, each in enumerate(numbers) for _ in range(copies)]
    seen = arriving(packets + strange)
    assert counted(ordered(seen)) == Reference(lost, forged * (copies - 1), 0)


@pytest.mark.parametrize("count", [1000, 100_000])
def test_nothing_but_forged_packets_is_bounded_work(count):
    chance = np.random.default_rng(1)
    packets = [Sent(int(a), int(b), START_NS + n) for n, (a, b) in enumerate(chance.integers(0, 1 << 16, (count, 2)))]
    result = ordered(packets)
    check(result, packets)


def test_a_restart_is_told_by_its_second_packet():
    """RFC 3550 A.1: two in sequence; a third sender's packet between them changes nothing."""
    packets = stream(50) + stream(50, sequence=40_000, rtp_time=3_000_000_000, slot=50)
    packets.insert(51, Sent(9_999, 1_234_567_890, packets[50].arrival_ns + 1))
    result = ordered(packets)
    assert result.epoch[~result.odd].tolist() == [0] * 50 + [1] * 50
    assert int(result.odd.sum()) == 1
