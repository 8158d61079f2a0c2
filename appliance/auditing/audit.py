"""Our account of a capture held against tshark's: what differs, and why.

Pure. `differs` names the streams worth a second look, `compare` lists the differences. A difference counts as explained
only when the figures add up: either tshark's own way of counting leads from its number to ours, or a recount of the
packet fields that tshark dissected gives our number. What tshark is asked, and how, is in `tsharkaccount`; nothing here
reads the capture.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from appliance.auditing.auditrules import (
    Recount,
    StreamFigures,
    TsharkStream,
    explain_absent,
    explain_figures,
    explain_surplus,
)


class StreamKey(NamedTuple):
    """What tells RTP streams apart: RFC 3550's SSRC and the flow that carries it."""

    ssrc: int
    """Synchronisation source, 32 bits."""
    source: str
    """Sender, `a.b.c.d:port` or `[v6]:port`."""
    destination: str
    """Receiver, written likewise."""

    def __str__(self) -> str:
        """`0x0000abcd 192.0.2.1:4000 > 192.0.2.2:5000`."""
        return f"0x{self.ssrc:08x} {self.source} > {self.destination}"

    @classmethod
    def parse(cls, text: str) -> "StreamKey":
        """Read what `str` wrote."""
        ssrc, source, _, destination = text.split()
        return cls(int(ssrc, 16), source, destination)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What an import of the capture made of it, whatever the form it was written in."""

    packets: int
    """Frames read from the capture."""
    sip_calls: frozenset[str]
    """Call-IDs of the calls that signalling showed."""
    answered: frozenset[str]
    """Those of `sip_calls` that were answered."""
    streams: Mapping[StreamKey, StreamFigures]
    """RTP streams; one that is spread over several parts or calls is summed up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SipEvidence:
    """What tshark saw of one Call-ID."""

    methods: frozenset[str]
    """Methods of the requests, and of the CSeq of the responses."""
    invited: bool
    """An INVITE itself was captured, not only responses to one."""
    invite_statuses: frozenset[int]
    """Status codes of the responses to INVITE."""
    to_tag_requests: frozenset[str]
    """Methods of the requests inside a dialog (their To has a tag, RFC 3261 section 12.2)."""
    sound: bool
    """At least one INVITE or response to one has every mandatory header field (RFC 3261 section 8.1.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TsharkAccount:
    """What tshark made of the same capture."""

    packets: int
    """Frames read."""
    sip: Mapping[str, SipEvidence]
    """By Call-ID, every method, not only calls."""
    streams: Mapping[StreamKey, TsharkStream]
    """As `-z rtp,streams` lists them; lines with the same key are summed up."""
    damage: str = ""
    """tshark's complaint about the file, empty when it read to the end."""
    unreadable: int = 0
    """Lines of tshark's output that could not be read."""


class Subject(StrEnum):
    """What a difference is about."""

    PACKETS = "packets"
    CALL = "call"
    ANSWER = "answer"
    STREAM = "stream"
    STREAM_PACKETS = "stream packets"
    STREAM_LOST = "stream lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One figure on which the two accounts do not agree."""

    subject: Subject
    """Which kind of figure."""
    name: str
    """Call-ID or stream; empty for the whole capture."""
    ours: int
    """Our figure; for calls, answers and streams 1 (seen) or 0."""
    tshark: int
    """tshark's figure, likewise."""
    explanation: str = field(default="")
    """Why they differ; empty when nothing accounts for it."""


def differs(ours: Account, theirs: TsharkAccount) -> frozenset[StreamKey]:
    """Return the streams that need a recount: seen by one side only, or with other figures."""
    either = ours.streams.keys() | theirs.streams.keys()
    return frozenset(key for key in either if not _same(ours.streams.get(key), theirs.streams.get(key)))


def compare(ours: Account, theirs: TsharkAccount, recounts: Mapping[StreamKey, Recount]) -> tuple[Difference, ...]:
    """List every difference, explained where `recounts` (of the streams that `differs` names) or evidence allow."""
    return (
        *_packets(ours, theirs),
        *_calls(ours, theirs),
        *_answers(ours, theirs),
        *_streams(ours, theirs, recounts),
    )


def _same(ours: StreamFigures | None, theirs: TsharkStream | None) -> bool:
    if ours is None or theirs is None:
        return False
    return ours.packets == theirs.packets and ours.lost in (None, theirs.lost)


def _packets(ours: Account, theirs: TsharkAccount) -> Iterator[Difference]:
    if ours.packets != theirs.packets:
        reason = f"tshark stopped early: {theirs.damage}" if theirs.damage and ours.packets > theirs.packets else ""
        yield Difference(subject=Subject.PACKETS, name="", ours=ours.packets, tshark=theirs.packets, explanation=reason)


def _calls(ours: Account, theirs: TsharkAccount) -> Iterator[Difference]:
    evidence = {comparable(call_id): seen for call_id, seen in theirs.sip.items()}
    invited = {call_id for call_id, seen in evidence.items() if "INVITE" in seen.methods}
    mine = set(map(comparable, ours.sip_calls))
    for call_id in sorted(mine - invited):
        reason = _call_without_invite(evidence.get(call_id))
        yield Difference(subject=Subject.CALL, name=call_id, ours=1, tshark=0, explanation=reason)
    for call_id in sorted(invited - mine):
        reason = _invite_without_call(evidence[call_id])
        yield Difference(subject=Subject.CALL, name=call_id, ours=0, tshark=1, explanation=reason)


def _call_without_invite(seen: SipEvidence | None) -> str:
    if seen is None:
        return ""
    inside = seen.to_tag_requests & {"ACK", "BYE", "UPDATE", "PRACK", "INFO", "REFER"}
    return f"joined late: only {', '.join(sorted(inside))} of its dialog was captured" if inside else ""


def _invite_without_call(seen: SipEvidence) -> str:
    if not seen.sound:
        return (
            "malformed: mandatory header fields are missing in all that belongs to its INVITE (RFC 3261 section 8.1.1)"
        )
    if not seen.invited and not any(200 <= status < 300 for status in seen.invite_statuses):
        statuses = ", ".join(map(str, sorted(seen.invite_statuses)))
        return f"no INVITE with this Call-ID was captured and no answer, only {statuses} in response to one"
    return ""


def _answers(ours: Account, theirs: TsharkAccount) -> Iterator[Difference]:
    evidence = {comparable(call_id): seen for call_id, seen in theirs.sip.items()}
    answered = {call_id for call_id, seen in evidence.items() if any(200 <= s < 300 for s in seen.invite_statuses)}
    mine = set(map(comparable, ours.answered))
    for call_id in sorted(mine - answered):
        seen = evidence.get(call_id)
        inside = seen.to_tag_requests & {"ACK", "BYE", "INVITE", "UPDATE", "INFO", "REFER"} if seen else frozenset()
        reason = f"no 2xx was captured; answered is concluded from {', '.join(sorted(inside))}" if inside else ""
        yield Difference(subject=Subject.ANSWER, name=call_id, ours=1, tshark=0, explanation=reason)
    unknown = answered - set(map(comparable, ours.sip_calls))
    for call_id in sorted(answered - mine):
        reason = "follows from the call itself, see there" if call_id in unknown else ""
        yield Difference(subject=Subject.ANSWER, name=call_id, ours=0, tshark=1, explanation=reason)


def _streams(ours: Account, theirs: TsharkAccount, recounts: Mapping[StreamKey, Recount]) -> Iterator[Difference]:
    for key in sorted(differs(ours, theirs)):
        mine, other, recount = ours.streams.get(key), theirs.streams.get(key), recounts.get(key)
        if other is None and mine is not None:
            reason = explain_surplus(mine, recount)
            yield Difference(subject=Subject.STREAM, name=str(key), ours=1, tshark=0, explanation=reason)
        elif mine is None and other is not None:
            reason = explain_absent(other, recount)
            yield Difference(subject=Subject.STREAM, name=str(key), ours=0, tshark=1, explanation=reason)
        elif mine is not None and other is not None:
            yield from _figures(str(key), mine, other, recount)


def _figures(name: str, ours: StreamFigures, theirs: TsharkStream, recount: Recount | None) -> Iterator[Difference]:
    packets, lost = explain_figures(ours, theirs, recount)
    pairs = (
        (Subject.STREAM_PACKETS, ours.packets, theirs.packets, packets),
        (Subject.STREAM_LOST, ours.lost, theirs.lost, lost),
    )
    for subject, mine, other, reason in pairs:
        if mine is not None and mine != other:
            yield Difference(subject=subject, name=name, ours=mine, tshark=other, explanation=reason)


def comparable(call_id: str) -> str:
    """Return a Call-ID with bytes outside printable ASCII made alike, for the two sides decode them differently."""
    shown = "".join(character if " " <= character <= "~" else "\0" for character in call_id.strip())
    return "?".join(part for part in shown.split("\0") if part)


def unexplained(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    """Return those that nothing accounts for."""
    return tuple(difference for difference in differences if not difference.explanation)
