"""Where each packet's samples lie on the call's time line: by RTP timestamp, anchored once to capture time.

A *line* is a run of packets whose timestamps belong together. Its anchor is the least (arrival - RTP time) over its
first 10 s, then fixed; drift is measured elsewhere and never corrected here. A jump of the timestamp that capture time
does not confirm within 2 s begins a new line, so that a forged timestamp cannot ask for hours of silence; a return to
an earlier line takes up its anchor again.

Packets never overlap: one whose place is taken moves to the end of what is there, and the next real gap takes the
shift up again.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

SAMPLE_NS = 125_000
"""One sample at 8 kHz."""
ANCHOR_NS = 10_000_000_000
AGREEMENT_NS = 2_000_000_000
FASTEST_PER = 1000
"""A sender's clock is fast by less than one in so many; real ones stay below a tenth of that."""
ANCHOR_PACKETS = 2000
"""10 s of the shortest usual packets, 5 ms: no more are looked at for an anchor."""
MAX_LINES = 4096
"""More breaks than this in one part are not looked for: a hostile stream gets the last anchor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineCarry:
    """Where an earlier part of the stream ended."""

    anchor_ns: int
    """Capture time of RTP time 0 on the line in force."""
    transit_ns: int
    """(arrival - RTP time) of the last packet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Arrays of length `m`, in sending order."""

    start: IntArray
    """Sample at which each packet begins, relative to the origin; ascending, never overlapping."""
    line: IntArray
    """Number of the line each packet belongs to."""
    anchors_ns: IntArray
    """Anchor of each line."""


def place(
    arrival_ns: IntArray,
    rtp_time: IntArray,
    samples: IntArray,
    *,
    origin_ns: int,
    floor: int | None = None,
    carry: TimelineCarry | None = None,
    epoch: IntArray | None = None,
) -> Placement:
    """Place packets on the time line.

    Args:
        arrival_ns: capture time, ns, in sending order, shape `(m,)`.
        rtp_time: extended RTP timestamps, samples.
        samples: samples in each packet.
        origin_ns: capture time of sample 0.
        floor: no packet begins before this sample (the end of what lies there already).
        carry: where the part before ended.
        epoch: numbers that change where the sender started afresh.
    """
    if not len(arrival_ns):
        empty = np.zeros(0, np.int64)
        return Placement(start=empty, line=empty, anchors_ns=empty)
    rtp_time = _mend_lone(rtp_time, samples)
    breaks, anchors = _lines(arrival_ns, rtp_time, epoch, carry)
    line = np.zeros(len(rtp_time), np.int64)
    line[breaks[1:]] = 1
    line = np.cumsum(line)
    anchors_ns = np.array(anchors, np.int64)
    wanted = (anchors_ns[line] - origin_ns + SAMPLE_NS // 2) // SAMPLE_NS + rtp_time
    wanted = np.minimum(wanted, _latest(arrival_ns - origin_ns))
    before = np.cumsum(samples) - samples
    slack = wanted - before
    if floor is not None:
        slack[0] = max(int(slack[0]), floor)
    return Placement(start=before + np.maximum.accumulate(slack), line=line, anchors_ns=anchors_ns)


def _latest(elapsed_ns: IntArray) -> IntArray:
    """Sample by which a packet must begin that arrived so long after the origin: it was not sent before it was spoken.

    Timestamps that outrun the clock step by step, each step too small for a new line, cannot ask for hours either.
    """
    latest: IntArray = (elapsed_ns + np.abs(elapsed_ns) // FASTEST_PER + AGREEMENT_NS) // SAMPLE_NS
    return latest


def anchor_ns(arrival_ns: IntArray, transit_ns: IntArray) -> int:
    """Least (arrival - RTP time) over the first 10 s: when RTP time 0 would have arrived at best."""
    arrival_ns, transit_ns = arrival_ns[:ANCHOR_PACKETS], transit_ns[:ANCHOR_PACKETS]
    return int(transit_ns[arrival_ns <= arrival_ns[0] + ANCHOR_NS].min())


def _mend_lone(rtp_time: IntArray, samples: IntArray) -> IntArray:
    """Give a single packet whose timestamp its neighbours contradict the place between them."""
    if len(rtp_time) < 3:
        return rtp_time
    steps: IntArray = rtp_time[1:] - rtp_time[:-1] - samples[:-1]
    if not steps.any():
        return rtp_time
    across = rtp_time[2:] - rtp_time[:-2] - samples[:-2] - samples[1:-1]
    lone = np.flatnonzero((steps[:-1] != 0) & (steps[1:] != 0) & (across == 0)) + 1
    if not len(lone):
        return rtp_time
    mended = rtp_time.copy()
    mended[lone] = rtp_time[lone - 1] + samples[lone - 1]
    return mended


def _lines(
    arrival_ns: IntArray, rtp_time: IntArray, epoch: IntArray | None, carry: TimelineCarry | None
) -> tuple[list[int], list[int]]:
    """Find where lines begin, and their anchors."""
    transit = arrival_ns - rtp_time * SAMPLE_NS
    suspect = np.abs(transit[1:] - transit[:-1]) > AGREEMENT_NS
    if epoch is not None:
        suspect |= epoch[1:] != epoch[:-1]
    breaks, anchors = [0], [_first_anchor(arrival_ns, transit, carry)]
    for row in (np.flatnonzero(suspect) + 1)[:MAX_LINES].tolist():
        fresh = anchor_ns(arrival_ns[row:], transit[row:])
        # What the line had come to just before, drift included: a late packet there counts for nothing.
        lately = int(transit[max(breaks[-1], row - ANCHOR_PACKETS) : row].min())
        if abs(fresh - lately) <= AGREEMENT_NS:
            continue
        known = [anchor for anchor in anchors if abs(fresh - anchor) <= AGREEMENT_NS]
        breaks.append(row)
        anchors.append(known[-1] if known else fresh)
    return breaks, anchors


def _first_anchor(arrival_ns: IntArray, transit: IntArray, carry: TimelineCarry | None) -> int:
    fresh = anchor_ns(arrival_ns, transit)
    if carry is not None and abs(fresh - carry.transit_ns) <= AGREEMENT_NS:
        return carry.anchor_ns
    # The first packet may itself be the forged one: it anchors its own line.
    return fresh if abs(int(transit[0]) - fresh) <= AGREEMENT_NS else int(transit[0])


def scatter(target: npt.NDArray[np.uint8], start: IntArray, rows: npt.NDArray[np.uint8]) -> None:
    """Copy the rows of a 2-D array to their places in a 1-D array; later rows win where they overlap.

    Args:
        target: codes, shape `(size,)`, changed in place.
        start: where each row begins; every row must lie inside.
        rows: shape `(m, width)`, contiguous or a column slice of a contiguous array.
    """
    m, width = rows.shape
    if not m or not width:
        return
    if (start[1:] - start[:-1] == width).all():
        target[start[0] : start[0] + m * width].reshape(m, width)[:] = rows
        return
    item, places = target[:width].view(f"V{width}"), len(target) - width + 1
    windows = np.lib.stride_tricks.as_strided(item, shape=(places,), strides=(1,))
    windows[start] = np.ascontiguousarray(rows).view(f"V{width}").reshape(-1)
