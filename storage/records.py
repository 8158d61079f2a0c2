"""What `call.json` and the call record have in common: parties, signalling, links, holds, keys, clock.

Positions and extents are in samples at 8 kHz, times are RFC 3339 with nanoseconds and offset. Nothing is ever edited
once written, so links point backwards only. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from storage.vocabulary import (
    CallId,
    Count,
    Digit,
    DtmfSource,
    Side,
    SipStatus,
)

MASKED_DIGIT = "x"
"""What stands for a digit that the configuration hides."""


class Hold(NamedTuple):
    """A negotiated hold: `[first_sample, samples, side]`."""

    first_sample: Count
    """Position: in this WAV in a part, in the call in a call record."""
    samples: Count
    """Extent."""
    side: Side
    """The party that put the other on hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How far the recorder's clock could be trusted."""

    synchronised: bool | None
    """Whether a time server disciplined it all the time; null when nobody knows, as for imported captures."""
    source: str
    """Who says so: `kernel` (adjtimex(2)); `capture` when the times are those of an imported file."""
    offset_ms: float | None
    """What it was off by at most; null when nobody knows, as when it is not the kernel that corrects it (chrony)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """One end of the call as the signalling names it (RFC 3261 From and To); empty strings when it does not."""

    number: str
    """User part of the URI."""
    display: str
    """Display name."""
    uri: str
    """The whole URI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sip:
    """Where the call stands in the signalling (RFC 3261 section 12)."""

    call_ids: tuple[str, ...]
    """Call-ID of each dialog that belongs to the call, in order of appearance."""
    from_tag: str
    """Tag of the caller."""
    to_tag: str
    """Tag of the callee that answered, empty before."""
    final_status: SipStatus | None
    """Status code of the final response to the initial INVITE."""
    user_agents: tuple[str, ...]
    """User-Agent and Server values, in order of appearance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An earlier call, by what is known of it."""

    call_id: CallId | None
    """Its id in this archive; null when the recorder did not see it."""
    sip_call_id: str | None
    """Its SIP Call-ID; null for an unsignalled medium."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Calls that this one follows from. Links point backwards only."""

    replaces: Link | None = None
    """The call whose place this one took (RFC 3891)."""
    transferred_from: Link | None = None
    """The call that was transferred here (RFC 3515)."""
    second_leg_of: Link | None = None
    """The leg seen first of the same call through a PBX or SBC; also the call of which this is a second stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dtmf:
    """A pressed key."""

    side: Side
    """Who pressed it."""
    digit: Digit
    """`0`-`9`, `*`, `#`, `A`-`D`; `x` when the configuration masks digits."""
    first_sample: Count
    """Position: in this WAV in a part, in the call in a call record."""
    samples: Count
    """Extent; 0 when the signalling gives none."""
    source: DtmfSource
    """How it was signalled."""


def masked(events: Iterable[Dtmf]) -> tuple[Dtmf, ...]:
    """The same key presses with their digits hidden, for sites whose callers type card numbers."""
    return tuple(replace(event, digit=MASKED_DIGIT) for event in events)
