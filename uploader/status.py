"""`run/upload.json`: how delivery stands, for the processes that watch over it. Pure.

It names no file and no number.
"""

from dataclasses import dataclass
from typing import Literal

from uploader.inbox.countdown import Countdown

NAME = "upload.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus:
    """One target."""

    name: str
    """Which."""
    waiting: int
    """Deliveries that wait for it."""
    oldest_s: float
    """How long the longest has been tried, in running time of the uploader; 0 when none waits."""
    oldest_ns: int | None
    """Wall clock when that one was taken in."""
    overdue: bool
    """That is longer than it should be: alarm `upload_overdue`."""
    given_up: int
    """Deliveries that were given up and whose recordings are still here: alarm `upload_given_up`."""
    failures: int
    """Attempts in a row that the target as a whole failed."""
    error: str
    """Why, the last time; empty when it works."""
    error_ns: int
    """When."""
    success_ns: int
    """When something was delivered last; 0: never."""
    delivered: int
    """Deliveries that it has proved, ever."""
    delivered_bytes: int
    """Their bytes."""
    lost: int = 0
    """Deliveries that were given up and whose recordings were erased here, as the policy says, in the last day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxStatus:
    """The carrier's file delivery."""

    able: bool
    """Whether something can be received now."""
    trouble: str
    """Why not, or why nothing of it can be stored; empty when all is well."""
    waiting: int
    """Files that are not stored yet."""
    set_aside: int
    """Files in quarantine: alarm `inbox_rejected`."""
    stored: int
    """Calls that were stored since the start of the process."""
    countdown: Countdown | None
    """While nothing can be received: alarm `carrier_deletes` after 1, 3 and 6 days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadStatus:
    """All targets."""

    schema: Literal["rokubox.upload/1"] = "rokubox.upload/1"
    """Name and version of this form."""
    at_ns: int
    """When this was written. Older than a few minutes: `rokubox-upload` is not running."""
    trouble: str
    """Why nothing can be delivered at all at present; empty when all is well."""
    targets: tuple[TargetStatus, ...]
    """In the configuration's order, then those that are in it no more."""
    inbox: InboxStatus | None = None
    """None where nothing is received."""
