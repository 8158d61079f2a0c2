"""How long to wait before a process that died is started again. Pure."""

from collections.abc import Sequence


class Backoff:
    """A delay that grows step by step with each early death, and shrinks by a step for every calm time lived."""

    def __init__(self, delays_s: Sequence[float], calm_s: float) -> None:
        self._delays_s = delays_s
        self._calm_s = calm_s
        self._step = 0

    def after(self, lived_s: float) -> float:
        """Return the delay in seconds for a process that died after it lived so long."""
        self._step = max(0, self._step - int(lived_s // self._calm_s))
        delay_s = self._delays_s[self._step]
        self._step = min(self._step + 1, len(self._delays_s) - 1)
        return delay_s
