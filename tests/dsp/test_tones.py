import shutil
import subprocess
from itertools import product

import numpy as np
import pytest

from dsp import g711
from dsp.tones import HIGH_HZ, LOW_HZ, key_tones


def key(low_hz: float, high_hz: float, samples: int, low: float = 6000, high: float = 6000) -> np.ndarray:
    at = np.arange(samples) / 8000
    wave = low * np.sin(2 * np.pi * low_hz * at) + high * np.sin(2 * np.pi * high_hz * at)
    return g711.decode(g711.encode(np.rint(wave).astype(np.int16), g711.Law.PCMU), g711.Law.PCMU)


@pytest.mark.parametrize(("low_hz", "high_hz"), list(product(LOW_HZ, HIGH_HZ)))
@pytest.mark.parametrize("tilt", [0.983, 0.99, 1.0, 1.01, 1.017])
def test_every_key_is_heard_where_it_sounds(low_hz, high_hz, tilt):
    quiet = np.random.default_rng(1).normal(0, 60, 12000).astype(np.int16)
    for first, length in ((2003, 400), (7001, 1500)):
        quiet[first : first + length] += key(low_hz * tilt, high_hz * tilt, length)
    heard = key_tones(quiet)
    assert len(heard) == 2
    for (begin, length), (first, samples) in zip(heard, ((2003, 400), (7001, 1500)), strict=True):
        assert first - 320 <= begin <= first
        assert first + samples <= begin + length <= first + samples + 320


@pytest.mark.parametrize(("low", "high"), [(9000, 3500), (3500, 9000), (400, 400)])
def test_twisted_and_soft_keys_are_heard(low, high):
    assert key_tones(np.concatenate([np.zeros(800, np.int16), key(770, 1336, 800, low, high)]))


def test_single_tones_noise_and_silence_are_no_keys():
    at = np.arange(16000) / 8000
    for wave in (
        8000 * np.sin(2 * np.pi * 425 * at),
        8000 * np.sin(2 * np.pi * 1336 * at),
        4000 * (np.sin(2 * np.pi * 400 * at) + np.sin(2 * np.pi * 1000 * at)),
        np.random.default_rng(2).normal(0, 4000, 16000),
        np.zeros(16000),
    ):
        assert key_tones(np.rint(np.clip(wave, -32768, 32767)).astype(np.int16)) == []
    assert key_tones(np.zeros(10, np.int16)) == []


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_speech_is_seldom_taken_for_a_key():
    text = "The quick brown fox jumps over the lazy dog, one two three four five. " * 6
    run = ["espeak-ng", "--stdout", "-s", "150", text]
    wav = subprocess.run(run, capture_output=True, check=True).stdout
    speech = np.frombuffer(wav[44:], "<i2").reshape(-1)
    speech = speech[: len(speech) // 11 * 11].reshape(-1, 11)[:, [0, 3, 6, 8]].reshape(-1)  # 22,050 Hz to about 8,000
    heard = sum(samples for _, samples in key_tones(np.ascontiguousarray(speech)))
    assert heard < 0.02 * len(speech)
