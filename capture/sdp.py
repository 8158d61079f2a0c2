"""Session descriptions in offer and answer: RFC 8866, RFC 3264; what a recorder of RTP needs of them.

Lines that cannot be read are counted and skipped. ICE candidates, bandwidth, timing and fmtp are not read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from capture.errors import SdpError
from capture.sdpattributes import (
    STATIC_CODECS,
    Codec,
    Crypto,
    Direction,
    parse_connection,
    parse_crypto,
    parse_number,
    parse_rtpmap,
)

MAX_BYTES = 64 * 1024
"""Bytes of a description that are read."""
MAX_MEDIA = 64
"""m-lines that are read; further ones count as malformed."""
MAX_FORMATS = 128
"""Formats of one m-line; RTP has no more payload types."""
MAX_REPEATS = 32
"""Keys and SSRCs kept of one m-line."""

_UNSPECIFIED = (bytes(4), bytes(16))
_DIRECTIONS = frozenset(Direction)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaDescription:
    """One m-line with its attributes; its place in the session never changes (RFC 3264 section 8)."""

    media: str
    """audio, video, image, ..., lower case; "" when the m-line could not be read."""
    port: int
    """Port where this party receives; 0 when the stream is refused or the m-line could not be read."""
    protocol: str
    """Transport, upper case, e.g. RTP/AVP, RTP/SAVP, UDPTL."""
    formats: tuple[str, ...]
    """Formats in order of preference; payload types for RTP."""
    address: bytes | None
    """Packed IPv4 or IPv6 address of c=, the media's own before the session's; None for a host name or when absent."""
    direction: Direction
    """The media's own before the session's, else sendrecv."""
    codecs: dict[int, Codec]
    """Meaning of each payload type in `formats` that has one, by rtpmap or RFC 3551."""
    ptime_ms: int | None
    """Packet time asked for, milliseconds."""
    maxptime_ms: int | None
    """Longest packet time, milliseconds."""
    rtcp_port: int | None
    """Port of a=rtcp (RFC 3605), None when not said."""
    rtcp_mux: bool
    """RTCP shares the port of RTP (RFC 5761)."""
    crypto: tuple[Crypto, ...]
    """SRTP keys in the clear (RFC 4568)."""
    fingerprint: bool
    """A certificate's fingerprint announces DTLS-SRTP (RFC 5763)."""
    zrtp: bool
    """A hash announces ZRTP (RFC 6189 section 8)."""
    ssrcs: tuple[int, ...]
    """Announced synchronisation sources (RFC 5576), each once."""

    @property
    def refused(self) -> bool:
        """Port 0."""
        return self.port == 0

    @property
    def held(self) -> bool:
        """This party put the stream on hold: it does not want to receive, by direction or by the old zero address."""
        return self.direction in (Direction.SENDONLY, Direction.INACTIVE) or self.address in _UNSPECIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDescription:
    """One party's view of a session."""

    origin: str
    """Value of o=, "" when absent."""
    session_id: str
    """Second word of o=, "" when absent."""
    version: str
    """Third word of o=, "" when absent; grows with each change in a dialog."""
    media: tuple[MediaDescription, ...]
    """All m-lines in order."""
    malformed: int
    """Lines that could not be read."""


@dataclass(slots=True)
class _Section:
    """What is known of the session, or of one m-line, while its lines are read."""

    media: str = ""
    port: int = 0
    protocol: str = ""
    formats: tuple[str, ...] = ()
    connection: bytes | None = None
    connected: bool = False
    direction: Direction | None = None
    rtpmaps: dict[int, Codec] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    crypto: list[Crypto] = field(default_factory=list)
    ssrcs: dict[int, None] = field(default_factory=dict)

    def described(self, session: "_Section") -> MediaDescription:
        """The m-line with the session's values where it has none of its own."""
        numbers = session.numbers | self.numbers
        return MediaDescription(
            media=self.media,
            port=self.port,
            protocol=self.protocol,
            formats=self.formats,
            address=self.connection if self.connected else session.connection,
            direction=self.direction or session.direction or Direction.SENDRECV,
            codecs=self._codecs(),
            ptime_ms=numbers.get("ptime"),
            maxptime_ms=numbers.get("maxptime"),
            rtcp_port=self.numbers.get("rtcp"),
            rtcp_mux="rtcp-mux" in self.flags,
            crypto=tuple(self.crypto),
            fingerprint="fingerprint" in self.flags or "fingerprint" in session.flags,
            zrtp="zrtp-hash" in self.flags or "zrtp-hash" in session.flags,
            ssrcs=tuple(self.ssrcs),
        )

    def _codecs(self) -> dict[int, Codec]:
        if "RTP/" not in self.protocol:
            return {}
        types = [int(text) for text in self.formats if text.isascii() and text.isdigit() and len(text) <= 3]
        known = STATIC_CODECS | self.rtpmaps
        return {number: known[number] for number in types if number in known}


def parse(body: bytes) -> SessionDescription:
    """One description, at most `MAX_BYTES` of it. Raises SdpError when no line could be read."""
    session = _Section()
    sections = [session]
    origin = ""
    read = malformed = 0
    for line in body[:MAX_BYTES].decode("utf-8", "replace").strip("\0").split("\n"):
        if not line.strip():
            continue
        kind, value = line[:2], line[2:].strip()
        try:
            if kind == "a=":
                _read_attribute(sections[-1], value)
            elif kind == "m=":
                _open_media(sections, value)
            elif kind == "c=":
                _read_connection(sections[-1], value)
            elif kind == "o=":
                origin = origin or value
            elif kind[1:] != "=" or not "a" <= kind[0] <= "z":
                raise SdpError("not a line of a session description")
            read += 1
        except SdpError:
            malformed += 1
    if not read:
        raise SdpError("no line of a session description")
    words = [*origin.split()[:3], "", "", ""]
    return SessionDescription(
        origin=origin,
        session_id=words[1],
        version=words[2],
        media=tuple(section.described(session) for section in sections[1 : MAX_MEDIA + 1]),
        malformed=malformed,
    )


def _open_media(sections: list[_Section], value: str) -> None:
    """Opens a section for `audio 49170/2 RTP/AVP 0 8`. An m-line that cannot be read keeps its place, refused."""
    del sections[MAX_MEDIA + 1 :]
    section = _Section()
    sections.append(section)
    words = value.split(None, MAX_FORMATS + 3)[: MAX_FORMATS + 3]
    if len(words) < 3 or len(sections) > MAX_MEDIA + 1:
        raise SdpError("unreadable or too many m-lines")
    section.port = parse_number(words[1].partition("/")[0], 65535)
    section.media, section.protocol, section.formats = words[0].lower(), words[2].upper(), tuple(words[3:])


def _read_connection(section: _Section, value: str) -> None:
    if not section.connected:
        section.connection = parse_connection(value)
        section.connected = True


def _read_attribute(section: _Section, value: str) -> None:
    name, _, argument = value.partition(":")
    name = name.strip().lower()
    if name in _DIRECTIONS:
        section.direction = Direction(name)
    elif reader := _READERS.get(name):
        reader(section, name, argument.strip())


def _read_rtpmap(section: _Section, _: str, argument: str) -> None:
    number, codec = parse_rtpmap(argument)
    section.rtpmaps[number] = codec


def _read_crypto(section: _Section, _: str, argument: str) -> None:
    if len(section.crypto) < MAX_REPEATS:
        section.crypto.append(parse_crypto(argument))


def _read_ssrc(section: _Section, _: str, argument: str) -> None:
    if len(section.ssrcs) < MAX_REPEATS:
        section.ssrcs[parse_number(argument.partition(" ")[0], 2**32 - 1)] = None


def _read_number(section: _Section, name: str, argument: str) -> None:
    number = parse_number(argument.partition(" ")[0].partition(".")[0], 65535)
    if not number:
        raise SdpError("zero where a time or port is meant")
    section.numbers.setdefault(name, number)


def _read_flag(section: _Section, name: str, _: str) -> None:
    section.flags.add(name)


_READERS: dict[str, Callable[[_Section, str, str], None]] = {
    "rtpmap": _read_rtpmap,
    "crypto": _read_crypto,
    "ssrc": _read_ssrc,
    "ptime": _read_number,
    "maxptime": _read_number,
    "rtcp": _read_number,
    "rtcp-mux": _read_flag,
    "fingerprint": _read_flag,
    "zrtp-hash": _read_flag,
}
