"""The outline of a channel, against the plain way to make it."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsp.envelope import Envelope


def plain(samples: np.ndarray, columns: int) -> list[tuple[int, int, float]]:
    count = max(min(len(samples), columns), 1)
    edges = [at * len(samples) // count for at in range(count + 1)]
    pieces = [samples[a:b].astype(float) for a, b in itertools.pairwise(edges)]
    return [(min(piece.min(), 0), max(piece.max(), 0), float(np.sqrt((piece**2).mean()))) for piece in pieces]


@given(
    samples=st.integers(1, 500),
    columns=st.integers(1, 60),
    cuts=st.lists(st.integers(0, 500), max_size=6),
    seed=st.integers(0, 9),
)
def test_any_division_gives_the_outline_of_the_whole(samples: int, columns: int, cuts: list[int], seed: int) -> None:
    sound = np.random.default_rng(seed).integers(-32768, 32768, samples).astype(np.int16)
    outline = Envelope(samples, columns)
    edges = sorted({0, samples, *(cut for cut in cuts if cut < samples)})
    for first, end in itertools.pairwise(edges):
        outline.add(first, sound[first:end])
    expected = plain(sound, columns)
    assert list(zip(outline.low.tolist(), outline.high.tolist(), strict=True)) == [each[:2] for each in expected]
    assert outline.rms == pytest.approx([each[2] for each in expected])


def test_what_was_not_fed_is_silence_and_what_lies_outside_is_left_out() -> None:
    outline = Envelope(100, 10)
    outline.add(45, np.full(10, 1000, np.int16))
    outline.add(-5, np.full(5, 9000, np.int16))
    outline.add(95, np.full(50, -700, np.int16))
    assert outline.high.tolist() == [0, 0, 0, 0, 1000, 1000, 0, 0, 0, 0]
    assert outline.low.tolist() == [0] * 9 + [-700]
    assert outline.rms[4] == pytest.approx(1000 * 0.5**0.5)


def test_nothing_has_an_outline_too() -> None:
    outline = Envelope(0, 100)
    outline.add(0, np.full(5, 9000, np.int16))
    assert (outline.high.tolist(), outline.rms.tolist()) == ([0], [0.0])
