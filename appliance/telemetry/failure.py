"""Why there is no connection to the broker: errors and MQTT 5 reason codes (section 2.4) to one closed list. Pure."""

import errno
import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class ConnectReason(StrEnum):
    """Each is an alarm of its own: the qualifiers of `broker_unreachable`."""

    NAME_NOT_RESOLVED = "name_not_resolved"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    NO_ROUTE = "no_route"
    CLOSED = "closed"
    """It was there, and closed the connection."""
    SERVER_NAME = "server_name"
    """Its certificate is for another name."""
    SERVER_UNTRUSTED = "server_untrusted"
    SERVER_EXPIRED = "server_expired"
    """Its certificate is not valid now; or our clock is wrong."""
    CLIENT_CERTIFICATE = "client_certificate"
    """It does not take ours."""
    CERTIFICATE_FILES = "certificate_files"
    """Ours cannot be read, or do not belong together."""
    TLS = "tls"
    NOT_AUTHORISED = "not_authorised"
    BAD_CREDENTIALS = "bad_credentials"
    CLIENT_ID = "client_id"
    TAKEN_OVER = "taken_over"
    """Another box connected with the same serial number."""
    SERVER_BUSY = "server_busy"
    QUOTA = "quota"
    PROTOCOL = "protocol"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a connection did not come about, or ended."""

    reason: ConnectReason
    detail: str = ""
    """In the library's words."""


_BY_CODE: Final = {
    0x81: ConnectReason.PROTOCOL,
    0x82: ConnectReason.PROTOCOL,
    0x84: ConnectReason.PROTOCOL,
    0x85: ConnectReason.CLIENT_ID,
    0x86: ConnectReason.BAD_CREDENTIALS,
    0x87: ConnectReason.NOT_AUTHORISED,
    0x88: ConnectReason.SERVER_BUSY,
    0x89: ConnectReason.SERVER_BUSY,
    0x8A: ConnectReason.NOT_AUTHORISED,
    0x8B: ConnectReason.CLOSED,
    0x8C: ConnectReason.BAD_CREDENTIALS,
    0x8D: ConnectReason.TIMED_OUT,
    0x8E: ConnectReason.TAKEN_OVER,
    0x93: ConnectReason.QUOTA,
    0x96: ConnectReason.QUOTA,
    0x97: ConnectReason.QUOTA,
    0x9F: ConnectReason.QUOTA,
}
_NOT_VALID_NOW = (9, 10)
"""OpenSSL: not yet valid, has expired."""
_OTHER_NAME = (62, 64)
"""OpenSSL: host name mismatch, IP address mismatch."""
_ABOUT_OURS = ("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "CERTIFICATE_EXPIRED", "CERTIFICATE_REVOKED")
_UNKNOWN = ("ALERT_UNKNOWN_CA", "ALERT_CERTIFICATE_UNKNOWN", "HANDSHAKE_FAILURE", "ACCESS_DENIED")
"""Alerts that a server sends when it does not take a client's certificate (RFC 8446 section 6.2)."""


def of_code(code: int, name: str) -> Failure:
    """What a reason code of CONNACK, PUBACK or DISCONNECT means."""
    return Failure(reason=_BY_CODE.get(code, ConnectReason.OTHER), detail=f"{name} (0x{code:02X})")


def of_error(error: BaseException) -> Failure:
    """What an error of a socket means."""
    return Failure(reason=_reason(error), detail=str(error)[:200])


def _reason(error: BaseException) -> ConnectReason:
    match error:
        case ssl.SSLCertVerificationError():
            return _of_verification(error.verify_code)
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return ConnectReason.CLOSED
        case ssl.SSLError():
            ours = any(word in (error.reason or "") for word in (*_ABOUT_OURS, *_UNKNOWN))
            return ConnectReason.CLIENT_CERTIFICATE if ours else ConnectReason.TLS
        case socket.gaierror():
            return ConnectReason.NAME_NOT_RESOLVED
        case ConnectionRefusedError():
            return ConnectReason.REFUSED
        case TimeoutError():
            return ConnectReason.TIMED_OUT
        case ConnectionError():
            return ConnectReason.CLOSED
        case OSError() if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL):
            return ConnectReason.NO_ROUTE
        case _:
            return ConnectReason.OTHER


def _of_verification(code: int) -> ConnectReason:
    if code in _OTHER_NAME:
        return ConnectReason.SERVER_NAME
    return ConnectReason.SERVER_EXPIRED if code in _NOT_VALID_NOW else ConnectReason.SERVER_UNTRUSTED
