"""Values inside SDP lines: addresses, codecs, keys (RFC 8866, RFC 3551 table 4 and 5, RFC 4568).

Each parser takes the text after the line's "type=" or the attribute's colon, and raises SdpError when it cannot be
read.
"""

import base64
import binascii
import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum

from capture.errors import SdpError


class Direction(StrEnum):
    """Who sends, seen from the party whose description this is (RFC 3264 section 5.1)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """What a payload type means."""

    name: str
    """Encoding name in upper case."""
    clock_hz: int
    """RTP clock rate."""
    channels: int
    """Audio channels, 1 when not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crypto:
    """One `a=crypto` offer of keys (RFC 4568 section 9.1)."""

    tag: int
    """Number that offer and answer refer to."""
    suite: str
    """Cipher and authentication, upper case, e.g. AES_CM_128_HMAC_SHA1_80."""
    key_salt: bytes
    """Master key and salt, one after the other."""
    mki: int
    """Master key identifier, 0 when there is none."""
    mki_bytes: int
    """Length of the identifier that each SRTP packet carries before its authentication tag, 0 when there is none."""
    parameters: tuple[str, ...]
    """Session parameters, e.g. UNENCRYPTED_SRTP, as written."""


def _static(name: str, clock_hz: int = 8000, channels: int = 1) -> Codec:
    return Codec(name=name, clock_hz=clock_hz, channels=channels)


STATIC_CODECS: dict[int, Codec] = {
    0: _static("PCMU"),
    3: _static("GSM"),
    4: _static("G723"),
    5: _static("DVI4"),
    6: _static("DVI4", 16000),
    7: _static("LPC"),
    8: _static("PCMA"),
    9: _static("G722"),
    10: _static("L16", 44100, 2),
    11: _static("L16", 44100),
    12: _static("QCELP"),
    13: _static("CN"),
    14: _static("MPA", 90000),
    15: _static("G728"),
    16: _static("DVI4", 11025),
    17: _static("DVI4", 22050),
    18: _static("G729"),
    25: _static("CELB", 90000),
    26: _static("JPEG", 90000),
    28: _static("NV", 90000),
    31: _static("H261", 90000),
    32: _static("MPV", 90000),
    33: _static("MP2T", 90000),
    34: _static("H263", 90000),
}
"""Payload types that need no rtpmap."""

_RTPMAP = re.compile(r"(\d{1,3})\s+([^\s/]+)(?:/(\d{1,9})(?:/(\d{1,3}))?)?(?![^\s])", re.ASCII)
_CRYPTO = re.compile(r"(\d{1,9})\s+(\S+)\s+inline:([A-Za-z0-9+/=]+)(\S*)\s*", re.ASCII | re.IGNORECASE)
_MKI = re.compile(r"\|(\d{1,39}):(\d{1,3})(?=$|;)", re.ASCII)
_DIGITS = re.compile(r"\d{1,3}", re.ASCII)


def parse_rtpmap(value: str) -> tuple[int, Codec]:
    """`0 PCMU/8000[/1]`: payload type 0 to 127 and codec. A missing clock rate is 8000 Hz."""
    match = _RTPMAP.match(value)
    number, clock_hz, channels = (int(match[1]), int(match[3] or 8000), int(match[4] or 1)) if match else (128, 0, 0)
    if not match or number > 127 or not clock_hz or not channels:
        raise SdpError("unreadable rtpmap")
    return number, Codec(name=match[2].upper(), clock_hz=clock_hz, channels=channels)


def parse_crypto(value: str) -> Crypto:
    """`1 AES_CM_128_HMAC_SHA1_80 inline:<key and salt>[|lifetime][|mki:length] [parameters]`; of several keys one."""
    match = _CRYPTO.match(value)
    if not match:
        raise SdpError("unreadable crypto")
    try:
        key_salt = base64.b64decode(match[3].rstrip("=") + "=" * (-len(match[3].rstrip("=")) % 4), validate=True)
    except binascii.Error as error:
        raise SdpError("unreadable crypto key") from error
    mki = _MKI.search(match[4].partition(";")[0])
    return Crypto(
        tag=int(match[1]),
        suite=match[2].upper(),
        key_salt=key_salt,
        mki=int(mki[1]) if mki else 0,
        mki_bytes=int(mki[2]) if mki else 0,
        parameters=tuple(value[match.end() :].split()),
    )


def parse_connection(value: str) -> bytes | None:
    """`IN IP4 192.0.2.1[/ttl[/count]]`: packed address; None for a host name."""
    words = value.split()
    if len(words) < 3 or words[0].upper() != "IN":
        raise SdpError("unreadable connection data")
    return parse_address(words[2].partition("/")[0])


def parse_address(text: str) -> bytes | None:
    """Packed IPv4 or IPv6 address of a literal; None for anything else. Leading zeros of IPv4 are decimal."""
    if ":" in text:
        try:
            return ipaddress.IPv6Address(text.partition("%")[0]).packed
        except ValueError:
            return None
    octets = text.split(".")
    if len(octets) != 4 or not all(map(_DIGITS.fullmatch, octets)):
        return None
    numbers = [int(octet) for octet in octets]
    return bytes(numbers) if max(numbers) < 256 else None


def parse_number(text: str, highest: int) -> int:
    """Decimal number from 0 to `highest`."""
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > highest:
        raise SdpError("unreadable number")
    return int(text)
