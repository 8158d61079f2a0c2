"""What is remembered of RTP streams from block to block, and what a block adds: losses, copies, gaps, jitter. Pure.

A stream is addresses, ports and SSRC; copies of a packet on other interfaces, VLANs or hops belong to it.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from appliance.diagnosis.wire.placement import Origin
from appliance.diagnosis.wire.rtpcolumns import Columns
from dsp.drift import drift_ppm

BIN_NS = 20_000_000
"""One packet of 20 ms, the usual one."""
TOGETHER_NS = 1_500_000
"""A copy so close comes from a second mirror session; "about 1 ms"."""
_PAUSE_NS = 500_000_000
_JUMP = 100
"""Sequence numbers further apart, 2 s, begin a stream anew: a mirror that was changed shows the like, and no loss."""
_MAX_GAP_BINS = 50
_MAX_MISSING = 512
_CLOCK_HZ = 8000
_MAX_MINUTE = 600
"""Seconds of which the least transit is kept."""
_SMALL_PPM = 50
"""Nobody asks how steady so little is."""
_DEAD_PACKETS = 750
"""15 s from a stream's first packet on: nobody who can be heard is silent to the bit for so long."""


@dataclass(slots=True, kw_only=True)
class Stream:
    """One stream since its first packet."""

    number: int
    sender: bytes
    """Packed address."""
    ssrc: int
    origin: Origin
    first_ns: int
    highest: int = -1
    """Latest sequence number; -1 before the first packet."""
    highest_ns: int = 0
    """When it came."""
    packets: int = 0
    speech: int = 0
    """Packets of G.711."""
    dead: int = 0
    """Of those, digital silence; counted until the first that is not."""
    rtp_time: int = 0
    """Latest timestamp, unwrapped."""
    seconds: list[tuple[int, int]] = field(default_factory=list)
    """Arrival and timestamp of the packet with the least transit of each second."""

    missing: dict[int, None] = field(default_factory=dict)
    """Latest sequence numbers that did not come."""

    def interrupt(self) -> None:
        """Forget where it was: what comes next is no gap."""
        self.highest = -1
        self.missing.clear()

    def miss(self, offset: npt.NDArray[np.int64]) -> None:
        """Take note of what did not come before the last of these, ahead of `highest` and ascending."""
        absent = np.setdiff1d(np.arange(1, min(int(offset[-1]), _MAX_MISSING) + 1), offset, assume_unique=True)
        for ahead in absent.tolist():
            self.missing[(self.highest + ahead) & 0xFFFF] = None
        while len(self.missing) > _MAX_MISSING:
            del self.missing[next(iter(self.missing))]

    def found(self, offset: npt.NDArray[np.int64]) -> int:
        """Return how many of these, not ahead of `highest`, were missing until now; others are copies."""
        wanted = [(self.highest + behind) & 0xFFFF for behind in offset.tolist()] if self.missing else []
        return sum(self.missing.pop(sequence, 0) is None for sequence in wanted)

    @property
    def is_dead(self) -> bool:
        """Whether all of it is digital silence, for long enough to mean something."""
        return self.speech == self.dead >= _DEAD_PACKETS

    def drift(self) -> tuple[float, float] | None:
        """Return parts per million and over how many seconds; None when there is too little to tell."""
        if len(self.seconds) < 30:
            return None
        arrival, rtp = np.array(self.seconds, np.int64).T
        ppm = drift_ppm(arrival, rtp)
        if ppm is None or not _is_steady(arrival, rtp, ppm):
            return None
        return ppm, float(arrival[-1] - arrival[0]) / 1e9


def _is_steady(arrival: npt.NDArray[np.int64], rtp: npt.NDArray[np.int64], ppm: float) -> bool:
    """Whether it drifts all the time: a delay that changes once looks like drift over the whole, and over no half."""
    middle = len(arrival) // 2
    halves = [_slope_ppm(arrival[part], rtp[part]) for part in (slice(middle), slice(middle, None))]
    return abs(ppm) < _SMALL_PPM or all(each * ppm > 0 and abs(each) > abs(ppm) / 2 for each in halves)


def _slope_ppm(arrival: npt.NDArray[np.int64], rtp: npt.NDArray[np.int64]) -> float:
    """Slope of the sender's time over ours, less 1, by least squares."""
    x = (arrival - arrival[0]) / 1e9
    y = (rtp - rtp[0]) / _CLOCK_HZ - x
    x = x - x.mean()
    spread = float((x**2).sum())
    return float((x * (y - y.mean())).sum()) / spread * 1e6 if spread else 0.0


@dataclass(slots=True, kw_only=True)
class Added:
    """What one block added to a stream."""

    packets: int = 0
    expected: int = 0
    lost: int = 0
    """Negative when packets came that were counted as lost before."""
    doubled: int = 0
    jitter_ns: float = 0.0
    """Sum of what transit times differ by."""
    pairs: int = 0
    """Of so many neighbours."""
    gap_bins: set[int] = field(default_factory=set)
    """Bins of 20 ms in which something is missing."""
    paused: bool = False
    """It said nothing for a while, and its numbers went on without a gap: the sender suppresses silence."""


def add(streams: list[Stream], columns: Columns) -> dict[int, Added]:
    """Take packets into their streams, given by their place here; return what each gained."""
    found: dict[int, Added] = {}
    order = np.lexsort((columns.arrival_ns, columns.stream))
    numbers = columns.stream[order]
    if not len(numbers):
        return found
    borders = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    for begin, end in pairwise(borders):
        at = int(numbers[begin])
        found[at] = _add(streams[at], columns, order[begin:end])
    return found


def _add(stream: Stream, columns: Columns, rows: npt.NDArray[np.int64]) -> Added:
    sequence, arrival = columns.sequence[rows], columns.arrival_ns[rows]
    if stream.highest < 0:
        stream.highest, stream.highest_ns = (int(sequence[0]) - 1) & 0xFFFF, int(arrival[0])
        stream.rtp_time = int(columns.rtp_time[rows[0]])
    offset = (sequence - stream.highest + 0x8000) % 0x10000 - 0x8000
    if np.abs(offset).max() > _JUMP:
        return _begin_again(stream, columns, rows)
    ranked = np.lexsort((arrival, offset))
    offset, times = offset[ranked], arrival[ranked]
    again = np.zeros(len(offset), np.bool_)
    again[1:] = offset[1:] == offset[:-1]
    close = np.zeros(len(offset), np.bool_)
    close[1:] = again[1:] & (times[1:] - times[:-1] <= TOGETHER_NS)
    offset, times, kept = offset[~again], times[~again], rows[ranked[~again]]
    top = int(offset[-1])
    is_new = offset > 0
    found = stream.found(offset[~is_new])
    doubled = int(close.sum()) + int(offset[0] <= 0 and int(times[0]) - stream.highest_ns <= TOGETHER_NS)
    packets = int(is_new.sum()) + found
    added = Added(packets=packets, expected=max(top, 0), lost=max(top, 0) - packets, doubled=doubled)
    offset, times, kept = offset[is_new], times[is_new], kept[is_new]
    stream.packets += packets
    if len(offset):
        added.gap_bins = _gap_bins(offset, times, stream.highest_ns)
        added.paused = _pauses(offset, times, stream.highest_ns)
        stream.miss(offset)
        _note_speech(stream, columns, kept, offset, added)
        stream.highest, stream.highest_ns = (stream.highest + top) & 0xFFFF, int(times[-1])
    return added


def _begin_again(stream: Stream, columns: Columns, rows: npt.NDArray[np.int64]) -> Added:
    """The sequence jumped: a new beginning, which is no loss."""
    stream.highest, stream.highest_ns = int(columns.sequence[rows[-1]]), int(columns.arrival_ns[rows[-1]])
    stream.rtp_time = int(columns.rtp_time[rows[-1]])
    stream.seconds.clear()
    stream.packets += len(rows)
    stream.dead = -1
    return Added(packets=len(rows), expected=len(rows))


def _gap_bins(offset: npt.NDArray[np.int64], times: npt.NDArray[np.int64], before_ns: int) -> set[int]:
    steps = np.diff(offset, prepend=0)
    starts = np.concatenate([[before_ns], times[:-1]])
    bins: set[int] = set()
    for at in np.flatnonzero(steps > 1).tolist():
        first, last = int(starts[at]) // BIN_NS + 1, int(times[at]) // BIN_NS
        bins.update(range(first, min(max(last, first + 1), first + _MAX_GAP_BINS)))
    return bins


def _pauses(offset: npt.NDArray[np.int64], times: npt.NDArray[np.int64], before_ns: int) -> bool:
    apart_ns = np.diff(times, prepend=before_ns)
    return bool(((np.diff(offset, prepend=0) == 1) & (apart_ns > _PAUSE_NS)).any())


def _note_speech(
    stream: Stream,
    columns: Columns,
    rows: npt.NDArray[np.int64],
    offset: npt.NDArray[np.int64],
    added: Added,
) -> None:
    speech = columns.is_speech[rows]
    if stream.dead == stream.speech:
        dead = columns.is_dead[rows][speech]
        stream.dead += int(dead.sum()) if dead.all() else 0
        stream.speech += len(dead)
    rows, offset = rows[speech], offset[speech]
    if not len(rows):
        return
    arrival = columns.arrival_ns[rows]
    ticks = columns.rtp_time[rows]
    unwrapped = stream.rtp_time + ((ticks - stream.rtp_time + 0x80000000) % 0x100000000 - 0x80000000)
    neighbours = np.diff(offset) == 1
    differences = np.abs(np.diff(arrival) - np.diff(unwrapped) * (1e9 / _CLOCK_HZ))[neighbours]
    added.jitter_ns, added.pairs = float(differences.sum()), len(differences)
    stream.rtp_time = int(unwrapped[-1])
    transit = arrival - unwrapped * (1_000_000_000 // _CLOCK_HZ)
    least = int(transit.argmin())
    _note_second(stream, int(arrival[least]), int(unwrapped[least]))


def _note_second(stream: Stream, arrival_ns: int, rtp_time: int) -> None:
    second = arrival_ns // 1_000_000_000
    if stream.seconds and stream.seconds[-1][0] // 1_000_000_000 == second:
        earlier_ns, earlier = stream.seconds[-1]
        if arrival_ns - rtp_time * 125_000 < earlier_ns - earlier * 125_000:
            stream.seconds[-1] = (arrival_ns, rtp_time)
    elif not stream.seconds or arrival_ns > stream.seconds[-1][0]:
        stream.seconds.append((arrival_ns, rtp_time))
        del stream.seconds[:-_MAX_MINUTE]
