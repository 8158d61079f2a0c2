"""Sums of calls by local date, line and outcome, and the most calls at one time. Pure.

Line 0 and outcome 0 stand for all of them, so that every grouping that is asked for lies ready. Days, lines and
outcomes are numbers as in `schema`. A call counts on the date of its start; at one time with others it is from its
first packet to its end, on every date in between.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from storage.index.rows import DIRECTIONS, place
from storage.vocabulary import Direction

ALL = 0
Key = tuple[int, int, int]
"""Line, outcome, day."""
Ints = npt.NDArray[np.int64]
_INCOMING, _OUTGOING = place(Direction.IN, DIRECTIONS), place(Direction.OUT, DIRECTIONS)


class Sum(NamedTuple):
    """What is added up."""

    calls: int
    incoming: int
    outgoing: int
    length_ms: int

    def plus(self, other: "Sum", sign: int = 1) -> "Sum":
        """This and the other; without it for a sign of -1."""
        return Sum(*(mine + sign * theirs for mine, theirs in zip(self, other, strict=True)))


NOTHING = Sum(0, 0, 0, 0)


def of_call(direction: int, length_ms: int) -> Sum:
    """One call's share."""
    return Sum(1, int(direction == _INCOMING), int(direction == _OUTGOING), length_ms)


def groups(line: int, outcome: int, day: int) -> tuple[Key, Key, Key, Key]:
    """The sums of a day that a call of this line and outcome belongs to."""
    return (line, outcome, day), (line, ALL, day), (ALL, outcome, day), (ALL, ALL, day)


def peaks(calls: Iterable[tuple[int, int, int, int]]) -> dict[tuple[int, int], int]:
    """Most calls at one time, by line and outcome, all of them included.

    A call is its line, outcome, start and end (ns); one that ends in the instant when another starts is not with it.
    """
    columns = np.array(list(calls), np.int64).reshape(-1, 4)
    found: dict[tuple[int, int], int] = {}
    for keep_line, keep_outcome in ((1, 1), (1, 0), (0, 1), (0, 0)):
        line, outcome = columns[:, 0] * keep_line, columns[:, 1] * keep_outcome
        found.update(_peaks(line, outcome, columns[:, 2], np.maximum(columns[:, 3], columns[:, 2] + 1)))
    return found


def _peaks(line: Ints, outcome: Ints, start_ns: Ints, end_ns: Ints) -> dict[tuple[int, int], int]:
    """Peaks of each (line, outcome); arrays of shape `(calls,)`."""
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
    return {(key >> 8, key & 0xFF): peak for key, peak in zip(group[first].tolist(), most.tolist(), strict=True)}
