"""The order of a stream's packets: sequence numbers and timestamps without wraps, duplicates out, sender restarts found. RFC 3550 A.1.

A restart (or a forged packet) begins a new *epoch*: sequence numbers of different epochs say nothing about each other, so no loss is
counted between them. A packet that is merely late stays in its epoch, however late, because its timestamp fits its number.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capture.rtp import MAX_DROPOUT, MAX_MISORDER, extend_sequence, extend_timestamp

IntArray = npt.NDArray[np.int64]

AGREEMENT_SAMPLES = 16_000
"""2 s at 8 kHz: how far a jump may be from what sequence numbers or capture time say and still be believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceCarry:
    """Where an earlier part of the stream ended, so that numbering goes on."""

    epoch: int
    sequence: int
    """Extended number of the last packet."""
    rtp_time: int
    """Extended timestamp of the last packet, samples."""


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
    sequence: npt.NDArray[np.uint16], rtp_time: npt.NDArray[np.uint32], arrival_ns: IntArray, carry: SequenceCarry | None = None
) -> Sequenced:
    """Sort packets by sending order.

    Args:
        sequence, rtp_time: as on the wire, in arrival order, shape `(n,)`.
        arrival_ns: capture time, ascending.
        carry: where the part before ended.
    """
    n = len(sequence)
    if carry is None and n and (np.diff(sequence.view(np.int16)) == 1).all():
        # Nearly every stream: nothing lost, nothing twice, nothing out of place.
        return _unbroken(int(sequence[0]) + np.arange(n), extend_timestamp(rtp_time, None), np.zeros(n, np.int64))
    extended = extend_sequence(sequence, carry.sequence if carry else None)
    times = extend_timestamp(rtp_time, carry.rtp_time if carry else None)
    epoch = _epochs(extended, times, arrival_ns) + (carry.epoch if carry else 0)
    if carry is None and n and (np.diff(extended) > 0).all() and epoch[0] == epoch[-1]:
        return _unbroken(extended, times, epoch)
    before = np.zeros(n, bool)
    if carry is not None:
        before = (epoch == carry.epoch) & (extended <= carry.sequence)
    candidates = np.flatnonzero(~before)
    order = candidates[np.lexsort((times[candidates], extended[candidates], epoch[candidates]))]
    same = np.zeros(len(order), bool)
    same[1:] = (np.diff(extended[order]) == 0) & (np.diff(epoch[order]) == 0) & (np.diff(times[order]) == 0)
    kept = order[~same]
    arrived = np.argsort(kept)
    numbers = extended[kept[arrived]]
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
    """Number the epochs in arrival order. Only jumps beyond what RFC 3550 A.1 calls plausible are looked at closer."""
    epoch = np.zeros(len(extended), np.int64)
    steps = np.diff(extended)
    suspects = np.flatnonzero((steps > MAX_DROPOUT) | (steps < -MAX_MISORDER))
    if not len(suspects):
        return epoch
    ticks = np.diff(times)
    plain = ticks[steps == 1]
    packet = int(np.median(plain)) if len(plain) else 160
    elapsed = np.diff(arrival_ns) // 125_000
    by_number = np.abs(ticks[suspects] - steps[suspects] * packet) <= AGREEMENT_SAMPLES
    by_clock = (steps[suspects] > 0) & (np.abs(ticks[suspects] - elapsed[suspects]) <= AGREEMENT_SAMPLES)
    breaks = suspects[~(by_number | by_clock)]
    epoch[breaks + 1] = 1
    return np.cumsum(epoch)
