"""A call as a script (who rings, says what, holds, transfers, hangs up) -> packets, and the truth about them.

second  message                             second        media
0       INVITE (SDP), 100, 180              answer-early  callee's early media, when asked for (183)
ring_s  200 (SDP), ACK: `answer`            answer        callee's, then caller's speech
at_s    re-INVITE sendonly, later sendrecv  on hold       silence of whoever is on hold
at_s    REFER, 202, NOTIFY
talk_s  BYE, 200
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.traffic.media import RATE_HZ, MediaScript, Sent, StreamTruth, send
from tests.traffic.pcapwriter import Address, Packet, Transport
from tests.traffic.rtcp import sender_reports
from tests.traffic.signalling import DialogWriter, Headers, Party, Side, session

SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000
START_NS = 1_767_287_045_000_000_000
"""2026-01-02T02:04:05+09:00, when a script says nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One side puts the other on hold."""

    at_s: float
    """After the answer."""
    seconds: float
    by: Side
    direction: str = "sendonly"
    """`sendonly` (the holder may play music), `inactive`, or `zero`: the old c=0.0.0.0."""
    music: bool = False
    """The holding side goes on sending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refer:
    """One side asks the other to call somebody else; with `replaces` (attended) to take over the consultation call."""

    at_s: float
    by: Side
    target: Party
    replaces: "CallScript | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallScript:
    """One call. Numbers of seconds count from the answer, except `ring_s`."""

    caller: Party
    callee: Party
    call_id: str
    caller_media: MediaScript
    callee_media: MediaScript
    start_ns: int = START_NS
    ring_s: float = 2.0
    talk_s: float = 20.0
    early_s: float = 0.0
    """The callee sends that long before the answer (183 with SDP)."""
    holds: tuple[Hold, ...] = ()
    refers: tuple[Refer, ...] = ()
    headers: Headers = ()
    """Further fields of the INVITE."""
    final_status: str = "200 OK"
    """Another one rejects the call; `487 Request Terminated` follows a CANCEL."""
    ends: Side | None = Side.CALLER
    """Who hangs up; None: no BYE is seen."""
    session_expires_s: int | None = None
    late_offer: bool = False
    """The INVITE has no SDP, the 200 offers, the ACK answers."""
    transport: Transport = Transport.UDP
    compact: bool = False
    reports: bool = True
    """RTCP sender reports every 5 s."""

    @property
    def answer_ns(self) -> int:
        """When the final response is sent."""
        return self.start_ns + round(self.ring_s * SECOND_NS)

    @property
    def end_ns(self) -> int:
        """When the BYE is sent, or would have been."""
        return self.answer_ns + round(self.talk_s * SECOND_NS)

    def at_ns(self, at_s: float) -> int:
        """That long after the answer."""
        return self.answer_ns + round(at_s * SECOND_NS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedCall:
    """A script, played."""

    script: CallScript
    packets: list[Packet]
    """In order of time."""
    truths: dict[Side, tuple[StreamTruth, ...]]
    """Per side, the streams it sent, in order; empty when the call was not answered or the codec is not G.711."""


def play(script: CallScript) -> PlayedCall:
    """All packets of the call, both directions."""
    dialog = DialogWriter(
        call_id=script.call_id,
        caller=script.caller,
        callee=script.callee,
        transport=script.transport,
        compact=script.compact,
    )
    if not script.final_status.startswith("200"):
        _refused(script, dialog)
        return PlayedCall(script=script, packets=dialog.packets, truths={Side.CALLER: (), Side.CALLEE: ()})
    _answered(script, dialog)
    for hold in script.holds:
        _held(script, dialog, hold)
    for refer in script.refers:
        _referred(script, dialog, refer)
    _hung_up(script, dialog)
    media = {side: _media(script, side) for side in Side}
    packets = dialog.packets + [packet for sent in media.values() for packet in sent.packets]
    if script.reports:
        packets += [report for sent in media.values() for report in sender_reports(sent.packets)]
    return PlayedCall(
        script=script,
        packets=sorted(packets, key=lambda packet: packet.ts_ns),
        truths={side: sent.truths for side, sent in media.items()},
    )


def _invited(script: CallScript, dialog: DialogWriter) -> Headers:
    headers: Headers = (
        ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, REFER, NOTIFY, UPDATE, PRACK"),
        ("Supported", "timer, replaces"),
        *((("Session-Expires", f"{script.session_expires_s};refresher=uac"),) if script.session_expires_s else ()),
        *script.headers,
    )
    offer = b"" if script.late_offer else session(script.caller, script.caller_media)
    invite = dialog.request(script.start_ns, Side.CALLER, "INVITE", headers=headers, body=offer, in_dialog=False)
    dialog.respond(script.start_ns + 8 * MILLISECOND_NS, Side.CALLEE, "100 Trying", invite)
    return invite


def _refused(script: CallScript, dialog: DialogWriter) -> None:
    invite, at_ns = _invited(script, dialog), script.answer_ns
    dialog.respond(script.start_ns + 150 * MILLISECOND_NS, Side.CALLEE, "180 Ringing", invite)
    if script.final_status.startswith("487"):
        cancel = dialog.request(at_ns, Side.CALLER, "CANCEL", in_dialog=False)
        dialog.respond(at_ns + 5 * MILLISECOND_NS, Side.CALLEE, "200 OK", cancel)
        at_ns += 6 * MILLISECOND_NS
    dialog.respond(at_ns, Side.CALLEE, script.final_status, invite)
    dialog.request(at_ns + 10 * MILLISECOND_NS, Side.CALLER, "ACK")


def _answered(script: CallScript, dialog: DialogWriter) -> None:
    invite = _invited(script, dialog)
    answer = session(script.callee, script.callee_media, offer=script.late_offer)
    if script.early_s:
        at_ns = script.at_ns(-script.early_s) - 10 * MILLISECOND_NS
        dialog.respond(at_ns, Side.CALLEE, "183 Session Progress", invite, body=answer)
    else:
        dialog.respond(script.start_ns + 150 * MILLISECOND_NS, Side.CALLEE, "180 Ringing", invite)
    dialog.respond(script.answer_ns, Side.CALLEE, "200 OK", invite, body=answer)
    body = session(script.caller, script.caller_media, offer=False) if script.late_offer else b""
    dialog.request(script.answer_ns + 12 * MILLISECOND_NS, Side.CALLER, "ACK", body=body)


def _held(script: CallScript, dialog: DialogWriter, hold: Hold) -> None:
    start_ns, end_ns = script.at_ns(hold.at_s), script.at_ns(hold.at_s + hold.seconds)
    direction = "sendonly" if hold.direction == "zero" else hold.direction
    _offered(script, dialog, start_ns, hold.by, direction, nowhere=hold.direction == "zero")
    _offered(script, dialog, end_ns, hold.by, "sendrecv", nowhere=False)


def _offered(script: CallScript, dialog: DialogWriter, at_ns: int, by: Side, direction: str, *, nowhere: bool) -> None:
    media = {Side.CALLER: script.caller_media, Side.CALLEE: script.callee_media}
    party, version = dialog.party(by), 2 + (at_ns - script.answer_ns) // MILLISECOND_NS
    if nowhere:
        party = replace(party, rtp=Address("0.0.0.0", party.rtp.port))
    offer = session(party, media[by], version=version, direction=direction, offer=False)
    invite = dialog.request(at_ns, by, "INVITE", body=offer)
    mirrored = {"sendonly": "recvonly", "recvonly": "sendonly"}.get(direction, direction)
    answer = session(dialog.party(by.other), media[by.other], version=version, direction=mirrored, offer=False)
    dialog.respond(at_ns + 6 * MILLISECOND_NS, by.other, "200 OK", invite, body=answer)
    dialog.request(at_ns + 9 * MILLISECOND_NS, by, "ACK")


def _referred(script: CallScript, dialog: DialogWriter, refer: Refer) -> None:
    at_ns, uri = script.at_ns(refer.at_s), refer.target.uri
    if refer.replaces is not None:
        uri += f"?Replaces={replaces_value(refer.replaces).replace('@', '%40').replace(';', '%3B').replace('=', '%3D')}"
    headers = (("Refer-To", f"<{uri}>"), ("Referred-By", f"<{dialog.party(refer.by).uri}>"))
    request = dialog.request(at_ns, refer.by, "REFER", headers=headers)
    dialog.respond(at_ns + 7 * MILLISECOND_NS, refer.by.other, "202 Accepted", request)
    for after_ms, fragment, state in (
        (20, "100 Trying", "active;expires=60"),
        (900, "200 OK", "terminated;reason=noresource"),
    ):
        notify = dialog.request(
            at_ns + after_ms * MILLISECOND_NS,
            refer.by.other,
            "NOTIFY",
            headers=(("Event", "refer"), ("Subscription-State", state)),
            body=f"SIP/2.0 {fragment}\r\n".encode(),
            content="message/sipfrag;version=2.0",
        )
        dialog.respond(at_ns + (after_ms + 6) * MILLISECOND_NS, refer.by, "200 OK", notify)


def replaces_value(script: CallScript) -> str:
    """The Replaces field (RFC 3891) that takes over the call from its caller; it is read by the callee."""
    dialog = DialogWriter(call_id=script.call_id, caller=script.caller, callee=script.callee)
    return f"{script.call_id};to-tag={dialog.tag(Side.CALLEE)};from-tag={dialog.tag(Side.CALLER)}"


def _hung_up(script: CallScript, dialog: DialogWriter) -> None:
    if script.ends is None:
        return
    bye = dialog.request(script.end_ns, script.ends, "BYE")
    dialog.respond(script.end_ns + 9 * MILLISECOND_NS, script.ends.other, "200 OK", bye)


def _media(script: CallScript, side: Side) -> Sent:
    """The side's speech: from just after the answer (or its early media) until just before the end."""
    here, there = (script.caller, script.callee) if side is Side.CALLER else (script.callee, script.caller)
    media = script.caller_media if side is Side.CALLER else script.callee_media
    start_ns = script.answer_ns + (25 if side is Side.CALLER else 4) * MILLISECOND_NS
    if side is Side.CALLEE:
        start_ns -= round(script.early_s * SECOND_NS)
    room = (script.end_ns - start_ns - 30 * MILLISECOND_NS) * RATE_HZ // SECOND_NS
    silences = [
        (
            script.at_ns(hold.at_s) - (0 if side is hold.by else -10 * MILLISECOND_NS),
            script.at_ns(hold.at_s + hold.seconds),
        )
        for hold in script.holds
        if side is not hold.by or not hold.music
    ]

    def held(ts_ns: int) -> bool:
        return any(start <= ts_ns < end + 15 * MILLISECOND_NS for start, end in silences)

    return send(replace(media, audio=media.audio[: max(room, 0)]), here.rtp, there.rtp, start_ns, held)


def together(calls: Sequence[PlayedCall]) -> list[Packet]:
    """The packets of several calls, in order of time."""
    return sorted((packet for call in calls for packet in call.packets), key=lambda packet: packet.ts_ns)
