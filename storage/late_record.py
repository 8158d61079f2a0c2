"""Packets that came after their call was over, schema `rokubox.late/1` (`schema/late-1.schema.json` is made from this).

A call record is never edited, and these come when it is written; so they have a record of their own, which names the
call. Pure.
"""

from dataclasses import dataclass
from typing import Literal

from storage.vocabulary import Address, CallId, Count, Ssrc, Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class LateRecord:
    """Packets of one stream that are in no recording because they came after the end of their call."""

    schema: Literal["rokubox.late/1"] = "rokubox.late/1"
    """Name and version of this form."""
    software: str
    """What wrote it, with its version."""
    call_id: CallId
    """The call that was over; its record lies in `calls/`."""
    ssrc: Ssrc
    """The stream."""
    source: Address
    """Sender."""
    destination: Address
    """Receiver."""
    packets: Count
    """How many were left out, copies included."""
    first_at: Timestamp
    """Capture time of the first."""
    last_at: Timestamp
    """Capture time of the last."""
