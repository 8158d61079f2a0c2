"""Capture times that go on evenly, though the clock that a capture file was stamped by did not.

| times of records, in the order of the file                           | become                                     |
|----------------------------------------------------------------------|--------------------------------------------|
| up to `SHORT_RUN` records more than `FAR_NS` off, then on as before  | the time of the record before; counted     |
| back by more than `DISORDER_NS` for longer: the clock was set        | shifted, so that the line goes on: a step  |
| forward, and back by less than `DISORDER_NS`                         | stay: that is a pause, and mere disorder   |

A file is written in the order of capture; that is what tells a clock that went back from packets that did. A clock that
was set forward cannot be told from a pause. What becomes of a record depends on at most `SHORT_RUN` records around it,
never on where batches begin.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from capture.merging import interleave
from capture.octets import IntArray
from capture.records import RecordBatch

DISORDER_NS = 1_000_000_000
"""Records lie in a file in the order of their times, but for this much."""
FAR_NS = 60_000_000_000
"""A time that is off by more would end calls and begin others."""
SHORT_RUN = 8
"""So many records in a row may have a wrong time; of more, the clock was set."""
_BEHIND = SHORT_RUN + 1
"""Records before one that its place is judged by: a short run and what it follows."""
_PIECE = 8192
"""Times that are looked at together."""
_INT64_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """The clock was set."""

    at_ns: int
    """When, on the even line."""
    step_ns: int
    """By how much; negative when it was set back."""


class ClockLine:
    """The line of one source's times."""

    def __init__(self) -> None:
        self.odd_times = 0
        """Records that got the time of the record before."""
        self.steps: list[ClockStep] = []
        """Steps found; whoever writes them down takes them out."""
        self._shift_ns = 0
        self._before = np.zeros(0, np.int64)
        """Times of the latest records told, as the file has them but without those far off."""
        self._waiting = np.zeros(0, np.int64)
        """Times of records that cannot be told yet."""

    def even(self, batches: Iterator[RecordBatch]) -> Iterator[RecordBatch]:
        """Hand on batches with even times; a batch is valid until the next one is asked for."""
        held: RecordBatch | None = None
        for batch in batches:
            times = self.times(batch.ts_ns)
            if held is not None:
                batch = _joined(held, batch)
            told = len(times)
            held = batch.rows(told, len(batch)).copied() if told < len(batch) else None
            if told:
                yield replace(batch.rows(0, told), ts_ns=times)
        if held is not None:
            yield replace(held, ts_ns=self.times(np.zeros(0, np.int64), last=True))

    def times(self, found: IntArray, *, last: bool = False) -> IntArray:
        """Take in times as the file has them, and return those of the records that can be told now, in order.

        At most `2 * SHORT_RUN` records wait for what follows them; with `last`, none.
        """
        begin = len(self._before)
        if begin and not len(self._waiting) and _is_plain(self._before, found):
            self._before = np.concatenate((self._before, found[-_BEHIND:]))[-_BEHIND:]
            return _added(found, self._shift_ns) if self._shift_ns else found
        line = np.concatenate((self._before, self._waiting, found))
        judged = _judge(line, begin, last=last)
        until = judged.until
        times = self._told(line, judged)[begin:until]
        self._before, self._waiting = judged.clean[:until][-_BEHIND:].copy(), line[until:].copy()
        return times

    def _told(self, line: IntArray, judged: "_Judged") -> IntArray:
        times = line.copy()
        for low, high in judged.odd:
            times[low:high] = judged.clean[low:high]
            self.odd_times += high - low
        since = 0
        for at, step_ns in judged.steps:
            times[since:at] = _added(times[since:at], self._shift_ns)
            before_ns = int(_added(judged.clean[at - 1 : at], self._shift_ns)[0])
            self.steps.append(ClockStep(at_ns=before_ns, step_ns=step_ns))
            self._shift_ns = min(self._shift_ns - step_ns, _INT64_MAX)
            since = at
        times[since:] = _added(times[since:], self._shift_ns)
        return times


@dataclass(slots=True, kw_only=True)
class _Judged:
    """What a stretch of records was found to be."""

    clean: IntArray
    """Their times without the short runs that are off: those have the time of the record before."""
    until: int
    """Up to which record that is certain."""
    odd: list[tuple[int, int]] = field(default_factory=list)
    """Short runs that are far off."""
    steps: list[tuple[int, int]] = field(default_factory=list)
    """Records from which on the clock was another, and by how much it was set."""


def _judge(line: IntArray, begin: int, *, last: bool) -> _Judged:
    """Judge the records from `begin` on; those before are known, and none are when the source has just begun."""
    judged = _Judged(clean=line.copy(), until=len(line))
    todo = deque(at for at in _jumps(line).tolist() if at >= begin)
    while todo:
        at = todo.popleft()
        back = _place(judged, at, fresh=not begin and at <= SHORT_RUN, last=last)
        if back is None:
            judged.until = at
            break
        while todo and todo[0] <= back:
            todo.popleft()
        if at < back < len(line):
            todo.appendleft(back)
    if not begin and not last and judged.until <= SHORT_RUN:
        # With fewer records, nobody knows whether it was the first ones that were off.
        return _Judged(clean=line, until=0)
    return judged


def _place(judged: _Judged, at: int, *, fresh: bool, last: bool) -> int | None:
    """Find out what the jump before a record is.

    Returns:
        The record at which to go on: `at`, or the one behind a short run; None when that takes more records.
    """
    clean = judged.clean
    jump_ns = int(clean[at]) - int(clean[at - 1])
    if -DISORDER_NS <= jump_ns <= FAR_NS or (jump_ns < 0 and _closes_run(clean, at)):
        return at
    back = _return(clean, at, jump_ns, last=last)
    if back is not None:
        clean[at:back] = clean[at - 1]
        if abs(jump_ns) > FAR_NS:
            judged.odd.append((at, back))
        return back
    if at + SHORT_RUN >= len(clean) and not last:
        return None
    if fresh and jump_ns < -FAR_NS:
        clean[:at] = clean[at]
        judged.odd = [(0, at)]
        judged.steps.clear()
    elif jump_ns < 0:
        judged.steps.append((at, jump_ns))
    return at


def _closes_run(clean: IntArray, at: int) -> bool:
    """Whether the records before one ran ahead, and it goes on where they began; they are then no part of the line."""
    limit_ns = int(clean[at]) + DISORDER_NS
    fits = [row for row in range(max(0, at - _BEHIND), at - 1) if int(clean[row]) <= limit_ns]
    if not fits or int(clean[fits[-1] + 1]) - int(clean[fits[-1]]) <= DISORDER_NS:
        return False
    clean[fits[-1] + 1 : at] = clean[fits[-1]]
    return True


def _return(clean: IntArray, at: int, jump_ns: int, *, last: bool) -> int | None:
    """Return the record behind a short run at which the line goes on as before; None when there is none."""
    before_ns, off_ns = int(clean[at - 1]), int(clean[at])
    latest_ns = max(before_ns + FAR_NS, off_ns - FAR_NS) if jump_ns > 0 else _INT64_MAX
    following = clean[at + 1 : at + SHORT_RUN + 1].tolist()
    for row, ns in enumerate(following, at + 1):
        returns = abs(ns - int(clean[row - 1])) > DISORDER_NS
        if returns and before_ns - DISORDER_NS <= ns <= latest_ns:
            return row
    ends = last and jump_ns < 0 and len(clean) - at <= SHORT_RUN
    return len(clean) if ends else None


def _is_plain(before: IntArray, found: IntArray) -> bool:
    """Whether times follow on those before without a jump."""
    if len(_jumps(np.concatenate((before[-1:], found[:1])))):
        return False
    # In pieces that stay in the processor's cache: this is all that an ordinary capture costs.
    for low in range(0, len(found) - 1, _PIECE):
        piece = found[low : low + _PIECE + 1]
        steps = piece[1:] - piece[:-1]
        if int(steps.min()) < -DISORDER_NS or int(steps.max()) > FAR_NS:
            return False
    return True


def _jumps(line: IntArray) -> IntArray:
    """Return the records that lie more than disorder behind the one before, or far ahead of it."""
    steps = line[1:] - line[:-1]
    steps += DISORDER_NS
    # Unsigned, what is too far back is a huge number, and so is what int64 cannot hold.
    return np.flatnonzero(steps.view(np.uint64) > DISORDER_NS + FAR_NS) + 1


def _added(times: IntArray, shift_ns: int) -> IntArray:
    return np.minimum(times, _INT64_MAX - shift_ns) + shift_ns


def _joined(held: RecordBatch, batch: RecordBatch) -> RecordBatch:
    """Return the records of both in one buffer."""
    return interleave([(each, np.zeros(len(each), np.int64)) for each in (held, batch)])
