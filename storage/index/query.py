"""What can be asked of the index. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from storage.index.rows import Role
from storage.vocabulary import Direction, Outcome, Reason

MAX_PAGE = 1000


class Sort(StrEnum):
    """Order of the answers."""

    TIME = "time"
    LENGTH = "length"
    QUALITY = "quality"
    """Calls without a figure are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberMatch:
    """A number that one side of the call must have."""

    searchable: str
    """In its searchable form, see `numbers`."""
    prefix: bool = False
    """It is the beginning of the number."""
    roles: Role = Role.CALLER | Role.CALLEE | Role.DIVERTING
    """Whose it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """Where the last page ended."""

    value: int | float
    """Its last call's place in the order."""
    n: int
    """That call's number in the index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is searched for: every condition given must hold."""

    number: NumberMatch | None = None
    lines: tuple[str, ...] = ()
    """Searchable forms of contracted lines."""
    enterprise: str | None = None
    from_ns: int | None = None
    """Starts at this instant or later."""
    to_ns: int | None = None
    """Starts before this instant."""
    directions: tuple[Direction, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    reasons: tuple[Reason, ...] = ()
    """Has one of these, as the deciding one or not."""
    least_ms: int | None = None
    most_ms: int | None = None
    least_mos: float | None = None
    most_mos: float | None = None
    dtmf: bool | None = None
    holds: bool | None = None
    """One party put the other on hold."""
    legal_hold: bool | None = None
    in_progress: bool | None = None
    """Has parts and no record yet."""
    sort: Sort = Sort.TIME
    descending: bool = True
    limit: int = 50
    after: After | None = None
