"""What retention plans with: a call in the archive, with all its parts and its record. Pure."""

from dataclasses import dataclass
from datetime import date

DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One call. Calls are erased as a whole, never single parts of them."""

    call_id: str
    """The call's id."""
    position: int
    """Number of its newest ledger entry: the order in which calls came into the archive, whatever the clock said."""
    archived_ns: int
    """When it had come at the latest, on the guard's line of real elapsed time (`clockguard`)."""
    bytes: int
    """Room that it takes on the disk."""
    day: str = ""
    """Local date of its start, `YYYY-MM-DD`, in whose folder its record lies."""
    enterprise: str | None = None
    """Enterprise ID."""
    line: str | None = None
    """Contracted line, in the form that the policy's lines are in."""
    is_open: bool = False
    """The call goes on, or its record was not written yet."""
    is_pending: bool = False
    """An upload of it is not done yet."""
    is_held: bool = False
    """A legal hold names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Now, as far as retention may know it."""

    elapsed_ns: int
    """Real time that has passed at least, on the line of `Holding.archived_ns`."""
    confirmed_on: date | None
    """The date that today is everywhere on earth, when the clock was confirmed within 24 hours; else None."""

    def age_ns(self, holding: Holding) -> int:
        """How long a call has been in the archive, at least."""
        return max(0, self.elapsed_ns - holding.archived_ns)
