"""The machine's clocks, read together, and whether a time server disciplines them (adjtimex(2))."""

import ctypes
import time
from functools import cache
from pathlib import Path

from capture import discipline
from capture.bootline import ClockReading
from capture.discipline import Discipline
from storage.retention.clockguard import Sighting

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TRIES = 5
_TOGETHER_NS = 20_000
"""Two readings so close are one."""


def read() -> ClockReading:
    """Read real time and boot time at one moment: again when something came between."""
    closest_ns, reading = None, ClockReading(0, 0, _boot_id())
    for _ in range(_TRIES):
        before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        real_ns = time.time_ns()
        apart_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - before_ns
        if closest_ns is None or apart_ns < closest_ns:
            closest_ns, reading = apart_ns, reading._replace(real_ns=real_ns, boot_ns=before_ns + apart_ns // 2)
        if closest_ns < _TOGETHER_NS:
            break
    return reading


def sighting() -> Sighting:
    """Read everything that retention wants to know of time."""
    reading = read()
    return Sighting(
        boot_id=reading.boot_id,
        boot_ns=reading.boot_ns,
        wall_ns=reading.real_ns,
        synchronised=clock_discipline().synchronised,
    )


@cache
def _boot_id() -> str:
    return _BOOT_ID.read_text("ascii").strip()


class _Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2); with `modes` 0 nothing is set."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("maximum_error", ctypes.c_long),
        ("estimated_error", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),  # more than it takes on any machine
    )


@cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def clock_discipline() -> Discipline:
    """Ask the kernel whether something disciplines the real-time clock."""
    timex = _Timex()
    state = _c_library().adjtimex(ctypes.byref(timex))
    return discipline.of_kernel(int(state), timex.status, timex.offset)
