"""Bodies of SIP messages: one content, or the parts of a multipart (RFC 3261 section 7.4, RFC 2046 section 5.1).

Content encodings (gzip, base64) are not undone; bodies of telephony signalling do not use them.
"""

import re

from capture.errors import SipError
from capture.sipaddress import parse_parameters
from capture.sipfields import decode, first_value, parse_fields, unfold

MAX_DEPTH = 4
"""Multiparts inside multiparts that are unpacked; deeper ones come out as they are."""
MAX_PARTS = 32
"""Contents of one message; the rest is left out."""

Content = tuple[str, bytes]
"""(content type in lower case without parameters, content)."""

_BLANK_LINE = re.compile(rb"\A\r?\n|\n\r?\n")


def unpack(content_type: str, body: bytes) -> tuple[Content, ...]:
    """Contents of a body with this Content-Type value, multiparts unpacked in order; at most `MAX_PARTS`."""
    contents: list[Content] = []
    _collect(content_type, body, MAX_DEPTH, contents)
    return tuple(contents)


def _collect(content_type: str, body: bytes, depth: int, contents: list[Content]) -> None:
    plain, _, tail = content_type.partition(";")
    kind = plain.strip().lower()
    boundary = parse_parameters(tail).get("boundary", "") if kind.startswith("multipart/") else ""
    if not boundary or not depth:
        contents.append((kind, body))
        return
    for part in _split(body, boundary.encode()):
        if len(contents) >= MAX_PARTS:
            return
        part_type, content = _parse_part(part)
        _collect(part_type, content, depth - 1, contents)


def _split(body: bytes, boundary: bytes) -> list[bytes]:
    """Parts between the delimiter lines; what stands before the first and after the closing one is no part."""
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    parts = []
    start = -1
    for line in delimiter.finditer(body):
        if start >= 0:
            parts.append(body[start : line.start()])
        start = -1 if line[1] else line.end()
        if line[1] or len(parts) >= MAX_PARTS:
            return parts
    if start >= 0:
        parts.append(body[start:])
    return parts


def _parse_part(part: bytes) -> Content:
    """Content type (RFC 2045 default text/plain) and content of one part."""
    part = part.removeprefix(b"\r").removeprefix(b"\n")
    blank = _BLANK_LINE.search(part)
    head, content = (part[: blank.start()], part[blank.end() :]) if blank else (part, b"")
    try:
        fields = parse_fields(unfold(decode(head).split("\n")))
    except SipError:
        return "text/plain", part
    return first_value(fields, "content-type") or "text/plain", content
