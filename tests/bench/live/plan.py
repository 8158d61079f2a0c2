"""The traffic of a live measurement: so many calls at any time, on each line one after the other. Every sample is
known.

A line is a place for a call: it rings within the first `RAMP_SLOTS`, then is busy for the time asked for, with call
after call. Calls begin and end spread evenly over that time, so that the recorder has calls to finish all along; only
at the end do all lines hang up, within `RAMP_SLOTS` again. Calls alternate between PCMU and PCMA.

Time is cut into slots of 20 ms, counted from the first packet of the first line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tests.traffic.bulk import SLOT_NS, SLOT_SAMPLES, SLOTS_PER_S, TRACK_SLOTS, TRACKS, tracks
from tests.traffic.calls import CallScript, play
from tests.traffic.g711 import PCMA, PCMU
from tests.traffic.media import MediaScript
from tests.traffic.pcapwriter import Address, Packet
from tests.traffic.signalling import Party

RAMP_SLOTS = 2 * SLOTS_PER_S
SHORTEST_SLOTS = 2 * SLOTS_PER_S
"""No call is shorter: a line's first and last one are cut where the time asked for begins and ends."""
LAWS = (PCMU, PCMA)
_RING_S = 0.5
_ANSWER_LEAD_NS = 40_000_000
"""The answer comes so long before the first slot of media."""
_HANG_UP_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCall:
    """One call: streams `2 * number` (the caller's) and `2 * number + 1`."""

    number: int
    line: int
    first_slot: int
    slots: int
    """Packets of each of its streams."""

    @property
    def call_id(self) -> str:
        return f"live-{self.number}@example"

    @property
    def law(self) -> str:
        return LAWS[self.number % 2]

    @property
    def parties(self) -> tuple[Party, Party]:
        """Caller and callee, at addresses that no other call of the same time has."""
        return _party(self.number, 0), _party(self.number, 1)

    def signalling(self) -> Iterator[Packet]:
        """SIP from INVITE to the BYE's answer; times count from slot 0 and may be negative."""
        nothing = MediaScript(audio=np.zeros(0, dtype=np.int16), codec=self.law)
        caller, callee = self.parties
        answer_ns = self.first_slot * SLOT_NS - _ANSWER_LEAD_NS
        script = CallScript(
            caller=caller,
            callee=callee,
            call_id=self.call_id,
            caller_media=nothing,
            callee_media=nothing,
            start_ns=answer_ns - round(_RING_S * 1e9),
            ring_s=_RING_S,
            talk_s=self.slots / SLOTS_PER_S + _HANG_UP_S,
        )
        yield from play(script).packets

    def codes(self, side: int) -> npt.NDArray[np.uint8]:
        """The G.711 codes that one side sends, shape `(samples,)`: the truth."""
        stream = 2 * self.number + side
        slots = (np.arange(self.slots) + first_track_slot(stream)) % TRACK_SLOTS
        return tracks(self.law)[stream % TRACKS][slots].reshape(self.slots * SLOT_SAMPLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is sent."""

    lines: int
    """Calls at any time."""
    seconds: int
    """How long each line is busy."""
    talk_s: int
    """Length of a call that the time asked for does not cut."""

    @property
    def slots(self) -> int:
        """From the first packet to the last."""
        return RAMP_SLOTS + self.seconds * SLOTS_PER_S

    def calls(self) -> list[LiveCall]:
        """All calls, by line."""
        pieces = [(line, *piece) for line in range(self.lines) for piece in self._pieces(line)]
        return [
            LiveCall(number=number, line=line, first_slot=first, slots=end - first)
            for number, (line, first, end) in enumerate(pieces)
        ]

    def _pieces(self, line: int) -> Iterator[tuple[int, int]]:
        """First slot and end of each call on a line."""
        begin = line * RAMP_SLOTS // self.lines
        end, talk = begin + self.seconds * SLOTS_PER_S, self.talk_s * SLOTS_PER_S
        # Lines beside each other change their calls at very different times.
        change = begin + line * 0x9E3779B1 % 0x10000 * talk // 0x10000
        borders = [begin, *(at for at in range(change, end, talk) if _apart(begin, at) and _apart(at, end)), end]
        yield from pairwise(borders)


def ssrc(stream: int) -> int:
    """The stream's SSRC, never one twice."""
    return (stream + 1) * 0x9E3779B1 & 0xFFFFFFFF


def first_track_slot(stream: int) -> int:
    """Where in its track a stream begins."""
    return stream * 37 % TRACK_SLOTS


def _apart(one: int, other: int) -> bool:
    return other - one >= SHORTEST_SLOTS


def _party(call: int, side: int) -> Party:
    host = f"10.{20 + side}.{call // 250 % 250}.{call % 250 + 1}"
    number = f"0{3 + 3 * side}{call:08d}"
    return Party(number=number, sip=Address(host, 5060), rtp=Address(host, 16384 + 2 * (call % 8000)))
