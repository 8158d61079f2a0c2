"""Writes the SIP messages of a call as a mirror shows them: (packet time ns, source, destination, bytes)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from capture.dialog import DialogTable
from capture.endpoint import Endpoint
from capture.sip import parse
from capture.sipcall import Side, SipCall

Packet = tuple[int, Endpoint, Endpoint, bytes]
"""(packet time ns, source, destination, message)."""

SECOND_NS = 1_000_000_000
START_NS = 1_767_287_045 * SECOND_NS
A = Endpoint(bytes([192, 0, 2, 10]), 5060)
"""The caller's telephone."""
B = Endpoint(bytes([192, 0, 2, 20]), 5060)
"""The callee's telephone."""
PROXY = Endpoint(bytes([192, 0, 2, 5]), 5060)
"""A proxy, or an SBC with a media relay."""
C = Endpoint(bytes([192, 0, 2, 30]), 5060)
"""A third telephone."""
CALLER, CALLEE = Side.CALLER, Side.CALLEE
A_NUMBER, B_NUMBER, C_NUMBER = "0312345678", "0698765432", "0521112222"


def sdp(
    ip: str = "192.0.2.10",
    port: int = 40000,
    *,
    direction: str = "",
    formats: str = "0 8 101",
    maps: Iterable[str] = ("101 telephone-event/8000",),
    protocol: str = "RTP/AVP",
    lines: Iterable[str] = (),
    version: int = 1,
    more: str = "",
) -> bytes:
    """A description of one audio stream; `lines` are added to it, `more` follows as further m-lines."""
    text = [
        "v=0", f"o=phone 4711 {version} IN IP4 {ip}", "s=-", f"c=IN IP4 {ip}", "t=0 0",
        f"m=audio {port} {protocol} {formats}",
        *(f"a=rtpmap:{entry}" for entry in maps),
        *([f"a={direction}"] if direction else []),
        *lines,
    ]  # fmt: skip
    return ("\r\n".join([*text, ""]) + more).encode()


OFFER = sdp()
ANSWER = sdp("192.0.2.20", 50000, formats="0 101")


@dataclass
class Dialog:
    """Writes the messages of one call; time advances 10 ms with each unless `wait` is called."""

    call_id: str = "c0ffee@192.0.2.10"
    a: Endpoint = A
    b: Endpoint = B
    numbers: tuple[str, str] = (A_NUMBER, B_NUMBER)
    from_tag: str = "from1"
    to_tag: str = "to1"
    now_ns: int = START_NS
    packets: list[Packet] = field(default_factory=list)
    cseq: dict[Side, int] = field(default_factory=lambda: {CALLER: 100, CALLEE: 7})

    def wait(self, seconds: float) -> None:
        """Lets time pass."""
        self.now_ns += round(seconds * SECOND_NS)

    def request(
        self,
        method: str,
        *lines: str,
        by: Side = CALLER,
        body: bytes = b"",
        to_tag: str | None = None,
        cseq: int | None = None,
        branch: str = "",
        at: tuple[Endpoint, Endpoint] | None = None,
        kind: str = "application/sdp",
    ) -> None:
        """A request, which begins a transaction unless `cseq` is given or it is ACK or CANCEL. `at`: another hop."""
        if cseq is None:
            self.cseq[by] += method not in ("ACK", "CANCEL")
            cseq = self.cseq[by]
        uri = f"sip:{self.numbers[1 if by is CALLER else 0]}@192.0.2.99"
        self._write(f"{method} {uri} SIP/2.0", f"{cseq} {method}", by, by, lines, body, to_tag, branch, at, kind)

    def response(
        self,
        status: int,
        *lines: str,
        method: str = "INVITE",
        to: Side = CALLER,
        body: bytes = b"",
        to_tag: str | None = None,
        cseq: int | None = None,
        at: tuple[Endpoint, Endpoint] | None = None,
    ) -> None:
        """A response to the requester's latest transaction."""
        number = self.cseq[to] if cseq is None else cseq
        kind = "application/sdp"
        self._write(f"SIP/2.0 {status} Text", f"{number} {method}", to, to.other, lines, body, to_tag, "", at, kind)

    def _write(
        self,
        start: str,
        cseq: str,
        requester: Side,
        sender: Side,
        lines: Iterable[str],
        body: bytes,
        to_tag: str | None,
        branch: str,
        at: tuple[Endpoint, Endpoint] | None,
        kind: str,
    ) -> None:
        source, destination = at or ((self.a, self.b) if sender is CALLER else (self.b, self.a))
        fork = self.to_tag if to_tag is None else to_tag
        ours = f"<sip:{self.numbers[0]}@192.0.2.99>;tag={self.from_tag}"
        theirs = f"<sip:{self.numbers[1]}@192.0.2.99>" + (f";tag={fork}" if fork else "")
        from_, to = (ours, theirs) if requester is CALLER else (theirs, ours)
        number, method = cseq.split()
        own = branch or f"{number}{'ack' if method == 'ACK' else ''}{self.call_id[:4]}{source.port}{source.ip.hex()}"
        head = [
            start,
            f"Via: SIP/2.0/UDP {source};branch=z9hG4bK{own}",
            f"From: {from_}",
            f"To: {to}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq}",
            *([f"Content-Type: {kind}"] if body else []),
            *lines,
            f"Content-Length: {len(body)}",
        ]
        data = "\r\n".join([*head, "", ""]).encode() + body
        self.packets.append((self.now_ns, source, destination, data))
        self.wait(0.01)

    def begin(self, *lines: str, body: bytes = OFFER) -> None:
        """The initial INVITE and 100."""
        self.request("INVITE", *lines, body=body, to_tag="")
        self.response(100, to_tag="")

    def answer(self, *lines: str, body: bytes = ANSWER, ack: bytes = b"") -> None:
        """200 to the INVITE and its ACK."""
        self.response(200, *lines, body=body)
        self.request("ACK", body=ack)

    def establish(self, *lines: str, offer: bytes = OFFER, answer: bytes = ANSWER) -> None:
        """INVITE to ACK, with two seconds of ringing."""
        self.begin(*lines, body=offer)
        self.wait(0.5)
        self.response(180)
        self.wait(1.5)
        self.answer(body=answer)

    def change(self, offer: bytes, answer: bytes, *, by: Side = CALLER, method: str = "INVITE") -> None:
        """An accepted offer inside the dialog."""
        self.request(method, by=by, body=offer)
        self.response(200, method=method, to=by, body=answer)
        if method == "INVITE":
            self.request("ACK", by=by)

    def finish(self, by: Side = CALLER) -> None:
        """BYE and 200."""
        self.request("BYE", by=by)
        self.response(200, method="BYE", to=by)


def play(packets: Iterable[Packet], table: DialogTable | None = None) -> DialogTable:
    """Feeds packets to a table."""
    table = table or DialogTable()
    for ts_ns, source, destination, data in packets:
        table.receive(ts_ns, source, destination, "udp", parse(data))
    return table


def only_call(packets: Iterable[Packet]) -> SipCall:
    """The one call that these packets make."""
    (call,) = play(packets).calls.values()
    return call
