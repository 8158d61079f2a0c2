"""Who may listen while assembly reads the journal. Pure.

An onlooker hears of everything in order and changes nothing: no recording depends on whether there is one. What it
raises is its own trouble; whoever puts one in sees to that.
"""

from typing import Protocol

from capture.endpoint import Endpoint
from capture.journal import Event, MediaBlock, SignallingBlock
from capture.sip import SipMessage
from capture.sipcall import SipCall


class Onlooker(Protocol):
    """Listens."""

    def media(self, block: MediaBlock) -> None:
        """A media block is being taken in."""

    def frames(self, block: SignallingBlock) -> None:
        """A signalling block is being taken in; its messages follow."""

    def said(self, ts_ns: int, source: Endpoint, destination: Endpoint, transport: str, message: SipMessage) -> None:
        """A SIP message was seen."""

    def changed(self, ts_ns: int, call: SipCall) -> None:
        """A message of a call was seen, or a timer ended it."""

    def event(self, event: Event) -> None:
        """Capture told something."""
