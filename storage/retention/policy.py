"""How long recordings are kept, by enterprise ID and line. Pure.

A line's own rule stands in place of its enterprise's, an enterprise's in place of the default; none is mixed with
another. Recordings under one rule share its `max_bytes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated

from msgspec import Meta

MAX_DAYS = 3653
"""Ten years."""
Days = Annotated[int, Meta(ge=0, le=MAX_DAYS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """`retention = {...}`: how long recordings are kept. Days are 24 hours in the archive, whatever a clock says."""

    keep_days: Days = 0
    """Erased after so long; 0: only when their room is needed."""
    minimum_days: Days = 0
    """Younger ones are erased neither for room nor because of `max_bytes`."""
    max_bytes: Annotated[int, Meta(ge=0)] = 0
    """Of what is more, the oldest are erased; 0: no bound."""

    def problem(self) -> str:
        """What is wrong with it; empty when nothing is."""
        if 0 < self.keep_days < self.minimum_days:
            return f"minimum_days = {self.minimum_days} is longer than keep_days = {self.keep_days}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The rule that holds for a recording."""

    name: str
    """Where it stands, for people and for the ledger; names no number."""
    retention: Retention
    """What it says."""
    ended_on: date | None = None
    """The day from which everything under it is to be erased; None while the contract goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterprisePolicy:
    """The rules of one enterprise ID."""

    rule: Rule
    """Holds for its lines and for what concerns none of them."""
    lines: Mapping[str, Rule] = field(default_factory=dict)
    """Rules of single lines, by the line's number in the form that `Policy.rule` is asked with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All rules."""

    default: Rule
    """For recordings under no enterprise ID, or under one that is not configured any more."""
    enterprises: Mapping[str, EnterprisePolicy] = field(default_factory=dict)
    """By enterprise ID."""

    def rule(self, enterprise: str | None, line: str | None) -> Rule:
        """The rule for a recording of this line of this enterprise."""
        known = self.enterprises.get(enterprise or "")
        if known is None:
            return self.default
        return known.lines.get(line or "", known.rule)
