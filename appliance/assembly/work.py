"""A call in the making: what its parts so far have used up and found. Plain data, kept in snapshots between parts."""

import hashlib
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from appliance.assembly.tracks import StreamState
from capture.rules import Decision
from capture.runs import StreamKey
from capture.sipcall import Side, SipCall
from dsp.timeline import SAMPLE_NS
from storage.call_record import PartEntry, UnrecordedStream
from storage.records import Link
from storage.timestamps import rfc3339
from storage.vocabulary import Reason

SIDES = (Side.CALLER, Side.CALLEE)


@dataclass(slots=True, kw_only=True)
class SideTotals:
    """One side's figures over all parts so far."""

    packets: int = 0
    lost: int = 0
    loss_runs: int = 0
    capture_lost: int = 0
    duplicates: int = 0
    reordered: int = 0
    too_late: int = 0
    jitter_max_ms: float = 0.0
    longest_gap_ms: float = 0.0
    frames: int = 0
    silent_frames: int = 0
    samples: int = 0
    clipped: int = 0
    suppressed: bool = False
    """The side sends nothing, or comfort noise, while nobody speaks."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Where the side's streams reach, samples of the call."""
    network_spans: list[tuple[int, int]] = field(default_factory=list)
    capture_spans: list[tuple[int, int]] = field(default_factory=list)

    def copy(self) -> "SideTotals":
        """Return the figures as they are now."""
        spans, network, captured = list(self.spans), list(self.network_spans), list(self.capture_spans)
        return replace(self, spans=spans, network_spans=network, capture_spans=captured)


@dataclass(slots=True, kw_only=True)
class Member:
    """A stream that is in this recording."""

    side: Side
    state: StreamState
    interfaces: frozenset[int] = frozenset()
    """Those that all its packets so far came over; empty when that is not known."""

    def note_interfaces(self, interfaces: frozenset[int]) -> None:
        """Take in those of its packets in another part."""
        self.interfaces = self.interfaces | interfaces if self.interfaces and interfaces else frozenset()


@dataclass(slots=True, kw_only=True)
class Work:
    """One recording: a SIP call's, or a medium's that has none of its own."""

    call_id: str
    """SHA-256, hexadecimal."""
    first_ns: int
    """First packet of the call."""
    shift_ns: int = 0
    """How far real time was ahead of the line then: what is added to every time of the call before it is shown."""
    decision: Decision
    config: str | None = None
    """Digest of the configuration in force at its beginning; None: nobody has said."""
    sip_key: str = ""
    """Key in the table of dialogs; empty for a medium."""
    runs: list[int] = field(default_factory=list)
    """Numbers of a medium's runs."""
    companions: list["Work"] = field(default_factory=list)
    """Second streams of the call's sides, which have recordings of their own."""
    second_leg_of: Link | None = None
    family: str = ""
    """Id of the first leg of the same call; of this one when it is the first."""
    leg_keys: list[str] = field(default_factory=list)
    """SIP calls that are later legs of this one."""
    elsewhere: bool = False
    """Another leg of the same call is recorded instead."""
    origin_ns: int | None = None
    next_part: int = 1
    next_sample: int = 0
    """Where the next part begins."""
    closed_ns: int = -1
    """Capture time up to which packets were taken."""
    members: dict[StreamKey, Member] = field(default_factory=dict)
    parts: list[PartEntry] = field(default_factory=list)
    totals: dict[Side, SideTotals] = field(default_factory=lambda: {side: SideTotals() for side in SIDES})
    codecs: list[str] = field(default_factory=list)
    unrecorded: list[UnrecordedStream] = field(default_factory=list)
    digits: list[tuple[int, Side, str, int]] = field(default_factory=list)
    """Keys pressed: position in the call, side, digit, samples."""
    strays: list[StreamKey] = field(default_factory=list)
    """Streams beside the call's that were too short to tell what they are when a part was cut."""
    too_late: dict[StreamKey, tuple[int, int, int]] = field(default_factory=dict)
    """Packets left out by stream: how many, capture time of first and last."""
    damaged: bool = False
    """Some of the journal could not be read."""
    listed: dict[StreamKey, int] = field(default_factory=dict)
    """Up to when streams that are in no part were listed and let go of."""
    overrun: bool = False
    """Some of the journal was forgotten before it was assembled."""
    missing: list[tuple[int, int]] = field(default_factory=list)
    """Capture times, ends included, of what could not be read."""
    failed: Reason | None = None
    """Why parts could not be written."""
    aside: bool = False
    """Something went wrong while it was made: nothing more of it is tried."""

    @property
    def is_written(self) -> bool:
        """Whether its media become recordings: rules want it, there was room when it began, nothing went wrong."""
        return self.decision.wanted and self.failed is not Reason.DISK_FULL and not self.aside

    def set_aside(self) -> None:
        """Nothing more of it and of its second streams is tried."""
        for work in (self, *self.companions):
            work.aside, work.failed = True, work.failed or Reason.DECODE_FAILED

    def bare(self) -> "Work":
        """Return what is certain of it: who it is, and the parts that are written."""
        return Work(
            call_id=self.call_id,
            first_ns=self.first_ns,
            shift_ns=self.shift_ns,
            decision=self.decision,
            config=self.config,
            sip_key=self.sip_key,
            second_leg_of=self.second_leg_of,
            origin_ns=self.origin_ns,
            parts=self.parts,
            failed=self.failed,
            aside=self.aside,
        )

    def shown(self, ns: int, zone: ZoneInfo) -> str:
        """Return a time on the line as records show it, RFC 3339 in real time."""
        return rfc3339(ns + self.shift_ns, zone)

    def shown_if(self, ns: int | None, zone: ZoneInfo) -> str | None:
        """Return the same, or null."""
        return None if ns is None else self.shown(ns, zone)

    def latest(self, side: Side) -> StreamState | None:
        """Return the side's stream that spoke last in the parts so far."""
        states = [member.state for member in self.members.values() if member.side is side]
        return max((s for s in states if s.end_sample is not None), key=lambda s: s.end_sample or 0, default=None)

    def interfaces(self, side: Side) -> frozenset[int]:
        """Return those that all of a side's streams came over; empty when that is not known."""
        seen = [member.interfaces for member in self.members.values() if member.side is side]
        return frozenset().union(*seen) if all(seen) else frozenset()

    def sample_at(self, ns: int) -> int:
        """Return the call's sample at a capture time."""
        assert self.origin_ns is not None
        return (ns - self.origin_ns) // SAMPLE_NS

    def cut_ns(self, segment_samples: int) -> int | None:
        """Return the capture time of the next cut, None before the origin is known."""
        if self.origin_ns is None:
            return None
        return self.origin_ns + (self.next_sample + segment_samples) * SAMPLE_NS


def sip_call_id(call: SipCall) -> str:
    """Return a SIP call's id: SHA-256 of Call-ID, From tag and first packet's time."""
    return _digest(call.call_id, call.from_tag, str(call.first_ns))


def medium_id(key: StreamKey, first_ns: int) -> str:
    """Return a medium's id: SHA-256 of 5-tuple, SSRC and first packet's time."""
    source, destination, ssrc = key
    return _digest("udp", str(source), str(destination), f"0x{ssrc:08x}", str(first_ns))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
