"""Finding where the records of a window begin: a chain, each record telling where the next one begins, followed fast.

Three ways, all exact, and the traffic decides which is used:

- single steps;
- runs: where the length field expected at `begin + i * stride` is the same for every i < n, there are n equal records;
- lanes, for traffic of mixed sizes: the window is cut into lanes, a plausible record is guessed near the beginning of
  each, and all lanes are followed side by side. A guess counts only when the lane before it ends exactly there: by
  induction everything up to the first wrong guess is as if it had been stepped through.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Int64s = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.bool_]

_FIRST_PROBE = 64
_PROBE_GROWTH = 8
_LANES = 1024
_LEAST_LANE_BYTES = 8192
SEARCH_BYTES = 512
_MAX_GUESSES_PER_LANE = 64
_STEPS_BETWEEN_LOOKS = 8
_LEAST_RECORD_BYTES = 16
_LONG = 512
"""So many records found at once are worth the call."""
_MIN_PATIENCE, _MAX_PATIENCE = 4, 4096


class Chain(Protocol):
    """The records of one format in one window, `buffer[:end]`; some guard bytes follow `end`."""

    buffer: Bytes
    end: int
    key: slice
    """The bytes of a record's header (4 or 8 of them) that fix its length."""
    mark_spacing: int
    """Distance between the places that `marks` looks at."""

    def step(self, position: int, count: int, starts: list[int]) -> int:
        """Append the starts of up to `count` whole records from `position` on, and return where they end."""
        ...

    def follow(self, positions: Int64s) -> Int64s:
        """Where the records at `positions` end; `end + 1` for one that is not whole or needs a closer look."""
        ...

    def marks(self, first: int, model: int, lanes: int, lane_bytes: int) -> Flags:
        """Tell where in the first `SEARCH_BYTES` of each lane a record may begin that is like the one at `model`.

        The first lane begins at `first`. Shape `(lanes, SEARCH_BYTES // mark_spacing)`.
        """
        ...

    def plausible(self, positions: Int64s, model: int) -> Flags:
        """Whether a whole record, in the manner of the one at `model`, seems to begin at each of `positions`."""
        ...


class RecordFinder:
    """Finds records, window after window; remembers only whether anything faster than single steps was worth it."""

    def __init__(self) -> None:
        self._patience = _MIN_PATIENCE

    def starts(self, chain: Chain, begin: int) -> tuple[Int64s, int]:
        """Give the starts of the whole records from `begin` on, and where the last of them ends."""
        pieces: list[Int64s] = []
        position = begin
        while True:
            singles: list[int] = []
            position = chain.step(position, self._patience, singles)
            pieces.append(np.array(singles, np.int64))
            if len(singles) < self._patience:
                return np.concatenate(pieces), position
            many, position = _many(chain, singles[-1], position)
            pieces += many
            worthwhile = sum(map(len, many)) >= _LONG
            self._patience = _MIN_PATIENCE if worthwhile else min(2 * self._patience, _MAX_PATIENCE)


def _many(chain: Chain, model: int, begin: int) -> tuple[list[Int64s], int]:
    run, position = _equal_records(chain, model, begin)
    if len(run) >= _LONG:
        return [run], position
    more, position = _side_by_side(chain, position)
    return [run, more], position


def _equal_records(chain: Chain, model: int, begin: int) -> tuple[Int64s, int]:
    """Find the whole records from `begin` on that are as long as the one at `model`, which ends at `begin`."""
    stride, kind = begin - model, np.dtype(f"u{chain.key.stop - chain.key.start}")
    first = np.ndarray((), kind, chain.buffer, model + chain.key.start)
    limit = (chain.end - begin) // stride
    count, probe = 0, _FIRST_PROBE
    while count < limit:
        size = min(probe, limit - count)
        same = np.ndarray((size,), kind, chain.buffer, begin + count * stride + chain.key.start, (stride,)) == first
        matched = int(same.argmin())
        if not same[matched]:
            count += matched
            break
        count += size
        probe *= _PROBE_GROWTH
    end = begin + count * stride
    return np.arange(begin, end, stride, dtype=np.int64), end


def _side_by_side(chain: Chain, begin: int) -> tuple[Int64s, int]:
    """Find whole records from `begin` on by following many lanes at once; few or none when the guesses are bad."""
    lane_bytes = max((chain.end - begin) // _LANES & ~3, _LEAST_LANE_BYTES)
    heads = np.append(begin, _guesses(chain, begin, lane_bytes))
    if len(heads) < _LANES // 8:
        return np.empty(0, np.int64), begin
    borders = np.append(heads[1:], chain.end)
    rows = _follow_lanes(chain.follow, heads, borders, lane_bytes // _LEAST_RECORD_BYTES)
    ends = rows[-1]
    joined = ends == borders
    last = len(joined) - 1 if joined.all() else int(joined.argmin())
    lanes = rows[:, : last + 1].T
    starts = lanes[lanes < borders[: last + 1, np.newaxis]]
    if borders[last] <= ends[last] <= chain.end:
        return starts, int(ends[last])
    return starts[:-1], int(starts[-1])


def _follow_lanes(follow: Callable[[Int64s], Int64s], heads: Int64s, borders: Int64s, max_steps: int) -> Int64s:
    """Follow each lane until it reaches or passes its border; row i holds the places after i steps."""
    rows = [heads]
    for count in range(1, max_steps):
        places = rows[-1]
        inside = places < borders
        if count % _STEPS_BETWEEN_LOOKS == 0 and not inside.any():
            break
        rows.append(np.where(inside, follow(places), places))
    return np.stack(rows)


def _guesses(chain: Chain, begin: int, lane_bytes: int) -> Int64s:
    """Guess a record's start near the beginning of each lane after the first; lanes without one are left out."""
    lanes = (chain.end - begin - SEARCH_BYTES) // lane_bytes - 1
    if lanes < 1:
        return np.empty(0, np.int64)
    marks = chain.marks(begin + lane_bytes, begin, lanes, lane_bytes)
    found = np.flatnonzero(marks)[: lanes * _MAX_GUESSES_PER_LANE]
    lane, place = np.divmod(found, marks.shape[1])
    positions = begin + (lane + 1) * lane_bytes + place * chain.mark_spacing
    plausible = chain.plausible(positions, begin)
    _, first = np.unique(lane[plausible], return_index=True)
    guesses: Int64s = positions[plausible][first]
    return guesses
