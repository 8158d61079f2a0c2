"""The order of a stream's packets: sequence numbers and timestamps without wraps, duplicates out, sender restarts
found. RFC 3550 A.1.

A restart (or a forged packet) begins a new *epoch*: sequence numbers of different epochs say nothing about each other,
so no loss is counted between them. A packet that is merely late stays in its epoch, however late, because its timestamp
fits its number.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capture.rtp import MAX_MISORDER, extend_sequence, extend_timestamp

IntArray = npt.NDArray[np.int64]

SAMPLE_NS = 125_000
"""One sample at 8 kHz."""
AGREEMENT_SAMPLES = 16_000
"""2 s at 8 kHz: how far a jump may be from what sequence numbers or capture time say and still be believed."""
LATE_SAMPLES = 480_000
"""1 min at 8 kHz: how far the timestamp of a packet that is a little out of order may be from what its number says."""
USUAL_PACKET_SAMPLES = 160
"""20 ms at 8 kHz."""
CYCLE = 1 << 16
"""Sequence numbers before they begin again."""

_EPOCH_SHIFT = 48
"""Above any extended sequence number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceCarry:
    """Where an earlier part of the stream ended, so that numbering goes on."""

    epoch: int
    sequence: int
    """Extended number of the last packet."""
    rtp_time: int
    """Extended timestamp of the last packet, samples."""
    arrival_ns: int
    """Its capture time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequenced:
    """The distinct packets of a stream in sending order, arrays of length `m`."""

    index: IntArray
    """Which packet of the arrival order each is."""
    sequence: IntArray
    """Extended sequence number; rises within an epoch."""
    rtp_time: IntArray
    """Extended RTP timestamp, samples."""
    epoch: IntArray
    duplicate: IntArray
    """Packets of the arrival order left out: same epoch, number and timestamp as an earlier one."""
    original: IntArray
    """The packet kept for each of `duplicate`: its place in `index`."""
    reordered: IntArray
    """Packets that arrived after one with a higher number: their places in `index`."""
    before_carry: IntArray
    """Packets of the arrival order that belong before the carry: too late for a part that is closed."""


def put_in_order(
    sequence: npt.NDArray[np.uint16],
    rtp_time: npt.NDArray[np.uint32],
    arrival_ns: IntArray,
    carry: SequenceCarry | None = None,
) -> Sequenced:
    """Sort packets by sending order.

    Args:
        sequence, rtp_time: as on the wire, in arrival order, shape `(n,)`.
        arrival_ns: capture time, ascending.
        carry: where the part before ended; some of that part's packets may be here again.
    """
    n = len(sequence)
    if carry is None and n and (sequence[1:] - sequence[:-1] == 1).all():
        # Nearly every stream: nothing lost, nothing twice, nothing out of place.
        return _unbroken(int(sequence[0]) + np.arange(n), extend_timestamp(rtp_time, None), np.zeros(n, np.int64))
    extended, times, epoch = _number(sequence, rtp_time, arrival_ns, carry)
    if carry is None and n and (extended[1:] > extended[:-1]).all() and epoch[0] == epoch[-1]:
        return _unbroken(extended, times, epoch)
    before = np.zeros(n, bool)
    if carry is not None:
        before = (epoch < carry.epoch) | ((epoch == carry.epoch) & (extended <= carry.sequence))
    candidates = np.flatnonzero(~before)
    order = candidates[np.lexsort((times[candidates], extended[candidates], epoch[candidates]))]
    same = np.zeros(len(order), bool)
    same[1:] = (np.diff(extended[order]) == 0) & (np.diff(epoch[order]) == 0) & (np.diff(times[order]) == 0)
    kept = order[~same]
    arrived = np.argsort(kept)
    numbers = extended[kept[arrived]] + (epoch[kept[arrived]] << _EPOCH_SHIFT)
    return Sequenced(
        index=kept,
        sequence=extended[kept],
        rtp_time=times[kept],
        epoch=epoch[kept],
        duplicate=order[same],
        original=(np.cumsum(~same) - 1)[same],
        reordered=np.sort(arrived[numbers < np.maximum.accumulate(numbers)]),
        before_carry=np.flatnonzero(before),
    )


def _number(
    sequence: npt.NDArray[np.uint16],
    rtp_time: npt.NDArray[np.uint32],
    arrival_ns: IntArray,
    carry: SequenceCarry | None,
) -> tuple[IntArray, IntArray, IntArray]:
    """Extend sequence numbers and timestamps, and number the epochs, going on from the carry's packet."""
    if carry is None:
        extended, times = _extend(sequence, rtp_time, arrival_ns)
        return extended, times, _epochs(extended, times, arrival_ns)
    # The carry's packet has its place among the others, so that a restart right behind it is seen like any other.
    number, stamp = np.uint16(carry.sequence & 0xFFFF), np.uint32(carry.rtp_time & 0xFFFFFFFF)
    itself = np.flatnonzero((arrival_ns == carry.arrival_ns) & (sequence == number) & (rtp_time == stamp))
    if len(itself):
        return _number_from(int(itself[0]), sequence, rtp_time, arrival_ns, carry)
    at = int(np.searchsorted(arrival_ns, carry.arrival_ns))
    whole = np.insert(sequence, at, number), np.insert(rtp_time, at, stamp), np.insert(arrival_ns, at, carry.arrival_ns)
    extended, times, epoch = (np.delete(column, at) for column in _number_from(at, *whole, carry))
    return extended, times, epoch


def _number_from(
    at: int,
    sequence: npt.NDArray[np.uint16],
    rtp_time: npt.NDArray[np.uint32],
    arrival_ns: IntArray,
    carry: SequenceCarry,
) -> tuple[IntArray, IntArray, IntArray]:
    """Number packets of which the one at `at` is the carry's."""
    extended, times = _extend(sequence, rtp_time, arrival_ns)
    epoch = _epochs(extended, times, arrival_ns)
    return extended - extended[at] + carry.sequence, times - times[at] + carry.rtp_time, epoch - epoch[at] + carry.epoch


def _extend(
    sequence: npt.NDArray[np.uint16], rtp_time: npt.NDArray[np.uint32], arrival_ns: IntArray
) -> tuple[IntArray, IntArray]:
    """Extend sequence numbers and timestamps; in a gap of half a cycle or more, timestamp and clock count the cycles.

    Half a cycle is 11 min at 50 packets a second: one direction may fail for so long while the other keeps the call up.
    """
    extended, times = extend_sequence(sequence, None), extend_timestamp(rtp_time, None)
    ticks, steps = np.diff(times), np.diff(extended)
    packet = _packet_ticks(ticks, steps)
    gaps = np.flatnonzero((2 * ticks >= CYCLE * packet) & (steps != 1))
    if not len(gaps):
        return extended, times
    elapsed = np.diff(arrival_ns)[gaps] // SAMPLE_NS
    cycles = np.rint((ticks[gaps] / packet - steps[gaps]) / CYCLE).astype(np.int64)
    fits = np.abs(ticks[gaps] - (steps[gaps] + cycles * CYCLE) * packet) <= AGREEMENT_SAMPLES
    fits &= np.abs(ticks[gaps] - elapsed) <= AGREEMENT_SAMPLES
    passed = np.zeros(len(extended), np.int64)
    passed[gaps + 1] = np.where(fits, cycles * CYCLE, 0)
    return extended + np.cumsum(passed), times


def _packet_ticks(ticks: IntArray, steps: IntArray) -> int:
    """By how much the timestamp rises from packet to packet, usually; never less than 1."""
    plain = ticks[steps == 1]
    return max(int(np.median(plain)), 1) if len(plain) else USUAL_PACKET_SAMPLES


def _unbroken(sequence: IntArray, rtp_time: IntArray, epoch: IntArray) -> Sequenced:
    """All packets are kept, in the order in which they arrived."""
    nothing = np.zeros(0, np.int64)
    return Sequenced(
        index=np.arange(len(sequence)),
        sequence=sequence,
        rtp_time=rtp_time,
        epoch=epoch,
        duplicate=nothing,
        original=nothing,
        reordered=nothing,
        before_carry=nothing,
    )


def _epochs(extended: IntArray, times: IntArray, arrival_ns: IntArray) -> IntArray:
    """Number the epochs in arrival order: a jump of the sequence number begins one unless timestamps explain it.

    | jump of the number             | explained by a timestamp that                                            |
    |--------------------------------|--------------------------------------------------------------------------|
    | ahead, at most `MAX_MISORDER`  | (always)                                                                 |
    | further ahead                  | moves as far, or further when the clock confirms it: loss, then silence  |
    | back, at most `MAX_MISORDER`   | moves as far, give or take `LATE_SAMPLES` for silence and key presses    |
    | further back                   | moves as far: a very late packet                                         |
    """
    epoch = np.zeros(len(extended), np.int64)
    steps = np.diff(extended)
    suspects = np.flatnonzero((steps > MAX_MISORDER) | (steps <= 0))
    if not len(suspects):
        return epoch
    ticks = np.diff(times)
    packet = _packet_ticks(ticks, steps)
    ticks, steps, elapsed = ticks[suspects], steps[suspects], np.diff(arrival_ns)[suspects] // SAMPLE_NS
    surplus = ticks - steps * packet
    by_number = np.abs(surplus) <= AGREEMENT_SAMPLES
    by_clock = (steps > 0) & (surplus > 0) & (np.abs(ticks - elapsed) <= AGREEMENT_SAMPLES)
    slightly_late = (steps <= 0) & (steps >= -MAX_MISORDER) & (np.abs(surplus) <= LATE_SAMPLES)
    epoch[suspects[~(by_number | by_clock | slightly_late)] + 1] = 1
    return np.cumsum(epoch)
