"""SIP over a stream: cuts the bytes of one direction of a TCP connection into messages (RFC 3261 section 18.3).

Sans-IO. The state is a plain record, so that it can be stored and taken up again between any two calls.

| state | what the buffer begins with | goes on when |
|---|---|---|
| in step | a start line, or line ends (keep-alive) | the whole message is there |
| lost | bytes of no known message | a line is a start line: `MAX_HEAD_BYTES` at most are kept meanwhile |

A Content-Length that lies short leaves the rest of a body as garbage, one that lies long swallows what follows: in both
cases the next start line at the start of a line brings the stream back into step.
"""

import re
from dataclasses import dataclass, field

from capture.errors import SipError
from capture.sip import START_LINE, SipMessage, declared_length, parse

MAX_HEAD_BYTES = 64 * 1024
"""Longest head; a longer one is no message."""
MAX_MESSAGE_BYTES = 256 * 1024
"""Longest head and body together; a longer message is skipped."""

_HEAD_END = re.compile(rb"\n\r?\n")
_FIRST_LINE = re.compile(START_LINE + rb"\n", re.IGNORECASE)
_LATER_LINE = re.compile(rb"\n(" + START_LINE + rb")(?=\n)", re.IGNORECASE)
_LINE_ENDS = re.compile(rb"[\r\n\0]+")


@dataclass(slots=True, kw_only=True)
class SipStream:
    """Framing of one direction of a connection."""

    buffer: bytearray = field(default_factory=bytearray)
    """Bytes that are no whole message yet, at most `MAX_MESSAGE_BYTES` between calls."""
    scanned: int = 0
    """Bytes of the buffer in which no end of a head was found."""
    needed: int = 0
    """Length in bytes of the message at the buffer's start once its head is known, else 0."""
    lost: bool = False
    """Out of step: a start line must be found first."""
    cut: bool = False
    """Bytes are missing after the buffer's end."""
    malformed: int = 0
    """Times that something which should have been a message could not be read as one."""
    skipped_bytes: int = 0
    """Bytes that belong to no message handed out, keep-alives not counted."""

    def feed(self, chunk: bytes) -> list[SipMessage]:
        """Takes the next bytes of the stream, gives the messages that are complete now. Never raises."""
        messages = self._salvage() if self.cut else []
        self.buffer += chunk
        if self.lost and b"\n" not in chunk:
            self._limit_garbage()
            return messages
        while self._in_step() and self._find_head() and len(self.buffer) >= self.needed:
            messages.append(self._take())
        return messages

    def gap(self) -> None:
        """Bytes are missing here. The next `feed` (b"" at the end of a connection) gives what there was, truncated."""
        self.cut = True

    def _in_step(self) -> bool:
        """Whether the buffer begins with a start line, after skipping what comes before the next one."""
        if self.needed or self.scanned:
            return True
        if not self.lost:
            keep_alive = _LINE_ENDS.match(self.buffer)
            del self.buffer[: keep_alive.end() if keep_alive else 0]
            if b"\n" not in self.buffer and len(self.buffer) <= MAX_HEAD_BYTES:
                return False
        if _FIRST_LINE.match(self.buffer):
            self.lost = False
            return True
        return self._resynchronise()

    def _resynchronise(self) -> bool:
        """Skips to the next start line at the start of a line; False when there is none yet."""
        if not self.lost:
            self.malformed += 1
        following = _LATER_LINE.search(self.buffer)
        self.lost = following is None
        self._skip(following.start(1) if following else self.buffer.rfind(b"\n") + 1)
        self._limit_garbage()
        return following is not None

    def _find_head(self) -> bool:
        """Whether the message's length is known; a head that cannot be read is skipped first."""
        while not self.needed:
            end = _HEAD_END.search(self.buffer, max(0, self.scanned - 2))
            if end is None and len(self.buffer) <= MAX_HEAD_BYTES:
                self.scanned = len(self.buffer)
                return False
            if end is None or not self._read_head(end.end()):
                self._reject(end.end() if end else MAX_HEAD_BYTES)
                if not self._in_step():
                    return False
        return True

    def _read_head(self, size_bytes: int) -> bool:
        """Learns the message's length from its head. A stream needs Content-Length; without it, no body follows."""
        if size_bytes > MAX_HEAD_BYTES or _LATER_LINE.search(self.buffer, 0, size_bytes):
            return False
        try:
            length = declared_length(parse(bytes(self.buffer[:size_bytes])).fields) or 0
        except SipError:
            return False
        self.needed = size_bytes + length if size_bytes + length <= MAX_MESSAGE_BYTES else 0
        return bool(self.needed)

    def _reject(self, size_bytes: int) -> None:
        """Gives up a head: goes on at the last start line in it (the one before was cut short), else after it."""
        self.malformed += 1
        lines = list(_LATER_LINE.finditer(self.buffer, 0, size_bytes))
        self._skip(lines[-1].start(1) if lines else size_bytes)
        self.lost = True

    def _take(self) -> SipMessage:
        message = parse(bytes(self.buffer[: self.needed]))
        del self.buffer[: self.needed]
        self.scanned = self.needed = 0
        return message

    def _salvage(self) -> list[SipMessage]:
        """What there is of the message that a gap cut; the stream is out of step afterwards."""
        rest = bytes(self.buffer)
        started = not self.lost and bool(_FIRST_LINE.match(rest))
        self._skip(len(rest))
        self.lost, self.cut = True, False
        if not started:
            return []
        try:
            message = parse(rest, truncated=True)
        except SipError:
            self.malformed += 1
            return []
        self.skipped_bytes -= len(rest)
        return [message]

    def _skip(self, size_bytes: int) -> None:
        self.skipped_bytes += min(size_bytes, len(self.buffer))
        del self.buffer[:size_bytes]
        self.scanned = self.needed = 0

    def _limit_garbage(self) -> None:
        if self.lost and len(self.buffer) > MAX_HEAD_BYTES:
            self._skip(len(self.buffer))
