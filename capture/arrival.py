"""A SIP message on its way into a call: where it was seen, who speaks, and the exchange it belongs to."""

import re
from typing import NamedTuple

from capture import offeranswer
from capture.endpoint import Endpoint
from capture.errors import SdpError
from capture.sip import SipMessage
from capture.sipaddress import NameAddress
from capture.sipcall import Exchange, Side, SipCall

_BRANCH = re.compile(r"branch\s*=\s*([^;,\s]+)", re.IGNORECASE)


class Arrival(NamedTuple):
    """A message, where it was seen, and what it means in its call."""

    ts_ns: int
    """Packet time."""
    source: Endpoint
    """Sender of the packet."""
    destination: Endpoint
    """Receiver of the packet."""
    transport: str
    """`udp` or `tcp`."""
    message: SipMessage
    """The message."""
    from_: NameAddress
    """Its From."""
    to: NameAddress
    """Its To."""
    call_id: str
    """Its Call-ID, bounded."""
    from_tag: str
    """Its From tag, bounded."""
    to_tag: str
    """Its To tag, bounded."""
    cseq: int
    """Its sequence number."""
    requester: Side
    """Who sent the request: From of requests and of their responses alike."""

    @property
    def fork(self) -> str:
        """The callee's tag of the dialog, "" while there is none."""
        return self.to_tag if self.requester is Side.CALLER else self.from_tag

    @property
    def status(self) -> int:
        """Status code, 0 for a request."""
        return self.message.status or 0

    @property
    def speaker(self) -> Side:
        """The side that wrote the message."""
        return self.requester.other if self.message.status else self.requester

    @property
    def branch(self) -> str:
        """Branch of the topmost Via, "" when there is none (RFC 2543)."""
        match = _BRANCH.search(self.message.first("via") or "")
        return match[1] if match else ""


def exchange_of(call: SipCall, arrival: Arrival) -> Exchange | None:
    """The exchange of this message, None when it is too old; an ACK belongs to that of its INVITE."""
    method = arrival.message.method
    return offeranswer.exchange_of(call, arrival.requester, arrival.cseq, "INVITE" if method == "ACK" else method)


def hear(call: SipCall, exchange: Exchange, arrival: Arrival) -> bool:
    """Takes in the session description of a message; False when there is none or it was known.

    One that cannot be read is counted. Of one that the capture cut short, the whole lines are read.
    """
    message = arrival.message
    body = message.sdp() if message.body else None
    if body is None:
        return False
    if message.truncated:
        body = body[: body.rfind(b"\n") + 1]
    try:
        return offeranswer.hear(
            call,
            exchange,
            body,
            ts_ns=arrival.ts_ns,
            speaker=arrival.speaker,
            fork=arrival.fork,
            provisional=0 < arrival.status < 200,
        )
    except SdpError:
        call.malformed_sdp += 1
        return True
