"""One side of a call within a part: its streams on one time line, as G.711 codes, and where nothing arrived."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from appliance.assembly import tracks
from appliance.assembly.tracks import IntArray, Track
from dsp.g711 import SILENCE_CODE, Law, decode_stereo
from dsp.timeline import scatter

Codes = npt.NDArray[np.uint8]
Spans = list[tuple[int, int]]
"""Half-open sample intervals, ascending."""

OVERLAP_SAMPLES = 1600
"""200 ms: two streams of a side may meet this closely, at a change of SSRC or address, and both be in the file."""
BLOCK_SAMPLES = 65_536


@dataclass(slots=True, kw_only=True)
class Side:
    """One channel of a part. Positions are samples of the part."""

    tracks: list[Track]
    """Streams in the file, in order of their first sample."""
    codes: Codes
    """Companded samples, the law's silence where nothing arrived; shape `(samples,)`."""
    laws: list[tuple[int, int, Law]]
    """Which law holds where, ascending; between them nothing arrived."""
    absent: Spans
    """Where nothing arrived."""


def settle(candidates: Sequence[Track]) -> tuple[list[Track], list[Track]]:
    """Choose the streams of a side that go into its file.

    Args:
        candidates: placed streams, the best fitting first.

    Returns:
        Those chosen, in order of their first sample, pushed apart where they meet by less than 200 ms; and those that
        overlap better ones for longer or would push them further, which make recordings of their own.
    """
    chosen: list[Track] = []
    rivals: list[Track] = []
    for track in candidates:
        if not track.has_audio:
            continue
        if _displaces([*chosen, track]) or any(_overlap(track, other) > OVERLAP_SAMPLES for other in chosen):
            rivals.append(track)
        else:
            chosen.append(track)
    for track, low, high, samples in _moves(chosen):
        track.start[low:high] += samples
    chosen.sort(key=lambda track: int(track.start[0]))
    return chosen, rivals


def _spurts(track: Track) -> tuple[IntArray, IntArray]:
    """Return start and end of each stretch of a stream without gaps of 200 ms or more, and the first packet of each."""
    first = np.flatnonzero(np.concatenate(([True], track.start[1:] - track.end[:-1] >= OVERLAP_SAMPLES)))
    last = np.append(first[1:], len(track.start)) - 1
    return np.stack((track.start[first], track.end[last])), first


def _overlap(one: Track, other: Track) -> int:
    """Samples at which both have a spurt."""
    (a, b), _ = _spurts(one)
    (c, d), _ = _spurts(other)
    place = np.searchsorted(c, a, side="right") - 1
    total = 0
    for begin, end, at in zip(a.tolist(), b.tolist(), place.tolist(), strict=True):
        for spurt in range(max(at, 0), len(c)):
            if c[spurt] >= end:
                break
            total += max(0, min(end, int(d[spurt])) - max(begin, int(c[spurt])))
    return total


def _displaces(chosen: list[Track]) -> bool:
    """Whether speech would have to move by more than a change of stream may cost: many short overlaps add up."""
    return any(samples > OVERLAP_SAMPLES for *_, samples in _moves(chosen))


def _moves(chosen: list[Track]) -> list[tuple[Track, int, int, int]]:
    """Which later spurts must lie behind earlier ones that they would cover: track, its packets from and to, by how
    many samples."""
    if len(chosen) < 2:
        return []
    spurts: list[tuple[int, int, int, int, int]] = []
    for number, track in enumerate(chosen):
        (starts, ends), first = _spurts(track)
        bounds = np.append(first, len(track.start)).tolist()
        members = [number] * len(first)
        spurts += zip(starts.tolist(), members, ends.tolist(), bounds[:-1], bounds[1:], strict=True)
    moves = []
    cursor = min(spurts)[0]
    for start, number, end, low, high in sorted(spurts):
        late = max(0, cursor - start)
        if late:
            moves.append((chosen[number], low, high, late))
        cursor = end + late
    return moves


def compose(chosen: list[Track], first: int, samples: int) -> Side:
    """Lay the chosen streams of a side into one channel of a part that begins at sample `first` of the call."""
    inside = [_within(track, first, first + samples) for track in chosen]
    margin = max((int(t.samples[rows].max()) for t, rows in zip(chosen, inside, strict=True) if len(rows)), default=0)
    laws = _laws(chosen, inside, first, samples)
    buffer = np.full(samples + 2 * margin, SILENCE_CODE[laws[0][2]] if laws else SILENCE_CODE[Law.PCMU], np.uint8)
    for begin, end, law in laws[1:]:
        buffer[margin + begin : margin + end] = SILENCE_CODE[law]
    covered: Spans = []
    for track, rows in zip(chosen, inside, strict=True):
        _copy(buffer, track, rows, margin - first)
        covered += _joined(track.start[rows] - first, track.end[rows] - first)
    return Side(
        tracks=chosen,
        codes=buffer[margin : margin + samples],
        laws=laws,
        absent=_complement(sorted(covered), samples),
    )


def _within(track: Track, low: int, high: int) -> IntArray:
    """Return the audio packets that have samples in an interval."""
    return np.flatnonzero((track.start < high) & (track.end > low))


def _copy(buffer: Codes, track: Track, rows: IntArray, shift: int) -> None:
    """Copy payloads to their places, one group of equal shape after the other."""
    if not len(rows):
        return
    packets = track.packets
    index = track.ordered.index[track.audio[rows]]
    piece, offset, size = packets.piece[index], packets.payload_start[index], packets.payload_bytes[index]
    shape = piece << 40 | offset << 20 | size
    shapes = [int(shape[0])] if (shape == shape[0]).all() else np.unique(shape).tolist()
    for one in shapes:
        members = np.flatnonzero(shape == one) if len(shapes) > 1 else slice(None)
        source = packets.pieces[one >> 40]
        begin, width = one >> 20 & 0xFFFFF, one & 0xFFFFF
        lines = packets.row[index[members]]
        if lines[-1] - lines[0] == len(lines) - 1 and (lines[1:] - lines[:-1] == 1).all():
            payloads = source[lines[0] : lines[-1] + 1, begin : begin + width]
        else:
            payloads = source[lines, begin : begin + width]
        scatter(buffer, track.start[rows[members]] + shift, payloads)


def _laws(chosen: list[Track], inside: list[IntArray], first: int, samples: int) -> list[tuple[int, int, Law]]:
    """Return which law holds where, neighbours of the same law joined, from the part's start to its end."""
    changes: list[tuple[int, Law]] = []
    for track, rows in zip(chosen, inside, strict=True):
        if not len(rows):
            continue
        kind = track.kind[track.audio[rows]]
        turns = np.flatnonzero(np.concatenate(([True], kind[1:] != kind[:-1])))
        changes += [(int(track.start[rows[turn]]) - first, tracks.LAWS[int(kind[turn])]) for turn in turns.tolist()]
    spans: list[tuple[int, int, Law]] = []
    changes.sort()
    for number, (begin, law) in enumerate(changes):
        end = changes[number + 1][0] if number + 1 < len(changes) else samples
        begin = max(begin, 0) if spans else 0
        if spans and spans[-1][2] == law:
            spans[-1] = (spans[-1][0], end, law)
        else:
            spans.append((begin, end, law))
    return spans


def _joined(start: IntArray, end: IntArray) -> Spans:
    """Join packets that touch to spans."""
    if not len(start):
        return []
    breaks = np.flatnonzero(start[1:] != end[:-1])
    begins = start[np.concatenate(([0], breaks + 1))]
    ends = end[np.append(breaks, len(end) - 1)]
    return list(zip(begins.tolist(), ends.tolist(), strict=True))


def _complement(covered: Iterable[tuple[int, int]], samples: int) -> Spans:
    gaps: Spans = []
    cursor = 0
    for begin, end in covered:
        if begin > cursor:
            gaps.append((cursor, min(begin, samples)))
        cursor = max(cursor, end)
    if cursor < samples:
        gaps.append((cursor, samples))
    return [(begin, end) for begin, end in gaps if begin < end]


def linear(left: Side, right: Side) -> Iterator[npt.NDArray[np.int16]]:
    """Decode both sides, shape `(n, 2)` a block, exact zero where nothing arrived. A block is valid until the next."""
    samples = len(left.codes)
    out = np.empty((min(BLOCK_SAMPLES, samples), 2), np.int16)
    bounds = {0, samples, *range(0, samples, BLOCK_SAMPLES)}
    bounds.update(begin for side in (left, right) for begin, _, _ in side.laws if 0 < begin < samples)
    ordered = sorted(bounds)
    gaps = [_Gaps(left.absent), _Gaps(right.absent)]
    for begin, end in pairwise(ordered):
        block = out[: end - begin]
        decode_stereo(left.codes[begin:end], right.codes[begin:end], _law_at(left, begin), _law_at(right, begin), block)
        for channel in (0, 1):
            for low, high in gaps[channel].within(begin, end):
                block[low - begin : high - begin, channel] = 0
        yield block


class _Gaps:
    """Walks gaps once, front to back."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._next = 0

    def within(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        while self._next < len(self._spans):
            low, high = self._spans[self._next]
            if low >= end:
                return
            yield max(low, begin), min(high, end)
            if high > end:
                return
            self._next += 1


def _law_at(side: Side, sample: int) -> Law:
    law = Law.PCMU
    for begin, _, holds in side.laws:
        if begin > sample and begin > 0:
            break
        law = holds
    return law


def companded(left: Side, right: Side) -> Iterator[Codes]:
    """Interleave both sides' codes exactly as received, shape `(n, 2)` a block."""
    for begin in range(0, len(left.codes), BLOCK_SAMPLES):
        end = begin + BLOCK_SAMPLES
        yield np.stack((left.codes[begin:end], right.codes[begin:end]), axis=1)
