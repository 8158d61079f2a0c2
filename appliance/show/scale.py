"""From samples to pixels: where things lie on the picture's time line, and which instants are named. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from storage.vocabulary import SAMPLE_RATE_HZ

_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A time line of `samples` samples, drawn from `left` over `width` pixels."""

    left: float
    width: float
    samples: int

    def at(self, sample: float) -> float:
        """Where a sample lies."""
        return self.left + self.width * min(max(sample / max(self.samples, 1), 0.0), 1.0)

    def spans(self, stretches: Iterable[tuple[int, int]], least: float) -> list[tuple[float, float]]:
        """Where stretches (first sample, samples) lie: left edge and width, at least so wide, those that touch as one.

        However many there are, there are no more spans than pixels.
        """
        found: list[list[float]] = []
        for first, samples in sorted(stretches):
            left, right = self.at(first), self.at(first + samples)
            if right - left < least:
                middle = min(max((left + right) / 2, self.left + least / 2), self.left + self.width - least / 2)
                left, right = middle - least / 2, middle + least / 2
            if found and left <= found[-1][1] + 0.5:
                found[-1][1] = max(found[-1][1], right)
            else:
                found.append([left, right])
        return [(left, right - left) for left, right in found]

    def ticks(self, apart: float) -> list[tuple[float, str]]:
        """Where even instants lie that are at least so many pixels apart, and what they are called, from the start."""
        length_s = self.samples / SAMPLE_RATE_HZ
        if not length_s:
            return []
        steps = (step for step in _STEPS_S if step / length_s * self.width >= apart)
        step_s = next(steps, length_s)
        count = int(length_s / step_s + 1e-9)
        return [(self.at(turn * step_s * SAMPLE_RATE_HZ), clock(turn * step_s)) for turn in range(count + 1)]


def clock(seconds: float) -> str:
    """`0:05`, `1:02:03`, or `0:00.5` between whole seconds."""
    tenths = round(seconds * 10)
    whole, tenth = divmod(tenths, 10)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    shown = f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
    return f"{shown}.{tenth}" if tenth else shown
