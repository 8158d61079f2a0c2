"""Why nothing arrived: every gap of a stream gets a cause, and missing packets are counted as what they are."""

from dataclasses import dataclass

import numpy as np

from appliance.assembly import tracks
from appliance.assembly.tracks import IntArray, Track
from storage.part_record import Fill
from storage.vocabulary import FillCause

Spans = list[tuple[int, int]]
"""Half-open sample intervals of the call, ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruptions:
    """What explains silence besides the stream itself; samples of the call, disjoint, ascending."""

    held: Spans
    """The call was on hold."""
    outages: Spans
    """The recorder itself may have missed packets."""


@dataclass(slots=True, kw_only=True)
class Loss:
    """What is missing from one stream's share of a part."""

    packets: int = 0
    """Packets the network lost: their numbers are absent from all copies."""
    runs: int = 0
    """Stretches of lost packets."""
    captured_packets: int = 0
    """Packets that the recorder missed, or has only in part."""
    longest_samples: int = 0
    """Longest stretch that is missing."""
    network_spans: Spans
    """Positions of network loss in the call."""
    capture_spans: Spans
    """Positions of capture loss in the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    """A stretch before a speech packet in which nothing arrived, for one cause."""

    row: int
    """The speech packet that comes after it."""
    begin: int
    end: int
    cause: FillCause
    elsewhere: int = 0
    """Numbers passed over that the network did not lose: the recorder did, or during a hold the sender spoke to
    somebody else."""
    captured: int = 0
    """Packets that the recorder missed, or has only in part."""


def explain(
    track: Track, consumed: int, first: int, last: int, interruptions: Interruptions
) -> tuple[list[Fill], Loss]:
    """Explain the gaps of a stream within a part.

    Args:
        track: the stream.
        consumed: how many of its speech packets end in this part; the next one bounds the last gap.
        first, last: the part's samples of the call.
        interruptions: holds and outages.
    """
    gaps = _gaps(track, min(consumed + 1, len(track.audio)), interruptions)
    entries = [
        Fill(max(gap.begin, first) - first, min(gap.end, last) - max(gap.begin, first), gap.cause)
        for gap in gaps
        if max(gap.begin, first) < min(gap.end, last)
    ]
    # A gap that a cut goes through is counted once, in the part in which it ends.
    return entries, _count(track, consumed, [gap for gap in gaps if gap.row < consumed])


def unfinished(begin: int, end: int, interruptions: Interruptions, *, quiet: bool) -> FillCause:
    """Name the cause of a silence that goes on at a cut: what did not arrive is lost until later packets tell.

    Args:
        begin, end: the silence up to the cut, samples of the call.
        interruptions: holds and outages.
        quiet: the sender had announced comfort noise.
    """
    if _most_of(begin, end, interruptions.held) is not None:
        return FillCause.HOLD
    if quiet:
        return FillCause.COMFORT_NOISE
    return FillCause.CAPTURE_LOSS if _most_of(begin, end, interruptions.outages) is not None else FillCause.LOSS


def _count(track: Track, consumed: int, gaps: list[_Gap]) -> Loss:
    loss = Loss(network_spans=[], capture_spans=[])
    for gap in gaps:
        if gap.cause is FillCause.LOSS:
            loss.network_spans.append((gap.begin, gap.end))
            loss.runs += 1
        elif gap.cause is FillCause.CAPTURE_LOSS:
            loss.capture_spans.append((gap.begin, gap.end))
            loss.captured_packets += gap.captured
    loss.packets = max(0, _missing_numbers(track, consumed) - sum(gap.elsewhere for gap in gaps))
    spans = loss.network_spans + loss.capture_spans
    loss.longest_samples = max((end - begin for begin, end in spans), default=0)
    return loss


def _gaps(track: Track, rows: int, interruptions: Interruptions) -> list[_Gap]:
    """Find the gaps before the first `rows` speech packets."""
    if not rows:
        return []
    earlier = track.state.end_sample
    start = track.start[:rows]
    begin = np.concatenate(([start[0] if earlier is None else earlier], track.end[: rows - 1]))
    gaps: list[_Gap] = []
    for row in np.flatnonzero(start > begin).tolist():
        gaps += _judge(track, row, int(begin[row]), int(start[row]), interruptions)
    return gaps


def _judge(track: Track, row: int, begin: int, end: int, interruptions: Interruptions) -> list[_Gap]:
    """Decide why nothing arrived before a speech packet: one gap, or several side by side."""
    cut = min(track.cut_bytes(row - 1), end - begin)
    lost, absent = _lost(track, row, begin + cut, end)
    hold = _most_of(begin, end, interruptions.held)
    if hold is not None and 2 * _length(lost) > end - begin and 2 * (end - begin) > hold[1] - hold[0]:
        return [_Gap(row=row, begin=begin, end=end, cause=FillCause.HOLD, elsewhere=absent)]
    cause = FillCause.HOLD if hold is not None else _silence(track, row)
    gaps = [_Gap(row=row, begin=begin, end=begin + cut, cause=FillCause.CAPTURE_LOSS, captured=1)]
    cursor, packet = begin + cut, int(track.samples[max(row - 1, 0)])
    for low, high in lost:
        gaps.append(_Gap(row=row, begin=cursor, end=low, cause=cause))
        gaps += _blame(row, low, high, packet, interruptions.outages)
        cursor = high
    gaps.append(_Gap(row=row, begin=cursor, end=end, cause=cause))
    return [gap for gap in gaps if gap.begin < gap.end]


def _blame(row: int, begin: int, end: int, packet: int, outages: Spans) -> list[_Gap]:
    """Part a stretch of lost packets, `packet` samples each, between the recorder and the network."""
    gaps, cursor = [], begin
    for low, high in outages:
        low, high = max(low, cursor), min(high, end)
        if low < high:
            missed = max(1, (high - low) // packet)
            gaps.append(_Gap(row=row, begin=cursor, end=low, cause=FillCause.LOSS))
            cause = FillCause.CAPTURE_LOSS
            gaps.append(_Gap(row=row, begin=low, end=high, cause=cause, elsewhere=missed, captured=missed))
            cursor = high
    gaps.append(_Gap(row=row, begin=cursor, end=end, cause=FillCause.LOSS))
    return gaps


def _most_of(begin: int, end: int, spans: Spans) -> tuple[int, int] | None:
    """Return the span that covers more than half of a gap."""
    return next((span for span in spans if 2 * (min(end, span[1]) - max(begin, span[0])) > end - begin), None)


def _lost(track: Track, row: int, begin: int, end: int) -> tuple[Spans, int]:
    """Return where in a gap packets were lost, by the numbers and timestamps on both sides, and how many."""
    ordered, here = track.ordered, int(track.audio[row])
    size = int(track.samples[max(row - 1, 0)])
    if row:
        before = int(track.audio[row - 1])
        known = slice(before, here + 1)
        number, rtp_time, epoch = ordered.sequence[known], ordered.rtp_time[known], ordered.epoch[known]
    elif (carried := track.state.sequence) is not None:
        before = -1
        number = np.concatenate(([carried.sequence], ordered.sequence[: here + 1]))
        rtp_time = np.concatenate(([carried.rtp_time], ordered.rtp_time[: here + 1]))
        epoch = np.concatenate(([carried.epoch], ordered.epoch[: here + 1]))
    else:
        return [], 0
    missing = np.where(np.diff(epoch) == 0, np.diff(number) - 1, 0)
    # Where the speech before the gap ends, in RTP time: the gap's first sample.
    base = int(rtp_time[0]) + size + track.cut_bytes(row - 1)
    spans: Spans = []
    cursor = begin
    for step in np.flatnonzero(missing > 0).tolist():
        at = before + step
        low = cursor if not step else max(begin + int(rtp_time[step]) + track.event_samples(at) - base, cursor)
        high = end if at + 1 == here else min(begin + int(rtp_time[step + 1]) - base, end)
        length = int(missing[step]) * size
        if 2 * length < high - low:
            # The marker is on the first packet after a silence (RFC 3551 section 4.1): what is missing came before it.
            low, high = (low, low + length) if track.is_marked(at + 1) else (high - length, high)
        if low < high:
            spans.append((low, high))
            cursor = high
    return spans, int(missing[missing > 0].sum())


def _silence(track: Track, row: int) -> FillCause:
    """Decide why a sender was silent before a speech packet, no packet being missing."""
    ordered, here = track.ordered, int(track.audio[row])
    before = int(track.audio[row - 1]) if row else -1
    between = track.kind[before + 1 : here]
    if (between == tracks.TELEPHONE_EVENT).any():
        return FillCause.DTMF
    if (between == tracks.COMFORT_NOISE).any():
        return FillCause.COMFORT_NOISE
    carried = track.state.sequence
    epoch = int(ordered.epoch[before]) if row else carried.epoch if carried is not None else None
    line = track.placement.line
    moved = epoch is not None and int(ordered.epoch[here]) != epoch
    moved |= row > 0 and bool(line[row] != line[row - 1])
    moved |= bool((between == tracks.OTHER).any())
    return FillCause.DISCONTINUITY if moved else FillCause.SILENCE_SUPPRESSION


def _length(spans: Spans) -> int:
    return sum(high - low for low, high in spans)


def _missing_numbers(track: Track, consumed: int) -> int:
    """Count the sequence numbers absent before the last consumed speech packet."""
    if not consumed:
        return 0
    last = int(track.audio[consumed - 1]) + 1
    sequence, epoch = track.ordered.sequence[:last], track.ordered.epoch[:last]
    steps: IntArray = sequence[1:] - sequence[:-1] - 1
    absent = int(np.maximum(steps[epoch[1:] == epoch[:-1]], 0).sum()) if steps.any() else 0
    carried = track.state.sequence
    if carried is not None and int(epoch[0]) == carried.epoch:
        absent += max(0, int(sequence[0]) - carried.sequence - 1)
    return absent
