"""What the queue knows: deliveries, how their targets do, and calls of which all is delivered. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    PROVEN = "proven"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPart:
    """A finished part that is to be delivered."""

    call_id: str
    part: int
    file: str
    """File name of its ZIP or WAV."""
    enterprise: str
    day: str
    """Local date of the part's start."""
    call_json_sha256: str
    wav_sha256: str
    targets: tuple[str, ...]
    erases: bool
    """Its call may be erased here because of delivery."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One part for one target."""

    n: int
    call_id: str
    part: int
    target: str
    file: str
    enterprise: str
    call_json_sha256: str
    wav_sha256: str
    taken_ns: int
    """Wall clock when it was taken in, to be shown."""
    since_s: float
    """Running time when delivery began to be tried."""
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A delivery that has ended, of which the ledger does not know yet."""

    n: int
    call_id: str
    part: int
    target: str
    enterprise: str
    state: str
    proof: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class TargetState:
    """How a target does."""

    name: str
    failures: int
    """In a row."""
    next_s: float
    error: str
    error_ns: int
    success_ns: int
    delivered: int
    bytes: int
    given_up: int


@dataclass(frozen=True, slots=True)
class DoneCall:
    """A call of which every delivery has ended and is in the ledger."""

    call_id: str
    day: str
    enterprise: str
    given_up: int
    """Deliveries that were given up."""
