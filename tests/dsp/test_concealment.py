from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp import concealment
from dsp.concealment import FRAME_SAMPLES, HISTORY_SAMPLES


def voiced(samples: int, pitch: float = 73.0) -> np.ndarray:
    """A vowel: a pitch and its overtones, falling with frequency."""
    at = np.arange(samples)
    wave = sum(np.sin(2 * np.pi * n * at / pitch + n) / n for n in range(1, 12))
    return np.rint(6000 * wave / np.abs(wave).max()).astype(np.int16)


def conceal(samples: np.ndarray, gaps: list[tuple[int, int]]) -> np.ndarray:
    told = samples.copy()
    concealment.conceal(told, gaps)
    return told


def rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(wave.astype(np.float64) ** 2)))


@pytest.mark.parametrize("pitch", [41.0, 57.3, 80.0, 119.0])
@pytest.mark.parametrize("lost_ms", [10, 20])
def test_a_vowel_goes_on(pitch, lost_ms):
    speech = voiced(4000, pitch)
    size = lost_ms * 8
    told = conceal(speech, [(2000, size)])
    error = rms(told[2000 : 2000 + size].astype(np.int64) - speech[2000 : 2000 + size])
    assert error < 0.35 * rms(speech), "silence would leave an error as large as the speech"


def test_it_fades_and_falls_silent_after_60_ms():
    speech = voiced(8000)
    told = conceal(speech, [(2000, 2000)])
    levels = [rms(told[2000 + at : 2080 + at]) / rms(speech) for at in range(0, 800, FRAME_SAMPLES)]
    assert levels[0] == pytest.approx(1.0, abs=0.15)
    assert all(later < earlier for earlier, later in pairwise(levels[1:7]))
    assert levels[6:] == [0.0] * 4


def test_edges_do_not_click():
    speech = voiced(6000)
    told = conceal(speech, [(2000, 160)]).astype(np.int64)
    steepest = np.abs(np.diff(speech.astype(np.int64))).max()
    assert np.abs(np.diff(told[1900:2300])).max() < 1.6 * steepest
    assert np.array_equal(told[:1970], speech[:1970])
    assert np.array_equal(told[2160 + FRAME_SAMPLES :], speech[2160 + FRAME_SAMPLES :])


def test_what_lies_in_the_gap_is_not_used():
    speech = voiced(4000)
    other = speech.copy()
    other[2000:2160] = 12345
    assert np.array_equal(conceal(speech, [(2000, 160)]), conceal(other, [(2000, 160)]))


def test_without_anything_before_it_a_gap_is_silent():
    speech = voiced(1000)
    assert not conceal(speech, [(100, 160)])[100:260].any()


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 900)), max_size=6),
)
def test_only_gaps_and_their_edges_change(seed, steps):
    samples = np.random.default_rng(seed).integers(-32768, 32768, 6000).astype(np.int16)
    gaps, at = [], 0
    for pause, length in steps:
        gaps.append((at + pause, length))
        at += pause + length
    told = conceal(samples, gaps)
    free = np.ones(len(samples), bool)
    for first, length in gaps:
        free[max(0, first - 30) : first + length + FRAME_SAMPLES] = False
    assert told.dtype == np.int16
    assert np.array_equal(told[free], samples[free])
    assert HISTORY_SAMPLES == 390
