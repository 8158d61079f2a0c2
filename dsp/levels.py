"""Levels of a side read straight from its G.711 codes: clipping, silence, a dead analogue line.

The seven low bits of a code, with the law's inversion undone, number the 128 magnitudes in rising order. So a frame's
peak is the largest such number and nothing is decoded.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsp.g711 import DECODE, SILENCE_CODE, Law

SILENCE_DBFS = -60
"""A frame whose peak is below this (0 dBFS = 32768) is silent."""

_TOP_STEP = 0x7F
_SILENT_LINEAR = 32768 * 10 ** (SILENCE_DBFS / 20)
_SILENT_STEP = {law: int(np.count_nonzero(np.abs(DECODE[law][128:]) < _SILENT_LINEAR)) - 1 for law in Law}
"""The largest magnitude number that is silent."""

_CHUNK_FRAMES = 1000
"""Long enough to pay for the calls, short enough that the scratch bytes stay in the second-level cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What one side of a part sounds like; shares are of frames, 0 to 1, and 0 when there is no frame."""

    frames: int
    """Frames looked at; a shorter last one counts."""
    silent_frames: int
    """Frames whose peak is below -60 dBFS."""
    clipped_samples: int
    """Samples at the law's largest magnitude."""
    constant_share: float
    """Share of frames that hold the least magnitude only (mu 0xFF, 0x7F; A 0xD5, 0x55): nothing, not even noise."""
    longest_constant_share: float
    """Share of the longest run of such frames."""


def measure(codes: npt.NDArray[np.uint8], law: Law, frame: int = 160) -> Levels:
    """Levels of `codes`, shape `(n,)`, in frames of `frame` samples."""
    peaks = np.empty(-(-len(codes) // frame), np.uint8)
    starts = np.arange(0, min(len(peaks), _CHUNK_FRAMES) * frame, frame)
    scratch = np.empty(min(len(codes), _CHUNK_FRAMES * frame), np.uint8)
    clipped = 0
    for first in range(0, len(peaks), _CHUNK_FRAMES):
        chunk = peaks[first : first + _CHUNK_FRAMES]
        part = codes[first * frame : (first + _CHUNK_FRAMES) * frame]
        steps = np.bitwise_xor(part, np.uint8(SILENCE_CODE[law]), out=scratch[: len(part)])
        steps &= np.uint8(_TOP_STEP)
        np.maximum.reduceat(steps, starts[: len(chunk)], out=chunk)  # three times as quick as max(axis=1)
        if chunk.max() == _TOP_STEP:
            clipped += int(np.count_nonzero(steps == _TOP_STEP))
    constant = peaks == 0
    return Levels(
        frames=len(peaks),
        silent_frames=int(np.count_nonzero(peaks <= _SILENT_STEP[law])),
        clipped_samples=clipped,
        constant_share=int(np.count_nonzero(constant)) / max(len(peaks), 1),
        longest_constant_share=_longest_run(constant) / max(len(peaks), 1),
    )


def _longest_run(flags: npt.NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return int((edges[1::2] - edges[::2]).max(initial=0))
