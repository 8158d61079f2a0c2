"""Why nothing arrived: every gap of a stream gets a cause, and missing packets are counted as what they are."""

from dataclasses import dataclass

import numpy as np

from appliance.assembly import tracks
from appliance.assembly.tracks import IntArray, Track
from storage.part_record import Fill
from storage.vocabulary import FillCause

Spans = list[tuple[int, int]]
"""Half-open sample intervals of the call, ascending."""


@dataclass(slots=True, kw_only=True)
class Loss:
    """What is missing from one stream's share of a part."""

    packets: int = 0
    """Packets the network lost: their numbers are absent from all copies."""
    runs: int = 0
    """Stretches of lost packets."""
    captured_packets: int = 0
    """Packets that the recorder has only in part."""
    longest_samples: int = 0
    """Longest stretch that is missing."""
    network_spans: Spans
    """Positions of network loss in the call."""
    capture_spans: Spans
    """Positions of capture loss in the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    begin: int
    end: int
    cause: FillCause
    missing: int


def explain(track: Track, consumed: int, first: int, last: int, held: Spans) -> tuple[list[Fill], Loss]:
    """Explain the gaps of a stream within a part.

    Args:
        track: the stream.
        consumed: how many of its speech packets end in this part; the next one bounds the last gap.
        first, last: the part's samples of the call.
        held: when the call was on hold, samples of the call.
    """
    gaps = _gaps(track, min(consumed + 1, len(track.audio)), held)
    entries = [
        Fill(max(gap.begin, first) - first, min(gap.end, last) - max(gap.begin, first), gap.cause)
        for gap in gaps
        if max(gap.begin, first) < min(gap.end, last)
    ]
    loss = Loss(network_spans=[], capture_spans=[])
    loss.packets = _missing_numbers(track, consumed)
    for gap in gaps:
        if gap.cause is FillCause.LOSS:
            loss.network_spans.append((gap.begin, gap.end))
            loss.runs += 1
        elif gap.cause is FillCause.CAPTURE_LOSS:
            loss.capture_spans.append((gap.begin, gap.end))
            loss.captured_packets += 1
        elif gap.cause is FillCause.HOLD:
            loss.packets = max(0, loss.packets - gap.missing)
    spans = loss.network_spans + loss.capture_spans
    loss.longest_samples = max((end - begin for begin, end in spans), default=0)
    return entries, loss


def _gaps(track: Track, rows: int, held: Spans) -> list[_Gap]:
    """Find the gaps before the first `rows` speech packets."""
    if not rows:
        return []
    earlier = track.state.end_sample
    start = track.start[:rows]
    begin = np.concatenate(([start[0] if earlier is None else earlier], track.end[: rows - 1]))
    return [_judge(track, row, int(begin[row]), int(start[row]), held) for row in np.flatnonzero(start > begin).tolist()]


def _judge(track: Track, row: int, begin: int, end: int, held: Spans) -> _Gap:
    """Decide why nothing arrived before a speech packet."""
    ordered, here = track.ordered, int(track.audio[row])
    before = int(track.audio[row - 1]) if row else -1
    number, epoch = _predecessor(track, before)
    same = epoch is None or int(ordered.epoch[here]) == epoch
    missing = int(ordered.sequence[here]) - number - (here - before) if same and number is not None else 0
    return _Gap(begin=begin, end=end, cause=_cause(track, row, before, missing, same, begin, end, held), missing=max(missing, 0))


def _predecessor(track: Track, before: int) -> tuple[int | None, int | None]:
    """Return number and epoch of the packet before a gap, from the part before where need be."""
    if before >= 0:
        return int(track.ordered.sequence[before]), int(track.ordered.epoch[before])
    carried = track.state.sequence
    return (None, None) if carried is None else (carried.sequence, carried.epoch)


def _cause(
    track: Track, row: int, before: int, missing: int, same: bool, begin: int, end: int, held: Spans
) -> FillCause:
    if sum(max(0, min(end, high) - max(begin, low)) for low, high in held) * 2 > end - begin:
        return FillCause.HOLD
    if missing > 0:
        return FillCause.LOSS
    if before >= 0 and track.packets.missing_bytes[track.ordered.index[before]]:
        return FillCause.CAPTURE_LOSS
    between = track.kind[before + 1 : int(track.audio[row])]
    if (between == tracks.TELEPHONE_EVENT).any():
        return FillCause.DTMF
    if (between == tracks.COMFORT_NOISE).any():
        return FillCause.COMFORT_NOISE
    line = track.placement.line
    moved = not same or (row > 0 and line[row] != line[row - 1]) or bool((between == tracks.OTHER).any())
    return FillCause.DISCONTINUITY if moved else FillCause.SILENCE_SUPPRESSION


def _missing_numbers(track: Track, consumed: int) -> int:
    """Count the sequence numbers absent before the last consumed speech packet."""
    if not consumed:
        return 0
    last = int(track.audio[consumed - 1]) + 1
    sequence, epoch = track.ordered.sequence[:last], track.ordered.epoch[:last]
    steps: IntArray = np.diff(sequence) - 1
    absent = int(np.maximum(steps[np.diff(epoch) == 0], 0).sum())
    carried = track.state.sequence
    if carried is not None and int(epoch[0]) == carried.epoch:
        absent += max(0, int(sequence[0]) - carried.sequence - 1)
    return absent
