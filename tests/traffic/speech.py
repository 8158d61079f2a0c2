"""Speech to fill calls with: synthetic and repeatable (formants, fricatives, pauses), or from espeak-ng.

Audio is int16, 8 kHz, shape `(samples,)`. The same seed gives the same signal on one machine.
"""

import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

RATE_HZ = 8000
_VOWELS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""First three formants of a, i, u, e, o (Peterson and Barney 1952)."""

Audio = npt.NDArray[np.int16]


def speech(seconds: float, *, seed: int, peak: float = 9000.0) -> Audio:
    """Speech-like signal of exactly `seconds`: bursts of syllables with pauses, as in a conversation."""
    rng = np.random.default_rng(seed)
    pitch_hz = rng.uniform(95.0, 230.0)
    total = round(seconds * RATE_HZ)
    signal = np.zeros(total, dtype=np.float32)
    at = int(rng.integers(0, RATE_HZ // 4))
    while at < total:
        length = int(rng.integers(RATE_HZ // 10, RATE_HZ // 4))
        syllable = _voiced(length, pitch_hz, rng) if rng.random() < 0.8 else _fricative(length, rng)
        part = syllable[: total - at]
        signal[at : at + len(part)] = part
        at += length + int(rng.integers(0, RATE_HZ // 25))
        if rng.random() < 0.12:
            at += int(rng.integers(RATE_HZ // 4, RATE_HZ))
    # A line is never digitally silent: a little noise makes every sample worth comparing.
    heard = signal * peak + rng.normal(0.0, 12.0, total)
    return np.clip(np.rint(heard), -32768, 32767).astype(np.int16)


def _voiced(length: int, pitch_hz: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    pitch = pitch_hz * np.linspace(rng.uniform(0.92, 1.15), rng.uniform(0.85, 1.05), length)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    harmonics = np.arange(1, int(3600 / pitch.max()) + 1)[:, None]
    formants = np.array(_VOWELS_HZ[rng.integers(len(_VOWELS_HZ))])
    distance = (harmonics * pitch_hz - formants) / (60.0 + 0.06 * formants)
    weights = (np.array([1.0, 0.5, 0.25]) / (1.0 + distance**2)).sum(axis=1, keepdims=True)
    tone = (weights * np.sin(harmonics * phase)).sum(axis=0)
    return (np.hanning(length) ** 0.5 * tone / np.abs(tone).max() * rng.uniform(0.4, 1.0)).astype(np.float32)


def _fricative(length: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    hiss = np.diff(rng.normal(0.0, 1.0, length + 1))
    return (np.hanning(length) * hiss / np.abs(hiss).max() * rng.uniform(0.1, 0.3)).astype(np.float32)


def spoken(text: str, seconds: float, *, voice: str, seed: int) -> Audio:
    """`text` by espeak-ng in `voice` (`ja`, `en`, ...), repeated to `seconds`; synthetic without espeak-ng."""
    if shutil.which("espeak-ng") is None:
        return speech(seconds, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "-w", str(path), text], check=True, capture_output=True)
        with wave.open(str(path)) as recording:
            rate_hz = recording.getframerate()
            said = np.frombuffer(recording.readframes(recording.getnframes()), dtype="<i2")
    sentence = np.concatenate([_resampled(said, rate_hz), np.zeros(RATE_HZ // 2, dtype=np.int16)])
    total = round(seconds * RATE_HZ)
    floor = np.random.default_rng(seed).integers(-12, 13, total)
    return np.clip(np.resize(sentence, total) + floor, -32768, 32767).astype(np.int16)


def _resampled(signal: Audio, rate_hz: int) -> Audio:
    """Band-limited to 8 kHz through the spectrum; good enough for test speech, and free of dependencies."""
    total = len(signal) * RATE_HZ // rate_hz
    spectrum = np.fft.rfft(signal.astype(np.float64))[: total // 2 + 1]
    return np.clip(np.fft.irfft(spectrum, total) * (total / len(signal)), -32768, 32767).astype(np.int16)
