"""ITU-T G.711: mu-law and A-law codes to and from 16-bit linear samples.

A code is a sign bit, a segment of 3 bits and a step of 4 bits (tables 1 and 2 of the recommendation). mu-law is
defined on 14-bit and A-law on 13-bit samples; both are scaled to 16 bits here. Nothing is concealed.
"""

from enum import StrEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt


class Law(StrEnum):
    """Companding law, by its RTP encoding name (RFC 3551)."""

    PCMU = "PCMU"
    PCMA = "PCMA"


SILENCE_CODE = {Law.PCMU: 0xFF, Law.PCMA: 0xD5}
"""The positive code of least magnitude: 0 in mu-law, +8 in A-law, which has no zero."""

_CHUNK_SAMPLES = 16384
"""Scratch indices and the pair table stay within the second-level cache."""


def _decode_mu() -> npt.NDArray[np.int16]:
    bits = ~np.arange(256) & 0xFF
    magnitude = ((2 * (bits & 15) + 33) << (bits >> 4 & 7)) - 33
    return (np.where(bits & 0x80, -magnitude, magnitude) * 4).astype(np.int16)


def _decode_a() -> npt.NDArray[np.int16]:
    bits = np.arange(256) ^ 0x55
    segment = bits >> 4 & 7
    step = 2 * (bits & 15) + 1
    magnitude = np.where(segment == 0, step, (step + 32) << np.maximum(segment - 1, 0))
    return (np.where(bits & 0x80, magnitude, -magnitude) * 8).astype(np.int16)


def _encode_mu() -> npt.NDArray[np.uint8]:
    """Code of each 16-bit sample, indexed by the sample's bits as uint16."""
    linear = np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int64) + 2 >> 2
    biased = np.minimum(np.abs(linear) + 33, 8191)
    segment = np.frexp(biased)[1] - 6
    code: npt.NDArray[np.int64] = segment << 4 | biased >> (segment + 1) & 15
    return (code ^ np.where(linear < 0, 0x7F, 0xFF)).astype(np.uint8)


def _encode_a() -> npt.NDArray[np.uint8]:
    """Code of each 16-bit sample, indexed by the sample's bits as uint16."""
    linear = np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int64) + 4 >> 3
    magnitude = np.minimum(np.where(linear < 0, ~linear, linear), 4095)
    segment = np.maximum(np.frexp(magnitude)[1] - 5, 0)
    code: npt.NDArray[np.int64] = segment << 4 | magnitude >> np.maximum(segment, 1) & 15
    return (code ^ np.where(linear < 0, 0x55, 0xD5)).astype(np.uint8)


DECODE = {Law.PCMU: _decode_mu(), Law.PCMA: _decode_a()}
"""Linear sample of each code: int16, shape `(256,)`, full scale 32768; read-only."""

_ENCODE = {Law.PCMU: _encode_mu(), Law.PCMA: _encode_a()}

for _table in DECODE.values():
    _table.setflags(write=False)


def decode(codes: npt.NDArray[np.uint8], law: Law) -> npt.NDArray[np.int16]:
    """Linear samples of `codes` (any shape), same shape."""
    return np.take(DECODE[law], codes, mode="wrap")


def encode(samples: npt.NDArray[np.int16], law: Law) -> npt.NDArray[np.uint8]:
    """Codes of linear `samples` (any shape), same shape; the exact inverse of `decode` (but mu-law 0x7F, minus zero).

    A sample is first rounded to the law's own 14 or 13 bits, halves upward, as sox does.
    """
    return np.take(_ENCODE[law], samples.view(np.uint16), mode="wrap")


@lru_cache(maxsize=4)
def _pairs(left_law: Law, right_law: Law) -> npt.NDArray[np.uint32]:
    """Both samples of a stereo frame in one word, indexed by `right code << 8 | left code`."""
    index = np.arange(65536)
    samples = np.stack([DECODE[left_law][index & 0xFF], DECODE[right_law][index >> 8]], axis=1)
    return samples.view(np.uint32)[:, 0].copy()


def decode_stereo(
    left: npt.NDArray[np.uint8],
    right: npt.NDArray[np.uint8],
    left_law: Law,
    right_law: Law,
    out: npt.NDArray[np.int16] | None = None,
) -> npt.NDArray[np.int16]:
    """Interleaved samples, shape `(n, 2)`, of two code arrays of shape `(n,)`; written into `out` when given.

    One look-up yields both samples. Raises ValueError when the shapes differ.
    """
    if out is None:
        out = np.empty((len(left), 2), np.int16)
    if left.ndim != 1 or left.shape != right.shape or out.shape != (len(left), 2):
        raise ValueError(f"left {left.shape}, right {right.shape} and out {out.shape} do not match")
    table = _pairs(left_law, right_law)
    words = out.view(np.uint32)[:, 0]
    # Look-up wants indices of 64 bits: both codes are put in place as their bytes, so that nothing is converted.
    index = np.zeros(min(_CHUNK_SAMPLES, len(left)), "<i8")
    codes = index.view(np.uint8).reshape(-1, 8)
    for first in range(0, len(left), _CHUNK_SAMPLES):
        chunk = slice(first, first + _CHUNK_SAMPLES)
        size = len(words[chunk])
        codes[:size, 0] = left[chunk]
        codes[:size, 1] = right[chunk]
        np.take(table, index[:size], out=words[chunk], mode="wrap")  # "raise" would copy `out`
    return out
