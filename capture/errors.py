"""Errors of what came over the wire. Malformed input raises a leaf of `CaptureError`; callers count it and go on."""


class CaptureError(Exception):
    """Root of everything this package raises on purpose."""


class CaptureFileError(CaptureError):
    """A capture file cannot be read at all; the message names the byte offset."""


class SipError(CaptureError):
    """Bytes that are not a SIP message (RFC 3261 section 7)."""


class SdpError(CaptureError):
    """Bytes that are not a session description (RFC 8866)."""


class JournalError(CaptureError):
    """A journal block that fails its checksum or its structure."""


class RtcpError(CaptureError):
    """Bytes that are not a compound RTCP packet (RFC 3550 section 6.4)."""


class UnsupportedSuiteError(CaptureError):
    """An SRTP crypto suite that cannot be decrypted, or a key whose length does not fit its suite (RFC 4568)."""
