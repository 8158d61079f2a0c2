"""One call as it is shown: what its record and its parts say, and the outline of both channels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dsp.envelope import Envelope
from storage.call_record import CallRecord
from storage.part_record import PartRecord
from storage.records import Dtmf, Hold, Party
from storage.timestamps import NS_PER_S, instant_ns
from storage.vocabulary import SAMPLE_RATE_HZ, Direction, FillCause, Outcome, Reason, Side

SIDES = (Side.CALLER, Side.CALLEE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A stretch of the call, in its samples."""

    first: int
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Stretch):
    """Where nothing arrived from one side."""

    cause: FillCause


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPart(Stretch):
    """A part of the recording."""

    number: int
    record: PartRecord | None
    """What its `call.json` says; None when the part is missing or cannot be read."""
    problem: str = ""
    """Why it cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What record and parts have in common."""

    call_id: str
    started_at: str
    answered_at: str | None
    ended_at: str | None
    origin_at: str | None
    direction: Direction
    enterprise: str | None
    line: str | None
    caller: Party
    callee: Party
    dialled: str
    outcome: Outcome | None
    """None while the call is in progress."""
    reasons: tuple[Reason, ...]
    holds: tuple[Hold, ...]
    """Positions in the call."""
    dtmf: tuple[Dtmf, ...]
    """Positions in the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallView:
    """Everything that is shown."""

    head: Head
    record: CallRecord | None
    """None while the call is in progress."""
    parts: tuple[ShownPart, ...]
    """In order, those that are missing included."""
    outlines: tuple[Envelope, Envelope] | None
    """Caller's and callee's; None when there is nothing to hear."""
    samples: int
    """Length of what is shown, per channel."""
    legal_holds: tuple[str, ...] = ()
    followers: tuple[tuple[str, str], ...] = ()
    """Later calls that follow from this one: kind of link and id."""

    def gaps(self, side: Side) -> Iterator[Gap]:
        """Where nothing arrived from a side, in the order of parts and streams."""
        for part in self.parts:
            for channel in part.record.channels if part.record else ():
                for stream in channel.streams if channel.side is side else ():
                    for fill in stream.fill:
                        yield Gap(first=part.first + fill.first_sample, samples=fill.samples, cause=fill.cause)

    @property
    def answer_sample(self) -> int | None:
        """Position of the answer; None when it is not known or lies outside."""
        if self.head.answered_at is None or self.head.origin_at is None:
            return None
        since_ns = instant_ns(self.head.answered_at) - instant_ns(self.head.origin_at)
        sample = since_ns * SAMPLE_RATE_HZ // NS_PER_S
        return sample if 0 <= sample <= self.samples else None


def head_of(record: CallRecord) -> Head:
    """What is shown of a call that has ended."""
    return Head(
        call_id=record.call_id,
        started_at=record.started_at,
        answered_at=record.answered_at,
        ended_at=record.ended_at,
        origin_at=record.origin_at,
        direction=record.direction,
        enterprise=record.enterprise,
        line=record.line,
        caller=record.caller,
        callee=record.callee,
        dialled=record.dialled,
        outcome=record.outcome,
        reasons=record.reasons,
        holds=record.holds,
        dtmf=record.dtmf,
    )


def head_of_parts(parts: Sequence[PartRecord]) -> Head:
    """What is shown of a call in progress, from the parts that there are, at least one."""
    last = parts[-1]
    return Head(
        call_id=last.call_id,
        started_at=last.started_at,
        answered_at=last.answered_at,
        ended_at=last.ended_at,
        origin_at=last.origin_at,
        direction=last.direction,
        enterprise=last.enterprise,
        line=last.line,
        caller=last.caller,
        callee=last.callee,
        dialled=last.dialled,
        outcome=None,
        reasons=(),
        holds=tuple(
            hold._replace(first_sample=hold.first_sample + part.first_sample) for part in parts for hold in part.holds
        ),
        dtmf=tuple(
            replace(key, first_sample=key.first_sample + part.first_sample) for part in parts for key in part.dtmf
        ),
    )
