"""Is a flow that no signalling announces RTP? The probation of RFC 3550 A.1, with the plausibility of G.711 (RFC 3551).

A fold: packets are shown in blocks of any size, in arrival order, all of one 5-tuple and SSRC; the verdict does not
depend on where the blocks are cut. The state is plain numbers and can be serialised.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from capture.rtp import MAX_DROPOUT, MAX_MISORDER, MIN_SEQUENTIAL, extend_sequence

_MAX_SPAN_UNITS: Final = 8000 * 3600
"""A step of the timestamp beyond this is no packet's successor, at any clock in use."""


class Recognition(StrEnum):
    """What a flow is taken for."""

    UNKNOWN = "unknown"
    """Not enough in sequence, or it contradicts RTP."""
    OTHER = "other"
    """RTP with a payload that is not G.711."""
    G711 = "g711"
    """RTP with PCMU or PCMA whose timestamps advance by the payload's length."""


@dataclass(slots=True, kw_only=True)
class Probation:
    """What was seen of one flow so far."""

    last_sequence: int = -1
    """Unwrapped sequence number of the packet before; meaningless before the first."""
    last_rtp_time: int = 0
    """Its timestamp, 32 bits."""
    last_payload_bytes: int = 0
    """Its payload's length."""
    last_payload_type: int = -1
    """Its payload type; -1 before the first packet."""
    run: int = 0
    """Packets in sequence at the end of what was seen."""
    longest_run: int = 0
    """The most packets in sequence, copies aside."""
    steps: int = 0
    """Steps from packet to packet, copies aside."""
    plausible_steps: int = 0
    """Of these, no further ahead than `MAX_DROPOUT` and no further back than `MAX_MISORDER`."""
    g711_packets: int = 0
    """Packets of payload type 0 or 8."""
    packets: int = 0
    """All packets."""
    g711_steps: int = 0
    """Steps from a G.711 packet to its successor."""
    g711_agreeing: int = 0
    """Of these, with a timestamp that advances by the payload's length."""
    advancing_steps: int = 0
    """Steps to the next sequence number with a timestamp that does not go back."""
    sequential_steps: int = 0
    """Steps to the next sequence number."""

    @property
    def verdict(self) -> Recognition:
        """What the flow is taken for, given what was seen."""
        if self.longest_run < MIN_SEQUENTIAL or 2 * self.plausible_steps < self.steps:
            return Recognition.UNKNOWN
        if 2 * self.g711_packets > self.packets:
            return Recognition.G711 if 2 * self.g711_agreeing > self.g711_steps else Recognition.UNKNOWN
        return Recognition.OTHER if 2 * self.advancing_steps > self.sequential_steps else Recognition.UNKNOWN

    def feed(
        self,
        seq: npt.NDArray[np.uint16],
        rtp_time: npt.NDArray[np.uint32],
        payload_type: npt.NDArray[np.uint8],
        payload_bytes: npt.NDArray[np.int64],
    ) -> None:
        """Show the next packets, in arrival order; all arrays are `(n,)`, lengths in bytes."""
        if len(seq) == 0:
            return
        known = self.packets > 0
        self.packets += len(seq)
        self.g711_packets += int(np.count_nonzero(_is_g711(payload_type)))
        sequence = extend_sequence(seq, self.last_sequence if known else None)
        step = np.diff(sequence, prepend=self.last_sequence if known else sequence[0] - 2 * MAX_DROPOUT)
        fresh = np.flatnonzero(step)  # copies say nothing: the mirror may be doubled
        if len(fresh) == 0:
            return
        columns = sequence[fresh], rtp_time[fresh], payload_bytes[fresh], payload_type[fresh]
        self._count_run(step[fresh])
        self._count_steps(step[fresh], *columns[1:], skip=0 if known else 1)
        self.last_sequence, self.last_rtp_time, self.last_payload_bytes, self.last_payload_type = (
            int(column[-1]) for column in columns
        )

    def _count_run(self, step: npt.NDArray[np.int64]) -> None:
        breaks = np.concatenate(([-1], np.flatnonzero(step != 1), [len(step)]))
        runs = np.diff(breaks)  # a break begins the run that follows it
        runs[0] += self.run - 1
        self.run = int(runs[-1])
        self.longest_run = max(self.longest_run, int(runs.max()))

    def _count_steps(
        self,
        step: npt.NDArray[np.int64],
        rtp_time: npt.NDArray[np.uint32],
        payload_bytes: npt.NDArray[np.int64],
        payload_type: npt.NDArray[np.uint8],
        *,
        skip: int,
    ) -> None:
        """Judge each step by the packet before it; the first `skip` packets have none."""
        before_bytes = np.concatenate(([self.last_payload_bytes], payload_bytes[:-1]))
        before_type = np.concatenate(([self.last_payload_type], payload_type[:-1]))
        before_time = np.concatenate(([self.last_rtp_time], rtp_time[:-1])).astype(np.uint32)
        advance = (rtp_time - before_time).view(np.int32)
        following = step == 1
        voice = following & _is_g711(before_type)
        self.steps += len(step) - skip
        self.plausible_steps += _total((step >= -MAX_MISORDER) & (step <= MAX_DROPOUT), skip)
        self.sequential_steps += _total(following, skip)
        self.advancing_steps += _total(following & (advance >= 0) & (advance <= _MAX_SPAN_UNITS), skip)
        self.g711_steps += _total(voice, skip)
        self.g711_agreeing += _total(voice & (advance == before_bytes), skip)


def is_rtp_stream(
    seq: npt.NDArray[np.uint16],
    rtp_time: npt.NDArray[np.uint32],
    payload_type: npt.NDArray[np.uint8],
    payload_bytes: npt.NDArray[np.int64],
) -> bool:
    """Whether these packets of one 5-tuple and SSRC, in arrival order, are RTP; all arrays are `(n,)`."""
    probation = Probation()
    probation.feed(seq, rtp_time, payload_type, payload_bytes)
    return probation.verdict is not Recognition.UNKNOWN


def _is_g711(payload_type: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    pcmu: npt.NDArray[np.bool_] = payload_type == 0
    pcma: npt.NDArray[np.bool_] = payload_type == 8
    return pcmu | pcma


def _total(mask: npt.NDArray[np.bool_], skip: int) -> int:
    return int(np.count_nonzero(mask[skip:]))
