"""DTMF digits in SIP INFO (RFC 6086): the de-facto bodies `application/dtmf-relay` and `application/dtmf`."""

import re

from capture.sip import SipMessage

_SIGNAL = re.compile(rb"^[ \t]*(?:signal[ \t]*=)?[ \t]*([0-9A-Da-d*#]{1,2})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_TYPES = ("application/dtmf-relay", "application/dtmf")
_EVENTS = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}


def digits_of(message: SipMessage) -> str:
    """Digits that this INFO sends, usually one; "" when it is about something else."""
    return "".join(_digit(content) for kind, content in message.bodies() if kind in _TYPES)


def _digit(content: bytes) -> str:
    """The digit of `Signal=5` or of a bare `5`; RFC 4733 event numbers are taken too."""
    match = _SIGNAL.search(content)
    if match is None:
        return ""
    signal = match[1].decode("ascii").upper()
    return signal if len(signal) == 1 else _EVENTS.get(signal, "")
