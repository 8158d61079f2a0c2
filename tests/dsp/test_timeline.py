"""Placement on the time line: exact, never overlapping, bounded by capture time, and the same in pieces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.timeline import SAMPLE_NS, Placement, TimelineCarry, anchor_ns, place, scatter

ORIGIN_NS = 1_767_287_045_000_000_000
PACKET = 160
PACKET_NS = PACKET * SAMPLE_NS
SECOND_NS = 1_000_000_000
HOUR = 8000 * 3600

Ints = np.ndarray


def stream(packets: int, *, jitter_ns: int = 0, first: int = 0, seed: int = 0) -> tuple[Ints, Ints, Ints]:
    """Arrival, RTP time and samples of a plain stream that begins with the origin."""
    rng = np.random.default_rng(seed)
    number = np.arange(packets)
    delay = rng.integers(0, jitter_ns + 1, packets)
    delay[0] = 0
    return (
        ORIGIN_NS + number * PACKET_NS + delay,
        number * PACKET + first,
        np.full(packets, PACKET),
    )


def starts(arrival: Ints, rtp: Ints, samples: Ints, **more: object) -> list[int]:
    return place(arrival, rtp, samples, origin_ns=ORIGIN_NS, **more).start.tolist()  # type: ignore[arg-type]


def test_nothing() -> None:
    empty = np.zeros(0, np.int64)
    assert len(place(empty, empty, empty, origin_ns=0).start) == 0


@pytest.mark.parametrize("first", [0, 7, 2**31 - 100, 2**32 + 5])
def test_samples_lie_by_timestamp_not_by_arrival(first: int) -> None:
    arrival, rtp, samples = stream(1000, jitter_ns=60_000_000, first=first)
    assert starts(arrival, rtp, samples) == (np.arange(1000) * PACKET).tolist()


def test_anchor_is_the_least_delay_of_the_first_ten_seconds() -> None:
    arrival, rtp, samples = stream(1000)
    arrival += 5_000_000
    arrival[300] -= 3_000_000
    arrival[700] -= 4_000_000  # after 14 s: too late to count
    assert starts(arrival, rtp, samples)[0] == 2_000_000 // SAMPLE_NS
    assert anchor_ns(arrival, arrival - rtp * SAMPLE_NS) == ORIGIN_NS + 2_000_000


def test_a_gap_keeps_its_length() -> None:
    arrival, rtp, samples = stream(1000)
    kept = np.r_[0:200, 450:1000]
    assert starts(arrival[kept], rtp[kept], samples[kept]) == (kept * PACKET).tolist()


def test_late_packets_keep_their_place() -> None:
    arrival, rtp, samples = stream(600)
    arrival[[100, 101, 350]] += 4 * SECOND_NS
    assert starts(arrival, rtp, samples) == (np.arange(600) * PACKET).tolist()


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 3 * 8000, -3 * 8000, 2**31])
@pytest.mark.parametrize("at", [0, 1, 300, 599])
def test_one_forged_timestamp_moves_nothing_else(jump: int, at: int) -> None:
    arrival, rtp, samples = stream(600)
    rtp[at] += jump
    others = np.arange(600) != at
    placement = place(arrival, rtp, samples, origin_ns=ORIGIN_NS)
    np.testing.assert_array_equal(placement.start[others], (np.arange(600) * PACKET)[others])
    assert placement.start[at] == at * PACKET


def test_a_jump_that_capture_time_confirms_is_a_gap() -> None:
    arrival, rtp, samples = stream(600)
    arrival[300:] += 30 * SECOND_NS
    rtp[300:] += 30 * 8000
    placement = place(arrival, rtp, samples, origin_ns=ORIGIN_NS)
    assert placement.start[300] - placement.start[299] == PACKET + 30 * 8000
    assert set(placement.line.tolist()) == {0}


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 5 * 8000, -5 * 8000])
def test_a_jump_that_capture_time_denies_is_anchored_anew(jump: int) -> None:
    arrival, rtp, samples = stream(600)
    rtp[300:] += jump
    placement = place(arrival, rtp, samples, origin_ns=ORIGIN_NS)
    assert placement.start.tolist() == (np.arange(600) * PACKET).tolist()
    assert placement.line.tolist() == [0] * 300 + [1] * 300


def test_a_return_takes_up_the_first_anchor_again() -> None:
    """Otherwise each excursion would shift what follows by a little."""
    arrival, rtp, samples = stream(900, jitter_ns=10_000_000, seed=3)
    rtp[300:600] += HOUR
    placement = place(arrival, rtp, samples, origin_ns=ORIGIN_NS)
    assert placement.start[600:].tolist() == (np.arange(600, 900) * PACKET).tolist()


def test_a_jump_within_two_seconds_is_believed() -> None:
    """A sender whose timestamps go ahead by a second: the gap is in the file, as long as it says."""
    arrival, rtp, samples = stream(800)
    rtp[600:] += 8000
    assert place(arrival, rtp, samples, origin_ns=ORIGIN_NS).start[600] == 600 * PACKET + 8000


@pytest.mark.parametrize("step", [2 * PACKET, 6 * PACKET, 15_000])
def test_timestamps_that_outrun_the_clock_ask_for_no_hours(step: int) -> None:
    """Each step is too small for a new line; together they would be a multiple of the time that passed."""
    arrival, _, samples = stream(3000)
    end = starts(arrival, np.arange(3000) * step, samples)[-1] + PACKET
    assert end <= 3000 * PACKET * 1.001 + 2 * 8000 + PACKET


@pytest.mark.parametrize("fast_ppm", [100, 500])
def test_a_fast_clock_is_believed_for_hours(fast_ppm: int) -> None:
    _, rtp, samples = stream(200_000)
    arrival = ORIGIN_NS + (rtp * SAMPLE_NS / (1 + fast_ppm * 1e-6)).astype(np.int64)
    kept = np.r_[0:100_000, 199_000:200_000]
    placed = starts(arrival[kept], rtp[kept], samples[kept])
    assert np.diff(placed).tolist() == np.diff(rtp[kept]).tolist()


def test_packets_that_would_overlap_follow_each_other() -> None:
    """A sender that restarts with a new timestamp base, a little behind: nothing is overwritten."""
    arrival, rtp, samples = stream(600)
    rtp[300:] -= 400
    epoch = np.repeat([0, 1], 300)
    placement = place(arrival, rtp, samples, origin_ns=ORIGIN_NS, epoch=epoch)
    assert (np.diff(placement.start) >= PACKET).all()


def test_floor_is_the_end_of_what_is_there() -> None:
    arrival, rtp, samples = stream(100)
    assert starts(arrival, rtp, samples, floor=1000)[:2] == [1000, 1160]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    jitter_ms=st.integers(0, 200),
    lost=st.sets(st.integers(0, 799), max_size=300),
    cut=st.integers(1, 799),
)
def test_in_two_pieces_as_in_one(seed: int, jitter_ms: int, lost: set[int], cut: int) -> None:
    arrival, rtp, samples = stream(800, jitter_ns=jitter_ms * 1_000_000, seed=seed)
    kept = np.array([number for number in range(800) if number not in lost])
    arrival, rtp, samples = arrival[kept], rtp[kept], samples[kept]
    whole = place(arrival, rtp, samples, origin_ns=ORIGIN_NS)
    at = int(np.searchsorted(kept, cut))
    if not 0 < at < len(kept) or kept[at - 1] < 500:
        at = int(np.searchsorted(kept, 520))  # the anchor takes 10 s
    head = place(arrival[:at], rtp[:at], samples[:at], origin_ns=ORIGIN_NS)
    tail = place(
        arrival[at:],
        rtp[at:],
        samples[at:],
        origin_ns=ORIGIN_NS,
        floor=int(head.start[-1]) + PACKET,
        carry=TimelineCarry(
            anchor_ns=int(head.anchors_ns[-1]), transit_ns=int(arrival[at - 1] - rtp[at - 1] * SAMPLE_NS)
        ),
    )
    assert [*head.start.tolist(), *tail.start.tolist()] == whole.start.tolist()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3 * SECOND_NS),
            st.one_of(st.integers(-200_000, 200_000), st.integers(-(2**33), 2**33)),
            st.integers(1, 480),
            st.booleans(),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_whatever_a_sender_claims(steps: list[tuple[int, int, int, bool]]) -> None:
    """Order kept, nothing overlaps, and no more silence than capture time allows."""
    waits, jumps, sizes, restarts = (np.array(column, np.int64) for column in zip(*steps, strict=True))
    arrival = ORIGIN_NS + np.cumsum(waits)
    rtp = np.cumsum(jumps)
    placement: Placement = place(arrival, rtp, sizes, origin_ns=ORIGIN_NS, epoch=np.cumsum(restarts))
    assert (np.diff(placement.start) >= sizes[:-1]).all()
    elapsed = (int(arrival[-1]) - ORIGIN_NS) // SAMPLE_NS
    assert placement.start[-1] <= elapsed + int(sizes.sum()) + 2 * 16_000
    assert placement.start[0] >= -16_001


@settings(max_examples=100, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 300), min_size=1, max_size=50),
    width=st.integers(1, 200),
    offset=st.integers(0, 20),
)
def test_scatter_is_a_copy_of_every_row(gaps: list[int], width: int, offset: int) -> None:
    start = np.cumsum(np.array(gaps)) + np.arange(len(gaps)) * width
    wide = np.random.default_rng(1).integers(0, 256, (len(gaps), width + offset), dtype=np.uint8)
    rows = wide[:, offset:]
    expected = np.zeros(int(start[-1]) + width, np.uint8)
    for at, row in zip(start.tolist(), rows, strict=True):
        expected[at : at + width] = row
    target = np.zeros_like(expected)
    scatter(target, start, rows)
    np.testing.assert_array_equal(target, expected)
