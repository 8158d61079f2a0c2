"""Calls without end on so many lines: made when they are due, and made again from their number to be compared.

Everything about a call follows from the seed, its line and its number: what both sides say, in which law, how long. A
sender needs to tell only which calls there were.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.traffic.bulk import SLOT_NS, SLOT_SAMPLES, TRACK_SLOTS, TRACKS, tracks
from tests.traffic.calls import CallScript, play
from tests.traffic.g711 import PCMA, PCMU, decode
from tests.traffic.media import STATIC_PAYLOAD_TYPES, MediaScript
from tests.traffic.pcapwriter import Address, Frame, FrameWriter, Packet, Wire
from tests.traffic.signalling import Party, Side
from tests.traffic.speech import Audio

SECOND_NS = 1_000_000_000
SLOTS_PER_S = SECOND_NS // SLOT_NS
_HEADERS_BYTES = 14 + 20 + 8
_ANSWER_TO_MEDIA_NS = 30_000_000
_PORTS_PER_LINE = 8
"""A line's next calls have other media ports, as with telephones."""

FRAME = np.dtype(
    [
        ("headers", f"V{_HEADERS_BYTES}"), ("flags", "u1"), ("type", "u1"), ("sequence", ">u2"), ("timestamp", ">u4"),
        ("ssrc", ">u4"), ("payload", f"V{SLOT_SAMPLES}"),
    ]
)  # fmt: skip
"""An RTP packet in its frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The calls of a run."""

    lines: int
    """Calls at a time."""
    seed: int
    shortest_s: float = 8.0
    longest_s: float = 20.0
    """How long a call is answered."""
    rounds: int | None = None
    """Calls on each line; None: until told to stop."""
    first: int = 0
    """Number of the first call of each line: plans for the same archive have others, or they make the same calls."""

    def call(self, line: int, number: int) -> "Call":
        """One call of a line, counted from 0."""
        chance = random.Random(f"{self.seed} {line} {number}")
        return Call(
            line=line,
            number=number,
            slots=round(chance.uniform(self.shortest_s, self.longest_s) * SLOTS_PER_S),
            ring_s=chance.uniform(0.1, 0.6),
            pause_s=chance.uniform(0.2, 1.5),
            law=chance.choice((PCMU, PCMA)),
            ssrcs=(chance.getrandbits(32), chance.getrandbits(32)),
            speech=(chance.randrange(TRACKS * TRACK_SLOTS), chance.randrange(TRACKS * TRACK_SLOTS)),
            starts=(chance.getrandbits(16), chance.getrandbits(32)),
        )

    def frames(self, line: int, begun: Callable[["Call"], None], stopped: Callable[[], bool]) -> Iterator[Frame]:
        """What the mirror port shows of a line's calls, one after the other; times count from the run's begin.

        Args:
            line: which.
            begun: told of each call when it begins.
            stopped: no other call begins once this is true.
        """
        # Not all at once.
        at_ns = round(random.Random(f"{self.seed} {line}").uniform(0, 3) * SECOND_NS)
        number = self.first
        while (self.rounds is None or number < self.first + self.rounds) and not stopped():
            call = self.call(line, number)
            begun(call)
            yield from call.frames(at_ns)
            at_ns += call.length_ns + round(call.pause_s * SECOND_NS)
            number += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call. Pairs are the caller's and the callee's."""

    line: int
    number: int
    slots: int
    """Packets that each side sends."""
    ring_s: float
    pause_s: float
    """After its end, before the line's next call."""
    law: str
    ssrcs: tuple[int, int]
    speech: tuple[int, int]
    """Where in the speech there is each side begins."""
    starts: tuple[int, int]
    """First sequence number and timestamp."""

    @property
    def call_id(self) -> str:
        """Of its dialog."""
        return f"{self.line}-{self.number}@crash"

    @property
    def length_ns(self) -> int:
        """From the INVITE to the answer to the BYE, and a little more."""
        return round((self.ring_s + self._talk_s + 0.1) * SECOND_NS)

    @property
    def packets(self) -> int:
        """RTP packets of both sides."""
        return 2 * self.slots

    def audio(self, side: int) -> Audio:
        """What a recording must hold of a side (0: the caller), every sample, shape `(samples,)`."""
        return decode(self._codes(side).reshape(-1), self.law)

    def frames(self, start_ns: int) -> list[Frame]:
        """All frames in order of time."""
        writer = FrameWriter(Wire())
        signalling = [frame for packet in play(self._script(start_ns)).packets for frame in writer.frames(packet)]
        media = [
            Frame(self.media_ns(start_ns, side) + slot * SLOT_NS, octets)
            for side in (0, 1)
            for slot, octets in enumerate(self._media(side, writer))
        ]
        return sorted(signalling + media, key=lambda frame: frame.ts_ns)

    def media_ns(self, start_ns: int, side: int) -> int:
        """When a side's first packet is sent."""
        return start_ns + round(self.ring_s * SECOND_NS) + _ANSWER_TO_MEDIA_NS + side * SLOT_NS // 2

    @property
    def _talk_s(self) -> float:
        return self.slots / SLOTS_PER_S + 0.1

    def _codes(self, side: int) -> npt.NDArray[np.uint8]:
        track, first = divmod(self.speech[side], TRACK_SLOTS)
        return tracks(self.law)[track][(np.arange(self.slots) + first) % TRACK_SLOTS]

    def _party(self, side: Side) -> Party:
        place = 20 if side is Side.CALLER else 21
        host = f"10.{place}.{self.line // 250}.{self.line % 250 + 1}"
        port = 16384 + 2 * (self.number % _PORTS_PER_LINE)
        return Party(number=f"0{place}{self.line:07}", sip=Address(host, 5060), rtp=Address(host, port))

    def _script(self, start_ns: int) -> CallScript:
        nothing = MediaScript(audio=np.zeros(0, dtype=np.int16), codec=self.law)
        return CallScript(
            caller=self._party(Side.CALLER),
            callee=self._party(Side.CALLEE),
            call_id=self.call_id,
            caller_media=nothing,
            callee_media=nothing,
            start_ns=start_ns,
            ring_s=self.ring_s,
            talk_s=self._talk_s,
        )

    def _media(self, side: int, writer: FrameWriter) -> list[bytes]:
        frames = np.zeros(self.slots, dtype=FRAME)
        frames["headers"] = np.void(self._headers(side, writer))
        frames["flags"], frames["type"] = 0x80, STATIC_PAYLOAD_TYPES[self.law]
        frames["type"][0] |= 0x80
        slot = np.arange(self.slots)
        frames["sequence"] = (self.starts[0] + slot) & 0xFFFF
        frames["timestamp"] = (self.starts[1] + slot * SLOT_SAMPLES) & 0xFFFFFFFF
        frames["ssrc"] = self.ssrcs[side]
        frames["payload"] = self._codes(side).view(f"V{SLOT_SAMPLES}")[:, 0]
        whole = frames.tobytes()
        return [whole[at : at + FRAME.itemsize] for at in range(0, len(whole), FRAME.itemsize)]

    def _headers(self, side: int, writer: FrameWriter) -> bytes:
        """Of every packet alike: without a UDP checksum, as RFC 768 permits."""
        here, there = (Side.CALLER, Side.CALLEE) if side == 0 else (Side.CALLEE, Side.CALLER)
        payload = bytes(FRAME.itemsize - _HEADERS_BYTES)
        packet = Packet(ts_ns=0, source=self._party(here).rtp, destination=self._party(there).rtp, payload=payload)
        (frame,) = writer.frames(packet)
        return frame.octets[: _HEADERS_BYTES - 2] + b"\0\0"
