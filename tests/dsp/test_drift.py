"""Accuracy reached, over drifts of +-300 ppm (root mean square, and largest of 200): see `ACCURACY`."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.drift import drift_ppm

EPOCH_NS = 1_767_225_600 * 10**9
Longs = npt.NDArray[np.int64]
Delay = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]


def still(_generator: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    return np.full(n, 0.005)


def uniform_20_ms(generator: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    return generator.uniform(0, 0.020, n)


def exponential_5_ms(generator: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    return generator.exponential(0.005, n)


def gaussian_2_ms(generator: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    return 0.02 + generator.normal(0, 0.002, n)


def one_early_packet(generator: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    delay = 0.020 + generator.uniform(0, 0.020, n)
    delay[generator.integers(n)] = 0.015
    return delay


ACCURACY = [
    (still, 60, 0.001, 0.01),
    (uniform_20_ms, 60, 1.5, 6.0),
    (uniform_20_ms, 300, 0.1, 0.3),
    (exponential_5_ms, 60, 0.5, 2.0),
    (gaussian_2_ms, 60, 3.0, 10.0),
    (one_early_packet, 60, 8.0, 30.0),
]


def stream(ppm: float, delay: Delay, seed: int, extent_s: float = 60, step: int = 160) -> tuple[Longs, Longs]:
    """Arrival times and RTP times, in order of arrival."""
    generator = np.random.default_rng(seed)
    rtp_time = 4_294_000_000 + np.arange(0, int(extent_s * 8000 * 1.01) + step, step, dtype=np.int64)
    sent_s = (rtp_time - rtp_time[0]) / 8000 / (1 + ppm * 1e-6)
    arrival_s = sent_s + delay(generator, len(sent_s))
    order = np.argsort(arrival_s, kind="stable")
    return EPOCH_NS + (arrival_s[order] * 1e9).astype(np.int64), rtp_time[order]


def error_ppm(ppm: float, delay: Delay, seed: int, extent_s: float) -> float:
    found = drift_ppm(*stream(ppm, delay, seed, extent_s))
    assert found is not None
    return found - ppm


@pytest.mark.parametrize(("delay", "extent_s", "typical_ppm", "worst_ppm"), ACCURACY)
def test_accuracy(delay: Delay, extent_s: int, typical_ppm: float, worst_ppm: float) -> None:
    drifts = np.random.default_rng(7).uniform(-300, 300, 200)
    errors = np.array([error_ppm(ppm, delay, seed, extent_s) for seed, ppm in enumerate(drifts)])
    assert np.sqrt(np.mean(errors**2)) <= typical_ppm
    assert np.abs(errors).max() <= worst_ppm


@given(ppm=st.floats(-300, 300), seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_any_drift_under_20_ms_of_jitter(ppm: float, seed: int) -> None:
    assert abs(error_ppm(ppm, uniform_20_ms, seed, 60)) < 10


@pytest.mark.parametrize("ppm", [300.0, -300.0, 5000.0])
def test_positive_is_a_fast_sender(ppm: float) -> None:
    assert error_ppm(ppm, still, 0, 60) == pytest.approx(0, abs=0.01)


def test_the_same_packets_give_the_same_figure() -> None:
    packets = stream(42, uniform_20_ms, 1)
    assert drift_ppm(*packets) == drift_ppm(*packets)


def test_silence_suppression_leaves_enough() -> None:
    arrival_ns, rtp_time = stream(100, uniform_20_ms, 3, 120)
    talking = (rtp_time // 24000) % 2 == 0
    found = drift_ppm(arrival_ns[talking], rtp_time[talking])
    assert found == pytest.approx(100, abs=5)


@pytest.mark.parametrize("n", [0, 1, 2, 2999])
def test_too_short_a_stretch_gives_nothing(n: int) -> None:
    arrival_ns, rtp_time = stream(0, still, 0)
    assert drift_ppm(arrival_ns[:n], rtp_time[:n]) is None


def test_two_moments_of_sound_an_hour_apart_give_nothing() -> None:
    position = np.concatenate([np.arange(500), np.arange(180_000, 180_500)])
    assert drift_ppm(EPOCH_NS + position * 20_000_000, position * 160) is None


def test_a_congested_path_gives_nothing() -> None:
    arrival_ns, rtp_time = stream(0, still, 0)
    queue_ns = 5e8 * np.sin(np.arange(len(arrival_ns)) / 300) ** 2
    assert drift_ppm(arrival_ns + queue_ns.astype(np.int64), rtp_time) is None


def test_a_sender_whose_timestamps_stand_still_gives_nothing() -> None:
    assert drift_ppm(EPOCH_NS + np.arange(5000) * 20_000_000, np.zeros(5000, np.int64)) is None


@given(
    steps=st.lists(st.tuples(st.integers(0, 10**11), st.integers(-(10**6), 2**32)), min_size=30, max_size=200),
)
@settings(max_examples=60, deadline=None)
def test_forged_timestamps_give_a_number_or_nothing(steps: list[tuple[int, int]]) -> None:
    moves = np.array(steps, np.int64).cumsum(axis=0)
    found = drift_ppm(EPOCH_NS + moves[:, 0], moves[:, 1])
    assert found is None or np.isfinite(found)
