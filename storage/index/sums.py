"""Sums of calls by local date, line and outcome, and the most calls at one time. Pure.

Line 0 and outcome 0 stand for all of them, so that every grouping that is asked for lies ready. Days, lines and
outcomes are numbers as in `schema`. A call counts on the date of its start; at one time with others it is from its
first packet to its end, on every date in between.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from storage.index.rows import DIRECTIONS, place
from storage.vocabulary import Direction

ALL = 0
Key = tuple[int, int, int]
"""Outcome, line, day."""
Ints = npt.NDArray[np.int64]
_INCOMING, _OUTGOING = place(Direction.IN, DIRECTIONS), place(Direction.OUT, DIRECTIONS)


def add(to: dict[Key, list[int]], keys: Iterable[Key], direction: int, length_ms: int, sign: int) -> None:
    """Add one call (a sign of 1) to sums of calls, incoming, outgoing and milliseconds, or take it from them (-1)."""
    change = (sign, sign * (direction == _INCOMING), sign * (direction == _OUTGOING), sign * length_ms)
    for key in keys:
        sum_ = to.setdefault(key, [0, 0, 0, 0])
        for at, value in enumerate(change):
            sum_[at] += value


def touch(to: dict[Key, list[int]], keys: Iterable[Key]) -> None:
    """Only note that the calls at one time have changed."""
    for key in keys:
        to.setdefault(key, [0, 0, 0, 0])


def groups(outcome: int, line: int, day: int) -> tuple[Key, Key, Key, Key]:
    """The sums of a day that a call of this line and outcome belongs to."""
    return (outcome, line, day), (ALL, line, day), (outcome, ALL, day), (ALL, ALL, day)


def peaks(calls: Iterable[tuple[int, int, int, int]]) -> dict[tuple[int, int], int]:
    """Most calls at one time, by outcome and line, all of them included.

    A call is its outcome, line, start and end (ns); one that ends in the instant when another starts is not with it.
    """
    columns = np.array(list(calls), np.int64).reshape(-1, 4)
    found: dict[tuple[int, int], int] = {}
    for keep_outcome, keep_line in ((1, 1), (1, 0), (0, 1), (0, 0)):
        outcome, line = columns[:, 0] * keep_outcome, columns[:, 1] * keep_line
        found.update(_peaks(outcome, line, columns[:, 2], np.maximum(columns[:, 3], columns[:, 2] + 1)))
    return found


def _peaks(outcome: Ints, line: Ints, start_ns: Ints, end_ns: Ints) -> dict[tuple[int, int], int]:
    """Peaks of each (outcome, line); arrays of shape `(calls,)`."""
    if not len(line):
        return {}
    group = np.tile(line << 8 | outcome, 2)
    change = np.repeat(np.array([1, -1]), len(line))
    order = np.lexsort((change, np.concatenate([start_ns, end_ns]), group))
    group = group[order]
    # Every group ends with nobody on the line, so one running sum serves all.
    going_on = np.cumsum(change[order])
    first = np.flatnonzero(np.diff(group, prepend=-1))
    most = np.maximum.reduceat(going_on, first)
    return {(key & 0xFF, key >> 8): peak for key, peak in zip(group[first].tolist(), most.tolist(), strict=True)}
