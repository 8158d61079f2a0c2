"""Packet-loss concealment of ITU-T G.711 Appendix I, for playback and export. Evidence is never concealed.

For the first 10 ms of a gap the last pitch period is repeated, from 10 ms on two periods and from 20 ms on three,
falling by 20 % each 10 ms; after 60 ms there is silence. Both edges are crossfaded, the first a quarter of a period
before the gap, the second into what follows it. The appendix works on 10 ms frames as they arrive and delays its output
by 3.75 ms to be able to do so; with the whole recording at hand there is no delay.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

FRAME_SAMPLES = 80
"""10 ms at 8 kHz: what the appendix works on."""
PITCH_MIN_SAMPLES, PITCH_MAX_SAMPLES = 40, 120
"""200 Hz to 66 Hz."""
HISTORY_SAMPLES = 3 * PITCH_MAX_SAMPLES + PITCH_MAX_SAMPLES // 4
SILENT_AFTER_FRAMES = 6
ATTENUATION = 0.2
"""Per frame, from the second one on."""
_CORRELATION_SAMPLES = 160
_LEAST_POWER = 250.0
_END_OVERLAP_STEP_SAMPLES = 32
"""The fade into what follows grows by 4 ms for each 10 ms lost."""

Samples = npt.NDArray[np.int16]
_Wave = npt.NDArray[np.float64]


def conceal(samples: Samples, gaps: Iterable[tuple[int, int]]) -> None:
    """Fill in the gaps `(first, samples)` of one channel, shape `(n,)`, in place; they come in order, apart.

    Outside a gap, at most 30 samples before it and 80 behind it are changed. What lies in the gap is not used. A gap
    without 48.75 ms of anything before it, as at the start of a call, is silent.
    """
    for first, length in gaps:
        last = min(first + length, len(samples))
        if first < last:
            _conceal(samples, first, last)


def _conceal(out: Samples, first: int, last: int) -> None:
    """Fill `first` to `last` of `out`, in place."""
    out[first:last] = 0
    history = out[max(0, first - HISTORY_SAMPLES) : first].astype(np.float64)
    if len(history) < HISTORY_SAMPLES:
        return
    voice = _Repetition(history)
    out[first - voice.overlap : first] = _rounded(voice.eased_end)
    for frame, begin in enumerate(range(first, last, FRAME_SAMPLES)):
        if frame == SILENT_AFTER_FRAMES:
            break
        size = min(FRAME_SAMPLES, last - begin)
        gain = 1.0 - ATTENUATION * (max(frame - 1, 0) + np.arange(size) / FRAME_SAMPLES * (frame > 0))
        out[begin : begin + size] = _rounded(voice.frame(frame, size) * np.clip(gain, 0.0, 1.0))
    _ease_in(out, last, voice, frames=-(-(last - first) // FRAME_SAMPLES))


def _ease_in(out: Samples, last: int, voice: "_Repetition", *, frames: int) -> None:
    """Crossfade from the repetition to what follows the gap."""
    size = min(voice.overlap + (frames - 1) * _END_OVERLAP_STEP_SAMPLES, FRAME_SAMPLES, len(out) - last)
    if size <= 0:
        return
    rising = np.arange(1, size + 1) / size
    gain = max(0.0, 1.0 - ATTENUATION * (frames - 1))
    out[last : last + size] = _rounded(voice.next(size) * (1 - rising) * gain + out[last : last + size] * rising)


class _Repetition:
    """The last one to three pitch periods before a gap, again and again."""

    def __init__(self, history: _Wave) -> None:
        """`history`: the samples before the gap, shape `(HISTORY_SAMPLES,)`."""
        self._pitch = _pitch_samples(history)
        self.overlap = self._pitch // 4
        """How much is crossfaded where one repetition meets the next, and where the gap begins."""
        self._history = history
        self._offset = 0
        self._periods = self._looped(1)
        self.eased_end = self._periods[len(self._periods) - self.overlap :]
        """What replaces the last samples before the gap, so that the first repetition follows without a click."""

    def frame(self, number: int, size: int) -> _Wave:
        """Return the samples of the gap's frame of this number, counted from 0."""
        if number not in (1, 2):
            return self.next(size)
        # One period more makes it sound less like a buzz; what went before is faded out.
        offset = self._offset
        before = self.next(self.overlap)
        self._offset = offset % self._pitch
        self._periods = self._looped(number + 1)
        speech = self.next(size)
        faded = min(self.overlap, size)
        rising = np.arange(1, faded + 1) / self.overlap
        speech[:faded] = before[:faded] * (1 - rising) + speech[:faded] * rising
        return speech

    def next(self, size: int) -> _Wave:
        """Return what comes next."""
        at = (self._offset + np.arange(size)) % len(self._periods)
        self._offset = (self._offset + size) % len(self._periods)
        return self._periods[at]

    def _looped(self, periods: int) -> _Wave:
        """Return the last periods, their end crossfaded into what went before their beginning."""
        length, overlap = periods * self._pitch, self.overlap
        loop = self._history[-length:].copy()
        rising = np.arange(1, overlap + 1) / overlap
        before = self._history[-length - overlap : -length]
        loop[-overlap:] = loop[-overlap:] * (1 - rising) + before * rising
        return loop


def _pitch_samples(history: _Wave) -> int:
    """Return the lag at which the last 20 ms resemble what went before most."""
    newest = history[-_CORRELATION_SAMPLES:]
    searched = history[-_CORRELATION_SAMPLES - PITCH_MAX_SAMPLES :]
    windows = np.lib.stride_tricks.sliding_window_view(searched, _CORRELATION_SAMPLES)
    earlier = windows[: PITCH_MAX_SAMPLES - PITCH_MIN_SAMPLES + 1]
    power = np.maximum(np.einsum("ij,ij->i", earlier, earlier), _LEAST_POWER)
    return PITCH_MAX_SAMPLES - int(np.argmax(earlier @ newest / np.sqrt(power)))


def _rounded(wave: _Wave) -> Samples:
    return np.clip(np.rint(wave), -32768, 32767).astype(np.int16)
