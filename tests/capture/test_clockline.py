"""Even capture times: each kind of jump by itself, any mixture in any pieces, and nothing for plain ones."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.clockline import FAR_NS, SHORT_RUN, ClockLine, ClockStep
from capture.records import RecordBatch
from tests.capture.batches import batch_of

S = 1_000_000_000
MS = 1_000_000
HOUR = 3600 * S
PLAIN = [n * 20 * MS for n in range(40)]
"""Records of a call, 20 ms apart."""


def evened(times: Sequence[int], cuts: Sequence[int] = ()) -> tuple[list[int], ClockLine]:
    """Even times of a source that is read in pieces."""
    line = ClockLine()
    found = np.array(times, np.int64)
    pieces = [line.times(found[low:high]) for low, high in itertools.pairwise([0, *cuts, len(times)])]
    pieces.append(line.times(np.zeros(0, np.int64), last=True))
    return np.concatenate(pieces).tolist(), line


def off(by_ns: int, low: int, high: int = len(PLAIN)) -> list[int]:
    """The plain records, some of them with another clock."""
    return [ns + by_ns if low <= n < high else ns for n, ns in enumerate(PLAIN)]


@pytest.mark.parametrize(
    "times",
    [
        [],
        [5],
        PLAIN,
        PLAIN[::-1],
        [n * 90 * S for n in range(30)],
        [n * 2 * HOUR for n in range(5)],
        off(HOUR, 20),
        off(10 * S, 20),
        off(-900 * MS, 20, 23),
        off(10 * S, 20, 23),
        off(-10 * S, 20, 23),
        off(50 * S, 20, 20 + SHORT_RUN),
        [0] * 12 + [1 << 62] * 12,
    ],
    ids=[
        "none",
        "one",
        "plain",
        "small steps back",
        "pauses of 90 s",
        "few and far between",
        "hour ahead for good",
        "10 s ahead for good",
        "disorder",
        "three 10 s early",
        "three 10 s late",
        "eight 50 s early",
        "the end of time",
    ],
)
def test_times_that_are_left_alone(times):
    found, line = evened(times)
    assert found == times
    assert (line.odd_times, line.steps) == (0, [])


@pytest.mark.parametrize("by_ns", [HOUR, -HOUR, FAR_NS + S, -FAR_NS - S, 1 << 61])
@pytest.mark.parametrize("records", [1, 2, SHORT_RUN])
def test_a_short_run_that_is_far_off_gets_the_time_before(by_ns, records):
    found, line = evened(off(by_ns, 20, 20 + records))
    assert found == PLAIN[:20] + [PLAIN[19]] * records + PLAIN[20 + records :]
    assert (line.odd_times, line.steps) == (records, [])


@pytest.mark.parametrize("by_ns", [HOUR, -HOUR])
def test_off_each_in_its_own_way(by_ns):
    times = [*PLAIN[:20], by_ns, 3 * by_ns, -2 * by_ns, *PLAIN[23:]]
    found, line = evened(times)
    assert found == PLAIN[:20] + [PLAIN[19]] * 3 + PLAIN[23:]
    assert line.odd_times == 3


def test_every_tenth_record_is_off():
    times = [ns + HOUR if n % 10 == 5 else ns for n, ns in enumerate(PLAIN)]
    found, line = evened(times)
    assert found == [PLAIN[n - 1] if n % 10 == 5 else ns for n, ns in enumerate(PLAIN)]
    assert line.odd_times == 4


def test_two_clocks_in_turn():
    """Two sources an hour apart in one file: the first one's time counts."""
    times = [ns + HOUR * (n % 2) for n, ns in enumerate(PLAIN)]
    found, line = evened(times)
    assert found == [ns if n % 2 == 0 else PLAIN[n - 1] for n, ns in enumerate(PLAIN[:-1])] + [times[-1]]
    assert line.steps == []


@pytest.mark.parametrize("records", [1, 3, SHORT_RUN])
def test_the_first_records_are_an_hour_ahead(records):
    for cut in range(20):
        found, line = evened(off(HOUR, 0, records), [cut])
        assert found == [PLAIN[records]] * records + PLAIN[records:]
        assert (line.odd_times, line.steps) == (records, [])


def test_the_last_records_are_an_hour_behind():
    found, line = evened(off(-HOUR, 38))
    assert found == PLAIN[:38] + [PLAIN[37]] * 2
    assert (line.odd_times, line.steps) == (2, [])


@pytest.mark.parametrize("back_ns", [1100 * MS, 10 * S, HOUR])
def test_a_clock_set_back(back_ns):
    times = off(-back_ns, 15)
    found, line = evened(times)
    jump_ns = PLAIN[14] - times[15]
    assert found == PLAIN[:15] + [ns - back_ns + jump_ns for ns in PLAIN[15:]]
    assert found[15] == found[14]
    assert line.steps == [ClockStep(at_ns=PLAIN[14], step_ns=-jump_ns)]
    assert line.odd_times == 0


def test_a_clock_set_back_twice():
    times = [ns - HOUR * (n >= 12) - 5 * S * (n >= 25) for n, ns in enumerate(PLAIN)]
    found, line = evened(times)
    assert [step.step_ns for step in line.steps] == [20 * MS - HOUR, 20 * MS - 5 * S]
    assert [step.at_ns for step in line.steps] == [found[11], found[24]]
    assert np.diff(found).min() == 0
    assert np.diff(found).max() == 20 * MS


def test_odd_times_on_a_shifted_line():
    times = off(-HOUR, 12)
    times[30] -= HOUR
    found, line = evened(times)
    assert found[30] == found[29]
    assert (line.odd_times, len(line.steps)) == (1, 1)


def test_a_clock_that_is_set_to_the_beginning_of_time_again_and_again():
    """Nothing overflows: the line ends where int64 does."""
    far = (1 << 62) + (1 << 61)
    found, line = evened(([far] * 10 + [0] * 10) * 4)
    assert len(line.steps) == 4
    assert all(later >= earlier for earlier, later in itertools.pairwise(found))


JUMPS = st.sampled_from(
    [20 * MS] * 12
    + [0, -20 * MS, -900 * MS, 2 * S, -2 * S, 30 * S, -30 * S, 59 * S, 61 * S, -61 * S, 90 * S, HOUR, -HOUR]
)


@st.composite
def any_times(draw: st.DrawFn) -> list[int]:
    """Anything, but often a return to where it was."""
    times: list[int] = []
    ns = 0
    for jump_ns in draw(st.lists(JUMPS, max_size=60)):
        if draw(st.integers(0, 5)) == 0 and times:
            times.append(ns + jump_ns)
        else:
            ns += jump_ns
            times.append(ns)
    return times


@settings(max_examples=500, deadline=None)
@given(times=any_times(), cuts=st.lists(st.integers(0, 60), max_size=8))
def test_any_pieces_give_the_same(times, cuts):
    whole, once = evened(times)
    found, line = evened(times, sorted(cut for cut in cuts if cut <= len(times)))
    assert found == whole
    assert len(found) == len(times)
    assert (line.odd_times, line.steps) == (once.odd_times, once.steps)


@settings(max_examples=200, deadline=None)
@given(gaps=st.lists(st.integers(-999 * MS, 0) | st.integers(0, 100 * S), max_size=40))
def test_order_with_pauses_and_disorder_is_left_alone(gaps):
    """Behind by less than a second of a record is not far behind any."""
    times = [ns + min(gap, 0) // 2 for ns, gap in zip(itertools.accumulate(max(g, 0) for g in gaps), gaps, strict=True)]
    assert evened(times)[0] == times


@settings(max_examples=100, deadline=None)
@given(times=st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=40), cut=st.integers(0, 40))
def test_any_numbers_are_survived(times, cut):
    whole, _ = evened(times)
    assert evened(times, [min(cut, len(times))])[0] == whole
    assert len(whole) == len(times)


def fleeting(batches: Sequence[RecordBatch]) -> Iterator[RecordBatch]:
    """Hand over batches as a reader does: when the next one is asked for, the buffer holds something else."""
    for each in batches:
        yield each
        each.buffer[:] = 0xEE


@pytest.mark.parametrize("size", [1, 3, 7, 16, 20, 40])
@pytest.mark.parametrize("times", [PLAIN, off(HOUR, 20, 24), off(-HOUR, 19)], ids=["plain", "odd", "step"])
def test_every_record_is_handed_on_with_its_time(size, times):
    frames = [b"frame %d" % n for n in range(len(times))]
    pieces = [
        batch_of(
            frames[low : low + size], times=times[low : low + size], interfaces=range(low, low + size), gap=b"head"
        )
        for low in range(0, len(times) - len(times) % size, size)
    ]
    count = sum(len(piece) for piece in pieces)
    found: list[tuple[bytes, int, int]] = []
    for batch in ClockLine().even(fleeting(pieces)):
        data = batch.buffer.tobytes()
        rows = zip(batch.start.tolist(), batch.captured.tolist(), strict=True)
        found += zip([data[s : s + n] for s, n in rows], batch.ts_ns.tolist(), batch.interface.tolist(), strict=True)
    assert found == list(zip(frames[:count], evened(times[:count])[0], range(count), strict=True))


def test_plain_batches_are_handed_on_as_they_are():
    batches = [batch_of([b"x"] * 100, times=range(low, low + 100)) for low in (0, 100)]
    for found, given_ in zip(ClockLine().even(iter(batches)), batches, strict=True):
        assert found.buffer is given_.buffer
        assert found.ts_ns.tolist() == given_.ts_ns.tolist()


def test_plain_times_are_not_even_copied():
    line, count = ClockLine(), 100_000
    line.times(np.arange(-20, 0) * 1000)
    for number in range(3):
        times = np.arange(number * count, (number + 1) * count, dtype=np.int64) * 1000
        assert line.times(times) is times
