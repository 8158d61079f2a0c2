"""Header fields of SIP messages and of MIME parts: RFC 3261 sections 7.3 and 20, RFC 2045.

Names come out as the lower-case long name, values unfolded and stripped. No header is interpreted here.
"""

import re

from capture.errors import SipError

MAX_HEADER_LINES = 1000
"""Lines of one head; more than this is no message anybody sends, and would only cost time."""

Fields = tuple[tuple[str, str], ...]
"""(lower-case long name, value), in the order of the message."""

COMPACT_NAMES = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
"""RFC 3261 section 7.3.3 and the registry of SIP header fields."""

_LISTS = """
accept accept-contact accept-encoding accept-language alert-info allow allow-events call-info contact content-encoding
content-language diversion error-info history-info in-reply-to p-asserted-identity p-associated-uri p-preferred-identity
path proxy-require reason record-route reject-contact remote-party-id request-disposition require resource-priority
route service-route supported unsupported via warning
"""
LIST_NAMES = frozenset(_LISTS.split())
"""Headers whose value is a comma-separated list: one line of three values equals three lines (section 7.3.1)."""

_USUAL_SPELLINGS = """
Accept Allow Allow-Events Authorization Call-ID Call-Info Contact Content-Disposition Content-Length Content-Type CSeq
Date Diversion Event Expires From Max-Forwards Min-SE P-Asserted-Identity Privacy Proxy-Authenticate Proxy-Authorization
RAck Reason Record-Route Refer-To Referred-By Remote-Party-ID Replaces Require Route RSeq Server Session-Expires
Session-ID Subject Supported Timestamp To User-Agent Via Warning WWW-Authenticate
"""
_CANONICAL = COMPACT_NAMES | {name: name.lower() for name in _USUAL_SPELLINGS.split()}
"""Names that need no stripping and lowering, which would double the cost of a message."""

_BLANKS = " \t\r\0"
_LIST_MARKS = re.compile(r'"(?:[^"\\]+|\\.)*"?|[,<>]', re.DOTALL)


def decode(head: bytes) -> str:
    """Text of a head: UTF-8, every byte that is not replaced by U+FFFD, so that the result can always be encoded."""
    return head.decode("utf-8", "replace")


def parse_fields(lines: list[str]) -> Fields:
    """Fields of the lines after the start line; lines may still end in CR. Lines that are no header are left out.

    Raises SipError when there are more than `MAX_HEADER_LINES`.
    """
    if len(lines) > MAX_HEADER_LINES:
        raise SipError(f"more than {MAX_HEADER_LINES} header lines")
    known = _CANONICAL.get
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields.append((known(name) or _canonical(name), value.strip(_BLANKS)))
    return tuple(fields)


def unfold(lines: list[str]) -> list[str]:
    """Joins each line that starts with a blank to the line before it, with one space (section 7.3.1)."""
    if len(lines) > MAX_HEADER_LINES:
        raise SipError(f"more than {MAX_HEADER_LINES} header lines")
    groups: list[list[str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and groups:
            groups[-1].append(line.strip(_BLANKS))
        else:
            groups.append([line.rstrip(_BLANKS)])
    return [" ".join(filter(None, group)) for group in groups]


def split_list(value: str) -> tuple[str, ...]:
    """Elements of a comma-separated list; commas in quoted strings and <> do not separate. Empty ones are left out."""
    if "," not in value:
        return (value,) if value else ()
    elements = []
    start = 0
    in_brackets = False
    for mark in _LIST_MARKS.finditer(value):
        symbol = mark.group()
        if symbol == "<" or symbol == ">":
            in_brackets = symbol == "<"
        elif symbol == "," and not in_brackets:
            elements.append(value[start : mark.start()].strip())
            start = mark.end()
    elements.append(value[start:].strip())
    return tuple(filter(None, elements))


def first_value(fields: Fields, name: str) -> str | None:
    """Value of the first field of this lower-case long name."""
    for known, value in fields:
        if known == name:
            return value
    return None


def _canonical(name: str) -> str:
    plain = name.strip(_BLANKS).lower()
    return COMPACT_NAMES.get(plain, plain)
