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


class JournalForgottenError(JournalError):
    """A part of the journal that is not there any more."""


class JournalBusyError(CaptureError):
    """The journal's directory belongs to another capture that is running."""


class JournalWriteError(CaptureError):
    """The disk did not take what was to be written, or lost it; the cause is an `OSError`. Trying again may help."""


class RtcpError(CaptureError):
    """Bytes that are not a compound RTCP packet (RFC 3550 section 6.4)."""


class UnsupportedSuiteError(CaptureError):
    """An SRTP crypto suite that cannot be decrypted, or a key whose length does not fit its suite (RFC 4568)."""


class RtnetlinkError(CaptureError):
    """Bytes that are not rtnetlink messages, or a dump that the kernel refused."""


class SpanPortError(CaptureError):
    """A mirror port that cannot be used: there is no interface of that name."""


class FilterError(CaptureError):
    """A filter program that cannot be made, or that the kernel would not take."""


class RingError(CaptureError):
    """A ring that cannot be opened or taken over; the message names the interface."""


class RingBlockError(CaptureError):
    """A ring block whose structure is not what the kernel writes."""
