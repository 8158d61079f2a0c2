"""The machine's clocks, read together."""

import time

from capture.bootline import ClockReading

_TRIES = 5
_TOGETHER_NS = 20_000
"""Two readings so close are one."""


def read() -> ClockReading:
    """Read real time and boot time at one moment: again when something came between."""
    closest_ns, reading = None, ClockReading(0, 0)
    for _ in range(_TRIES):
        before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        real_ns = time.time_ns()
        apart_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - before_ns
        if closest_ns is None or apart_ns < closest_ns:
            closest_ns, reading = apart_ns, ClockReading(real_ns, before_ns + apart_ns // 2)
        if closest_ns < _TOGETHER_NS:
            break
    return reading
