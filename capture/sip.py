"""SIP messages: RFC 3261 section 7, read by a passive listener.

What the endpoints of a call would reject is still evidence, so a message counts as soon as its Call-ID and CSeq can be
read; every other header is parsed when somebody asks for it, and is checked for no more than that reader needs.
Datagrams come here; `sipstream` cuts streams into messages. Nothing is ever serialised.
"""

import re
from dataclasses import dataclass

from capture.errors import SipError
from capture.sipaddress import NameAddress, parse_name_address
from capture.sipbody import unpack
from capture.sipfields import LIST_NAMES, Fields, decode, first_value, parse_fields, split_list, unfold

MAX_SEQUENCE_NUMBER = 2**32 - 1
"""Largest CSeq that is read. RFC 3261 section 8.1.1.5 allows 2^31 - 1, some senders start above it."""

START_LINE = (
    rb"(?:SIP/2\.0[ \t]+[1-9][0-9]{2}(?:[ \t][^\r\n]*)?"
    rb"|[A-Za-z0-9\-.!%*_+`'~]{1,64}[ \t]+<?[A-Za-z][A-Za-z0-9+\-.]*:[^\r\n]*[ \t]SIP/2\.0[ \t]*)\r?"
)
"""Pattern of a start line without its LF, linear in the length of the line; to be used without regard to case (7.1)."""

_RECOGNISED = re.compile(rb"[\r\n\0]{0,64}" + START_LINE + rb"(?:\n|\Z)", re.IGNORECASE)
_HEAD_END = re.compile(rb"\n\r?\n")
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_CSEQ = re.compile(r"0*([0-9]{1,10})(?:[ \t]+(\S+)|[ \t]*$)")
_LENGTH = re.compile(r"0*([0-9]{1,10})")


@dataclass(frozen=True, slots=True, kw_only=True)
class SipMessage:
    """One request or response."""

    method: str
    """Method of a request; of a response, the method its CSeq names."""
    status: int | None
    """Status code of a response, 100 to 999; None for a request."""
    request_uri: str
    """Request-URI as written, "" for a response."""
    reason: str
    """Reason phrase of a response, "" for a request."""
    fields: Fields
    """(lower-case long name, unfolded and stripped value), in order."""
    body: bytes
    """Content-Length bytes, or what there is of them; all of the datagram when the length is absent or unreadable."""
    truncated: bool
    """The capture's snap length, or a gap in a stream, cut head or body short."""

    @property
    def is_request(self) -> bool:
        """Whether this is a request."""
        return self.status is None

    def first(self, name: str) -> str | None:
        """Value of the first header of this lower-case long name, whole, None when absent."""
        return first_value(self.fields, name)

    def all(self, name: str) -> tuple[str, ...]:
        """Values of all headers of this lower-case long name; lists (Via, Route, P-Asserted-Identity ...) are split."""
        values = [value for known, value in self.fields if known == name]
        if name not in LIST_NAMES:
            return tuple(values)
        return tuple(element for value in values for element in split_list(value))

    @property
    def call_id(self) -> str:
        """Call-ID, never empty in a parsed message."""
        return self.first("call-id") or ""

    @property
    def cseq(self) -> int:
        """Sequence number of CSeq."""
        return _parse_cseq(self.first("cseq"))[0]

    @property
    def from_(self) -> NameAddress:
        """From; empty parts when the header is absent."""
        return parse_name_address(self.first("from") or "")

    @property
    def to(self) -> NameAddress:
        """To; empty parts when the header is absent."""
        return parse_name_address(self.first("to") or "")

    @property
    def from_tag(self) -> str:
        """Tag of From, "" when absent (RFC 2543 senders)."""
        return self.from_.tag

    @property
    def to_tag(self) -> str:
        """Tag of To, "" when absent."""
        return self.to.tag

    def bodies(self) -> tuple[tuple[str, bytes], ...]:
        """(content type in lower case without parameters, content), multiparts unpacked; () without a body."""
        return unpack(self.first("content-type") or "", self.body) if self.body else ()

    def sdp(self) -> bytes | None:
        """The first session description in the body, also one that no Content-Type announces."""
        for kind, content in self.bodies():
            if kind == "application/sdp" or (not kind and content.startswith(b"v=0")):
                return content
        return None


def parse(datagram: bytes, *, truncated: bool = False) -> SipMessage:
    """One message, from its start line (line ends and NULs before it are skipped) on; bytes after the body are dropped.

    `truncated` says that the capture cut the datagram: a last line without its end is then left out.
    Raises SipError when start line, Call-ID or CSeq cannot be read.
    """
    data = datagram.lstrip(b"\r\n\0")
    blank = _HEAD_END.search(data)
    if blank:
        head, rest = data[: blank.start()], data[blank.end() :]
    else:
        head, rest = (data[: data.rfind(b"\n") + 1] if truncated else data), b""
    method, status, request_uri, reason, fields = _parse_head(head)
    try:
        length = declared_length(fields)
    except SipError:
        length = None
    return SipMessage(
        method=method,
        status=status,
        request_uri=request_uri,
        reason=reason,
        fields=fields,
        body=rest.rstrip(b"\0") if length is None else rest[:length],
        truncated=truncated and (blank is None or length is None or len(rest) < length),
    )


def looks_like_sip(head: bytes) -> bool:
    """Whether the bytes begin with a whole SIP start line; cheap enough to ask of every packet."""
    return _RECOGNISED.match(head) is not None


def declared_length(fields: Fields) -> int | None:
    """Content-Length in bytes, None when absent. Raises SipError when it is no number or two headers disagree."""
    values = {value for name, value in fields if name == "content-length"}
    if not values:
        return None
    digits = {match[1] for match in map(_LENGTH.fullmatch, values) if match}
    if len(digits) != 1 or not all(map(_LENGTH.fullmatch, values)):
        raise SipError("unreadable or contradicting Content-Length")
    return int(digits.pop())


def _parse_head(head: bytes) -> tuple[str, int | None, str, str, Fields]:
    """(method, status, Request-URI, reason, fields)."""
    text = decode(head)
    lines = text.split("\n")
    method, status, request_uri, reason = _parse_start_line(lines.pop(0))
    fields = parse_fields(unfold(lines) if "\n " in text or "\n\t" in text else lines)
    if not first_value(fields, "call-id"):
        raise SipError("no Call-ID")
    _, named = _parse_cseq(first_value(fields, "cseq"))
    if status is not None and not named:
        raise SipError("response whose CSeq names no method")
    return method or named, status, request_uri, reason, fields


def _parse_start_line(line: str) -> tuple[str, int | None, str, str]:
    """(method, status, Request-URI, reason); blanks in odd places are tolerated."""
    words = line.split()
    if len(words) < 2:
        raise SipError("no SIP start line")
    first, last = words[0], words[-1]
    if first.upper() == "SIP/2.0":
        return "", _parse_status(words[1]), "", " ".join(words[2:])
    uri = line.strip()[len(first) : -len(last)].strip()
    if last.upper() != "SIP/2.0" or not uri or not _TOKEN.fullmatch(first):
        raise SipError("no SIP start line")
    return first, None, uri.removeprefix("<").removesuffix(">"), ""


def _parse_status(word: str) -> int:
    if len(word) != 3 or not (word.isascii() and word.isdigit()) or word < "100":
        raise SipError("status code is not three digits")
    return int(word)


def _parse_cseq(value: str | None) -> tuple[int, str]:
    """(number, method or "")."""
    match = _CSEQ.match(value or "")
    if not match or int(match[1]) > MAX_SEQUENCE_NUMBER:
        raise SipError("unreadable CSeq")
    return int(match[1]), match[2] or ""
