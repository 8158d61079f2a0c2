"""SIP messages and session descriptions of one dialog, as two ordinary telephones write them (RFC 3261, 3264, 4568)."""

import base64
import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

from tests.traffic.media import COMFORT_NOISE_TYPE, EVENT_TYPE, MediaScript
from tests.traffic.pcapwriter import Address, Packet, Transport

Headers = tuple[tuple[str, str], ...]

_COMPACT = {
    "Via": "v", "From": "f", "To": "t", "Call-ID": "i", "Contact": "m", "Content-Type": "c", "Content-Length": "l",
    "Supported": "k", "Refer-To": "r", "Referred-By": "b", "Session-Expires": "x",
}  # fmt: skip


class Side(StrEnum):
    CALLER = "caller"
    CALLEE = "callee"

    @property
    def other(self) -> "Side":
        return Side.CALLEE if self is Side.CALLER else Side.CALLER


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A telephone."""

    number: str
    sip: Address
    rtp: Address
    display: str = ""
    user_agent: str = "Example PBX 4.2"

    @property
    def uri(self) -> str:
        host = f"[{self.sip.host}]" if ":" in self.sip.host else self.sip.host
        return f"sip:{self.number}@{host}"


@dataclass(slots=True, kw_only=True)
class DialogWriter:
    """Writes the messages of one dialog, in the order in which they are asked for."""

    call_id: str
    caller: Party
    callee: Party
    transport: Transport = Transport.UDP
    compact: bool = False
    packets: list[Packet] = field(default_factory=list)
    _cseq: dict[Side, int] = field(default_factory=lambda: {Side.CALLER: 100, Side.CALLEE: 7000})
    _branch: int = 0

    def tag(self, side: Side) -> str:
        """The side's tag; a function of the Call-ID."""
        return hashlib.sha256(f"{self.call_id} {side}".encode()).hexdigest()[:10]

    def party(self, side: Side) -> Party:
        """Who is on that side."""
        return self.caller if side is Side.CALLER else self.callee

    def request(
        self,
        ts_ns: int,
        by: Side,
        method: str,
        *,
        headers: Headers = (),
        body: bytes = b"",
        content: str = "application/sdp",
        in_dialog: bool = True,
    ) -> Headers:
        """Sends a request; returns the fields that its responses repeat."""
        if method not in ("ACK", "CANCEL"):
            self._cseq[by] += 1
            self._branch += 1
        here, there = self.party(by), self.party(by.other)
        branch = hashlib.sha256(f"{self.call_id} {by} {self._branch}".encode()).hexdigest()[:16]
        via = f"SIP/2.0/{self.transport.upper()} {here.sip};branch=z9hG4bK{branch};rport"
        to_tag = f";tag={self.tag(by.other)}" if in_dialog else ""
        repeated = (
            ("Via", via),
            ("From", f"{self._name(here)};tag={self.tag(by)}"),
            ("To", f"{self._name(there)}{to_tag}"),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self._cseq[by]} {method}"),
        )
        own = (
            ("Max-Forwards", "70"),
            ("Contact", f"<{here.uri};transport={self.transport}>"),
            ("User-Agent", here.user_agent),
        )
        self._write(ts_ns, by, f"{method} {there.uri} SIP/2.0", repeated + own + headers, body, content)
        return repeated

    def respond(
        self, ts_ns: int, by: Side, status: str, request: Headers, *, headers: Headers = (), body: bytes = b""
    ) -> None:
        """Answers a request; `status` is as in the status line (`200 OK`)."""
        repeated = tuple((name, self._tagged(value, by, status) if name == "To" else value) for name, value in request)
        here = self.party(by)
        own = (("Contact", f"<{here.uri};transport={self.transport}>"), ("Server", here.user_agent))
        self._write(ts_ns, by, f"SIP/2.0 {status}", repeated + own + headers, body, "application/sdp")

    def _tagged(self, to: str, by: Side, status: str) -> str:
        return to if ";tag=" in to or status.startswith("100") else f"{to};tag={self.tag(by)}"

    def _name(self, party: Party) -> str:
        return f'"{party.display}" <{party.uri}>' if party.display else f"<{party.uri}>"

    def _write(self, ts_ns: int, by: Side, start: str, headers: Headers, body: bytes, content: str) -> None:
        if body:
            headers += (("Content-Type", content),)
        headers += (("Content-Length", str(len(body))),)
        lines = [
            start,
            *(f"{_COMPACT.get(name, name) if self.compact else name}: {value}" for name, value in headers),
            "",
            "",
        ]
        self.packets.append(
            Packet(
                ts_ns=ts_ns,
                source=self.party(by).sip,
                destination=self.party(by.other).sip,
                payload="\r\n".join(lines).encode() + body,
                transport=self.transport,
            )
        )


def session(
    party: Party, media: MediaScript, *, version: int = 1, direction: str = "sendrecv", offer: bool = True
) -> bytes:
    """A session description: an offer names both laws (or only another codec), an answer the codec chosen."""
    address = f"IN IP6 {party.rtp.host}" if ":" in party.rtp.host else f"IN IP4 {party.rtp.host}"
    codecs = {media.number: f"{media.codec}/8000"}
    if offer and media.codec != "G729":
        codecs |= {number: name for number, name in ((0, "PCMU/8000"), (8, "PCMA/8000")) if name not in codecs.values()}
    codecs[EVENT_TYPE] = "telephone-event/8000"
    if media.quiet_s:
        codecs[COMFORT_NOISE_TYPE] = "CN/8000"
    lines = [
        "v=0",
        f"o=- {int(party.number) if party.number.isdigit() else 1} {version} {address}",
        "s=-",
        f"c={address}",
        "t=0 0",
        f"m=audio {party.rtp.port} RTP/{'SAVP' if media.srtp_key else 'AVP'} {' '.join(map(str, codecs))}",
        *(f"a=rtpmap:{number} {name}" for number, name in codecs.items()),
        f"a=fmtp:{EVENT_TYPE} 0-15",
        f"a=ptime:{media.ptime_ms}",
        f"a={direction}",
    ]
    if media.srtp_key:
        lines.append(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{base64.b64encode(media.srtp_key).decode()}")
    return "\r\n".join([*lines, ""]).encode()
