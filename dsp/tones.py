"""DTMF tones in speech, ITU-T Q.23 and Q.24: where keys can be heard that were sent as sound, not as events (RFC 4733).

For masking: it says where, and errs on the side of hearing a key. Which key it was nobody needs to know.
"""

import numpy as np
import numpy.typing as npt

LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477, 1633)
BLOCK_SAMPLES = 160
"""20 ms: a key is pressed for at least 40 ms (Q.24), so one block at least lies within it whole."""
STEP_SAMPLES = 80
_RATE_HZ = 8000
_LEAST_RMS = 100.0
"""About -50 dBFS."""
_LEAST_SHARE = 0.6
"""Share of the block's power that lies in the two tones."""
_GREATEST_TWIST = 10.0
"""Power of one tone over that of the other: 10 dB, beyond what Q.24 asks receivers to take."""
_TILTS = (0.985, 1.0, 1.015)
"""A sender's tones may be off by 1.5 % (Q.24): more than a block of 20 ms forgives."""
_CHUNK_BLOCKS = 4096


def key_tones(samples: npt.NDArray[np.int16]) -> list[tuple[int, int]]:
    """Return the stretches `(first, samples)` of one channel at 8 kHz, shape `(n,)`, in which a key sounds; in order.

    A stretch begins up to 20 ms before the tone and ends up to 20 ms behind it.
    """
    blocks = (
        np.lib.stride_tricks.sliding_window_view(samples, BLOCK_SAMPLES)[::STEP_SAMPLES]
        if len(samples) >= BLOCK_SAMPLES
        else np.empty((0, BLOCK_SAMPLES), np.int16)
    )
    heard = [_is_key(blocks[first : first + _CHUNK_BLOCKS]) for first in range(0, len(blocks), _CHUNK_BLOCKS)]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], *heard, [False]]).astype(np.int8)))
    stretches: list[tuple[int, int]] = []
    for begin, end in edges.reshape(-1, 2):
        first = max(0, (int(begin) - 1) * STEP_SAMPLES)
        last = min(len(samples), int(end) * STEP_SAMPLES + BLOCK_SAMPLES)
        if stretches and first <= sum(stretches[-1]):
            first = stretches.pop()[0]
        stretches.append((first, last - first))
    return stretches


def _is_key(blocks: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    """Tell for each block, shape `(blocks, BLOCK_SAMPLES)`, whether it is one low and one high tone."""
    wave = blocks.astype(np.float64)
    power = np.einsum("ij,ij->i", wave, wave) / BLOCK_SAMPLES
    low, high = (_tone_powers(wave, frequencies).max(axis=1) for frequencies in (LOW_HZ, HIGH_HZ))
    balanced = (low <= high * _GREATEST_TWIST) & (high <= low * _GREATEST_TWIST)
    result: npt.NDArray[np.bool_] = balanced & (power >= _LEAST_RMS**2) & (low + high >= _LEAST_SHARE * power)
    return result


def _tone_powers(wave: npt.NDArray[np.float64], frequencies_hz: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Power at and beside each frequency in each block, shape `(blocks, 3 * frequencies)`."""
    around_hz = np.outer(frequencies_hz, _TILTS).ravel()
    angles = 2 * np.pi * np.outer(np.arange(BLOCK_SAMPLES), around_hz) / _RATE_HZ
    powers: npt.NDArray[np.float64] = 2 * ((wave @ np.cos(angles)) ** 2 + (wave @ np.sin(angles)) ** 2)
    return powers / BLOCK_SAMPLES**2
