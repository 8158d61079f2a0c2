"""The order of a stream's packets: sequence numbers and timestamps without wraps, duplicates out, sender restarts
found. RFC 3550 A.1.

A restart begins a new *epoch*: sequence numbers of different epochs say nothing about each other, so no loss is counted
between them. A packet that is merely late stays in its epoch, however late, because its timestamp fits its number.

A packet that jumps and is followed by none of its kind (RFC 3550 A.1 wants two in sequence) is *odd*: forged, or
damaged. It is kept where it arrived, without a number of its own, so that it neither ends an epoch nor hides what was
lost beside it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from capture.rtp import MAX_MISORDER, extend_sequence, extend_timestamp

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

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

LOOK_AHEAD = 8
"""Packets in which one that jumps must find another of its kind, or the stream goes on as before it."""

MAX_JUMPS = 16_384
"""In a part with more of them nothing is a jump any more: each is an epoch."""

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
    odd_until_ns: int = -1
    """Capture time of the last odd packet behind it, or copy of one, that an earlier part has, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequenced:
    """The distinct packets of a stream in sending order, arrays of length `m`."""

    index: IntArray
    """Which packet of the arrival order each is."""
    sequence: IntArray
    """Extended sequence number; rises within an epoch. Of an odd packet, that of the latest packet before it."""
    rtp_time: IntArray
    """Extended RTP timestamp, samples; of an odd packet what the clock says, unless its own is about that."""
    epoch: IntArray
    odd: npt.NDArray[np.bool_]
    """Packets whose number is not believed."""
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
    extended, times, epoch, odds = _number(sequence, rtp_time, arrival_ns, carry)
    if carry is None and n and (extended[1:] > extended[:-1]).all() and epoch[0] == epoch[-1]:
        return _unbroken(extended, times, epoch)
    before = np.zeros(n, bool)
    if carry is not None:
        behind = (odds > 0) & (arrival_ns > carry.odd_until_ns)
        before = (epoch < carry.epoch) | ((epoch == carry.epoch) & (extended + behind <= carry.sequence))
    candidates = np.flatnonzero(~before)
    order = candidates[np.lexsort([column[candidates] for column in (times, odds, extended, epoch)])]
    same = np.zeros(len(order), bool)
    same[1:] = np.logical_and.reduce([np.diff(column[order]) == 0 for column in (extended, epoch, times, odds)])
    kept = order[~same]
    arrived = np.argsort(kept)
    numbers = extended[kept[arrived]] + (epoch[kept[arrived]] << _EPOCH_SHIFT)
    return Sequenced(
        index=kept,
        sequence=extended[kept],
        rtp_time=times[kept],
        epoch=epoch[kept],
        odd=odds[kept] > 0,
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
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Extend sequence numbers and timestamps, number the epochs, going on from the carry's packet.

    The fourth array tells the odd packets: copies of one have the same number above 0, all others have 0.
    """
    if carry is None:
        return _number_all(sequence, rtp_time, arrival_ns, at=0)
    # The carry's packet has its place among the others, so that a restart right behind it is seen like any other.
    number, stamp = np.uint16(carry.sequence & 0xFFFF), np.uint32(carry.rtp_time & 0xFFFFFFFF)
    itself = np.flatnonzero((arrival_ns == carry.arrival_ns) & (sequence == number) & (rtp_time == stamp))
    if len(itself):
        return _number_from(int(itself[0]), sequence, rtp_time, arrival_ns, carry)
    at = int(np.searchsorted(arrival_ns, carry.arrival_ns))
    whole = np.insert(sequence, at, number), np.insert(rtp_time, at, stamp), np.insert(arrival_ns, at, carry.arrival_ns)
    extended, times, epoch, odds = _number_from(at, *whole, carry)
    return np.delete(extended, at), np.delete(times, at), np.delete(epoch, at), np.delete(odds, at)


def _number_from(
    at: int,
    sequence: npt.NDArray[np.uint16],
    rtp_time: npt.NDArray[np.uint32],
    arrival_ns: IntArray,
    carry: SequenceCarry,
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Number packets of which the one at `at` is the carry's."""
    extended, times, epoch, odds = _number_all(sequence, rtp_time, arrival_ns, at)
    extended, times = extended - extended[at] + carry.sequence, times - times[at] + carry.rtp_time
    return extended, times, epoch - epoch[at] + carry.epoch, odds


def _number_all(
    sequence: npt.NDArray[np.uint16], rtp_time: npt.NDArray[np.uint32], arrival_ns: IntArray, at: int
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Number packets, the odd ones after those before them; the one at `at` is certain."""
    odds = np.zeros(len(sequence), np.int64)
    copies = _find_odd(sequence, rtp_time, arrival_ns)
    copies.pop(at, None)
    for row, original in copies.items():
        odds[row] = original + 1
    sound = np.flatnonzero(odds == 0)
    extended, times, epoch = (np.empty(len(sequence), np.int64) for _ in range(3))
    extended[sound], times[sound] = _extend(sequence[sound], rtp_time[sound], arrival_ns[sound])
    epoch[sound] = _epochs(extended[sound], times[sound], arrival_ns[sound])
    if copies:
        latest = np.maximum.accumulate(extended[sound] + (epoch[sound] << _EPOCH_SHIFT))
        place = np.cumsum(odds == 0) - 1
        for row, original in sorted(copies.items()):
            if original != row and original in copies:
                extended[row], times[row], epoch[row] = extended[original], times[original], epoch[original]
                continue
            before = int(sound[place[row]])
            epoch[row] = epoch[before]
            extended[row] = int(latest[place[row]]) - (int(epoch[before]) << _EPOCH_SHIFT)
            clock = int(times[before]) + int(arrival_ns[row] - arrival_ns[before]) // SAMPLE_NS
            own = int(times[before]) + _wrapped(int(rtp_time[row]) - int(rtp_time[before]), 1 << 32)
            times[row] = own if abs(own - clock) <= AGREEMENT_SAMPLES else clock
    return extended, times, epoch, odds


def _find_odd(
    sequence: npt.NDArray[np.uint16], rtp_time: npt.NDArray[np.uint32], arrival_ns: IntArray
) -> dict[int, int]:
    """Find the packets that agree neither with what came before nor with anything that follows, while what follows
    agrees with what came before; each with the first of its copies."""
    steps = (sequence[1:] - sequence[:-1]).view(np.int16).astype(np.int64)
    ticks = (rtp_time[1:] - rtp_time[:-1]).view(np.int32).astype(np.int64)
    packet = _packet_ticks(ticks, steps)
    jumps = np.flatnonzero(~_agree(steps, ticks, np.diff(arrival_ns) // SAMPLE_NS, packet)) + 1
    if not len(jumps) or len(jumps) > MAX_JUMPS:
        return {}
    line = _Line(sequence=sequence, rtp_time=rtp_time, arrival_ns=arrival_ns, packet=packet)
    odd: dict[int, int] = {}
    firsts: dict[tuple[int, int], int] = {}
    before = 0
    for row in jumps.tolist():
        if row in odd:
            continue
        if row - 1 not in odd:
            before = row - 1
        elif line.agree(before, row):
            continue
        for copy in line.odd(before, row):
            wire = int(sequence[copy]), int(rtp_time[copy])
            odd[copy] = firsts.setdefault(wire, copy)
    return odd


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """Packets in order of arrival, looked at two at a time."""

    sequence: npt.NDArray[np.uint16]
    rtp_time: npt.NDArray[np.uint32]
    arrival_ns: IntArray
    packet: int
    """By how much the timestamp rises from packet to packet."""

    def step(self, one: int, other: int) -> int:
        """Return by how much the number rises from one packet to another."""
        return _wrapped(int(self.sequence[other]) - int(self.sequence[one]), CYCLE)

    def agree(self, one: int, other: int) -> bool:
        """Whether number and timestamp of two packets fit each other."""
        ticks = _wrapped(int(self.rtp_time[other]) - int(self.rtp_time[one]), 1 << 32)
        elapsed = int(self.arrival_ns[other] - self.arrival_ns[one]) // SAMPLE_NS
        step = self.step(one, other)
        if 2 * ticks >= CYCLE * self.packet and abs(ticks - elapsed) <= AGREEMENT_SAMPLES:
            step += round((ticks / self.packet - step) / CYCLE) * CYCLE  # as in `_extend`
        return bool(_agree(step, ticks, elapsed, self.packet))

    def odd(self, before: int, row: int) -> list[int]:
        """Return a packet that jumps, and the copies of it that follow at once, when it is odd; else nothing."""
        copies, returns = [row], False
        for later in range(row + 1, min(row + 1 + LOOK_AHEAD, len(self.sequence))):
            if self.sequence[later] == self.sequence[row] and self.rtp_time[later] == self.rtp_time[row]:
                if later == copies[-1] + 1:
                    copies.append(later)
            elif self.agree(row, later):
                return []
            elif not returns and self.agree(before, later):
                # A number in its place is believed, whatever the timestamp.
                if 0 < self.step(before, row) < self.step(before, later):
                    return []
                returns = True
        return copies if returns else []


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
        odd=np.zeros(len(sequence), bool),
        duplicate=nothing,
        original=nothing,
        reordered=nothing,
        before_carry=nothing,
    )


def _wrapped(difference: int, cycle: int) -> int:
    """Return a difference of two counters as the nearest one to 0."""
    return (difference + cycle // 2) % cycle - cycle // 2


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
    elapsed = np.diff(arrival_ns)[suspects] // SAMPLE_NS
    epoch[suspects[~_agree(steps[suspects], ticks[suspects], elapsed, packet)] + 1] = 1
    return np.cumsum(epoch)


def _agree(steps: Any, ticks: Any, elapsed: Any, packet: int) -> Any:
    """Tell of jumps of the number (arrays, or of one: plain numbers) whether the timestamp explains them, as in the
    table of `_epochs`."""
    surplus = ticks - steps * packet
    by_number = abs(surplus) <= AGREEMENT_SAMPLES
    by_clock = (steps > 0) & (surplus > 0) & (abs(ticks - elapsed) <= AGREEMENT_SAMPLES)
    slightly_late = (steps <= 0) & (steps >= -MAX_MISORDER) & (abs(surplus) <= LATE_SAMPLES)
    return by_number | by_clock | slightly_late
