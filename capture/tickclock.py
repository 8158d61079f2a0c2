"""The clocks of a pcapng's interfaces (options `if_tsresol` and `if_tsoffset`): ticks to nanoseconds, exactly."""

import numpy as np
import numpy.typing as npt

_NS_PER_S = 1_000_000_000
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_BASE_TWO = 0x80


class TickClocks:
    """Up to `size` clocks. A time that int64 nanoseconds cannot hold (before 1678, after 2261) becomes the nearest."""

    def __init__(self, size: int) -> None:
        self._units_per_s: list[int] = []
        self._offset_s: list[int] = []
        self._tick_ns = np.zeros(size, np.int64)
        self._offset_ns = np.zeros(size, np.int64)
        self._direct_ticks = np.zeros(size, np.uint64)

    def add(self, resolution: int, offset_s: int) -> None:
        """Add a clock: `if_tsresol`'s byte (a negative power of ten, of two when bit 7 is set) and `if_tsoffset`."""
        number = len(self._units_per_s)
        units_per_s = 1 << (resolution & ~_BASE_TWO) if resolution & _BASE_TWO else 10**resolution
        self._units_per_s.append(units_per_s)
        self._offset_s.append(offset_s)
        offset_ns = offset_s * _NS_PER_S
        self._offset_ns[number] = _clamped(offset_ns)
        tick_ns, remainder = divmod(_NS_PER_S, units_per_s)
        if remainder == 0 and _INT64_MIN <= offset_ns <= _INT64_MAX:
            self._tick_ns[number] = tick_ns
            self._direct_ticks[number] = (_INT64_MAX - offset_ns) // tick_ns

    def to_ns(self, ticks: npt.NDArray[np.uint64], number: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Nanoseconds since the epoch of `ticks` of the clocks `number`, rounded down."""
        one_clock = len(number) > 0 and bool((number == number[0]).all())
        clock = number[0] if one_clock else number
        # Two's complement: a product that overflows comes back into range when a negative offset is added.
        ts_ns: npt.NDArray[np.int64] = ticks.view(np.int64) * self._tick_ns[clock]
        ts_ns += self._offset_ns[clock]
        direct = ticks <= self._direct_ticks[clock]
        if not direct.all():
            rows = np.flatnonzero(~direct)
            ts_ns[rows] = [self._exact(int(ticks[row]), int(number[row])) for row in rows]
        return ts_ns

    def _exact(self, ticks: int, number: int) -> int:
        return _clamped(ticks * _NS_PER_S // self._units_per_s[number] + self._offset_s[number] * _NS_PER_S)


def _clamped(value: int) -> int:
    return max(_INT64_MIN, min(_INT64_MAX, value))
