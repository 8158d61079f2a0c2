"""Interarrival jitter, RFC 3550 section 6.4.1 and appendix A.8: J += (|D| - J) / 16.

The recursion is solved for a whole block at once: with a = 15/16, J_k = a^k (J_0 + sum of |D_i| a^-i / 16). Every term
is positive, so nothing cancels and the result is the recursion's to rounding; blocks only keep a^-k within a double.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_BLOCK = 2048
_DECAY = (15 / 16) ** np.arange(1, _BLOCK + 1)
_GROWTH = (16 / 15) ** np.arange(1, _BLOCK + 1) / 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Jitter:
    """The running estimate over one stretch of packets, which starts at 0; all 0 below two packets."""

    mean_ms: float
    """Mean of the estimates after each packet but the first."""
    max_ms: float
    """Largest estimate."""
    last_ms: float
    """The estimate after the last packet, what a receiver report would carry."""


def interarrival_jitter(
    arrival_ns: npt.NDArray[np.int64], rtp_time: npt.NDArray[np.int64], clock_hz: int = 8000
) -> Jitter:
    """Jitter of packets in order of arrival, duplicates removed; both arrays of shape `(n,)`.

    `arrival_ns` is in nanoseconds, `rtp_time` in unwrapped ticks of `clock_hz`. The caller leaves out packets whose
    timestamp is not their sending time (telephone events) and splits where the sender's time line was re-anchored.
    """
    transit_change = np.abs((arrival_ns[1:] - arrival_ns[:-1]) - (rtp_time[1:] - rtp_time[:-1]) * (1e9 / clock_hz))
    total = peak = last = 0.0
    for first in range(0, len(transit_change), _BLOCK):
        block = transit_change[first : first + _BLOCK]
        size = len(block)
        running = (np.cumsum(block * _GROWTH[:size]) + last) * _DECAY[:size]
        total += float(running.sum())
        peak = max(peak, float(running.max()))
        last = float(running[-1])
    mean = total / max(len(transit_change), 1)
    return Jitter(mean_ms=mean / 1e6, max_ms=peak / 1e6, last_ms=last / 1e6)
