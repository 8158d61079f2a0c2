import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.g711 import DECODE, SILENCE_CODE, Law, decode, encode
from dsp.levels import Levels, measure

Codes = npt.NDArray[np.uint8]
SILENT_BELOW = 32.768
NEGATIVE_SILENCE = {Law.PCMU: 0x7F, Law.PCMA: 0x55}
both_laws = pytest.mark.parametrize("law", list(Law))


def longest(flags: list[bool]) -> int:
    runs = [0]
    for flag in flags:
        runs.append(runs[-1] + 1 if flag else 0)
    return max(runs)


def by_decoding(codes: Codes, law: Law, frame: int) -> Levels:
    """The same figures from linear samples, frame by frame."""
    linear = np.abs(decode(codes, law).astype(int))
    frames = [linear[first : first + frame] for first in range(0, len(linear), frame)]
    least, top = int(np.abs(DECODE[law].astype(int)).min()), int(np.abs(DECODE[law].astype(int)).max())
    constant = [bool((one == least).all()) for one in frames]
    return Levels(
        frames=len(frames),
        silent_frames=sum(bool(one.max() < SILENT_BELOW) for one in frames),
        clipped_samples=int((linear == top).sum()),
        constant_share=sum(constant) / max(len(frames), 1),
        longest_constant_share=longest(constant) / max(len(frames), 1),
    )


@st.composite
def spells(draw: st.DrawFn) -> tuple[Codes, Law]:
    """Silence, noise near the limit, speech and clipping in turn."""
    law = draw(st.sampled_from(Law))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    parts = [np.zeros(0, np.uint8)]
    for amplitude, size in draw(st.lists(st.tuples(st.sampled_from([0, 20, 32, 40, 3000, 32767]), st.integers(0, 90)))):
        linear = generator.integers(-amplitude, amplitude + 1, size).astype(np.int16)
        parts.append(encode(linear, law))
    return np.concatenate(parts), law


@given(spell=spells(), frame=st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_equals_decoding(spell: tuple[Codes, Law], frame: int) -> None:
    codes, law = spell
    assert measure(codes, law, frame) == by_decoding(codes, law, frame)


@both_laws
@pytest.mark.parametrize("n", [1000 * 160 - 1, 1000 * 160, 1000 * 160 + 1, 2000 * 160 + 77])
def test_equals_decoding_across_chunks(n: int, law: Law) -> None:
    codes = np.random.default_rng(n).integers(0, 256, n, np.uint8)
    codes[900 * 160 : 1100 * 160] = SILENCE_CODE[law]
    assert measure(codes, law) == by_decoding(codes, law, 160)


@both_laws
def test_a_dead_line(law: Law) -> None:
    codes = np.full(8000, SILENCE_CODE[law], np.uint8)
    codes[::3] = NEGATIVE_SILENCE[law]
    assert measure(codes, law) == Levels(
        frames=50, silent_frames=50, clipped_samples=0, constant_share=1.0, longest_constant_share=1.0
    )


@both_laws
def test_one_click_parts_a_dead_line(law: Law) -> None:
    codes = np.full(1600, SILENCE_CODE[law], np.uint8)
    codes[3 * 160] = 0x12
    found = measure(codes, law)
    assert (found.silent_frames, found.constant_share, found.longest_constant_share) == (9, 0.9, 0.6)


@both_laws
def test_every_code_alone(law: Law) -> None:
    for code in range(256):
        codes = np.full(160, code, np.uint8)
        assert measure(codes, law) == by_decoding(codes, law, 160)


def test_nothing() -> None:
    assert measure(np.zeros(0, np.uint8), Law.PCMU) == Levels(
        frames=0, silent_frames=0, clipped_samples=0, constant_share=0.0, longest_constant_share=0.0
    )


def test_the_codes_are_left_alone() -> None:
    codes = np.frombuffer(bytes(range(256)), np.uint8)
    measure(codes, Law.PCMA)
    assert codes.tolist() == list(range(256))
