import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.jitter import Jitter, interarrival_jitter

EPOCH_NS = 1_767_225_600 * 10**9
Longs = npt.NDArray[np.int64]


def recursion(arrival_ns: Longs, rtp_time: Longs, clock_hz: int) -> Jitter:
    """RFC 3550 appendix A.8, packet by packet, with exact arrival times."""
    estimates = []
    jitter = 0.0
    for i in range(1, len(arrival_ns)):
        elapsed_ns = int(arrival_ns[i]) - int(arrival_ns[i - 1])
        difference = abs(elapsed_ns - (int(rtp_time[i]) - int(rtp_time[i - 1])) * 10**9 / clock_hz)
        jitter += (difference - jitter) / 16
        estimates.append(jitter / 1e6)
    mean = sum(estimates) / max(len(estimates), 1)
    return Jitter(mean_ms=mean, max_ms=max(estimates, default=0.0), last_ms=estimates[-1] if estimates else 0.0)


def assert_same(found: Jitter, expected: Jitter) -> None:
    assert found.mean_ms == pytest.approx(expected.mean_ms, rel=1e-9)
    assert found.max_ms == pytest.approx(expected.max_ms, rel=1e-9)
    assert found.last_ms == pytest.approx(expected.last_ms, rel=1e-9)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 17, 2048, 2049, 2050, 4097, 9000])
@pytest.mark.parametrize("clock_hz", [8000, 11025, 90000])
def test_equals_the_recursion(n: int, clock_hz: int) -> None:
    generator = np.random.default_rng(n)
    rtp_time = np.arange(n, dtype=np.int64) * (clock_hz // 50) + 4_000_000_000
    arrival_ns = EPOCH_NS + np.arange(n) * 20_000_000 + generator.integers(0, 15_000_000, n)
    assert_same(interarrival_jitter(arrival_ns, rtp_time, clock_hz), recursion(arrival_ns, rtp_time, clock_hz))


@given(
    steps=st.lists(st.tuples(st.integers(0, 10**10), st.integers(-(10**6), 10**6)), max_size=300),
    repeat=st.integers(1, 20),
)
@settings(max_examples=60, deadline=None)
def test_equals_the_recursion_for_any_packets(steps: list[tuple[int, int]], repeat: int) -> None:
    moves = np.array(steps * repeat, np.int64).reshape(-1, 2).cumsum(axis=0)
    arrival_ns, rtp_time = EPOCH_NS + moves[:, 0], moves[:, 1]
    assert_same(interarrival_jitter(arrival_ns, rtp_time), recursion(arrival_ns, rtp_time, 8000))


def test_a_steady_stream_has_none() -> None:
    arrival_ns = EPOCH_NS + np.arange(5000) * 20_000_000
    none = Jitter(mean_ms=0.0, max_ms=0.0, last_ms=0.0)
    assert interarrival_jitter(arrival_ns, np.arange(5000) * 160) == none


def test_a_pause_that_the_timestamps_know_is_not_jitter() -> None:
    position = np.concatenate([np.arange(100), np.arange(5000, 5100)])
    jitter = interarrival_jitter(EPOCH_NS + position * 20_000_000, position * 160)
    assert jitter.max_ms == 0.0


def test_one_late_packet() -> None:
    arrival_ns = EPOCH_NS + np.arange(4) * 20_000_000
    arrival_ns[3] += 16_000_000
    jitter = interarrival_jitter(arrival_ns, np.arange(4) * 160)
    assert_same(jitter, Jitter(mean_ms=1 / 3, max_ms=1.0, last_ms=1.0))
