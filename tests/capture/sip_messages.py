"""Builds SIP messages for tests: a sound request or response, and variants of it."""

CORE = (
    "Via: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK-71",
    "From: <sip:0312345678@pbx.example>;tag=from1",
    "To: <sip:0698765432@carrier.example>",
    "Call-ID: c0ffee@pbx.example",
)
"""Headers of every message, one line each; a test replaces one by giving another line of the same name."""

OFFER = (
    b"v=0\r\no=pbx 20518 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n"
)
"""A session description of one audio stream."""


def build(start_line: str, *lines: str, body: bytes = b"", without: str = "", end: str = "\r\n") -> bytes:
    """A message with the core headers, `lines` instead of those of the same name, and the length of `body`.

    `without` names headers to leave out; a Content-Length line in `lines` is kept as it is.
    """
    replaced = {line.partition(":")[0].strip().lower() for line in lines} | set(without.lower().split())
    method = start_line.split()[0] if not start_line.startswith("SIP/") else "INVITE"
    sound = (*CORE, f"CSeq: 7 {method}", f"Content-Length: {len(body)}")
    kept = [line for line in sound if line.partition(":")[0].lower() not in replaced]
    head = end.join([start_line, *kept, *lines, "", ""])
    return head.encode("utf-8", "surrogateescape") + body


def invite(*lines: str, body: bytes = OFFER, without: str = "", end: str = "\r\n") -> bytes:
    """An INVITE with a session description."""
    kind = () if "content-type" in without else ("Content-Type: application/sdp",)
    return build("INVITE sip:0698765432@carrier.example SIP/2.0", *kind, *lines, body=body, without=without, end=end)
