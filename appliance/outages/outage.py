"""An outage, and what happened to it, as lines that are only ever added. Pure.

began     the last moment at which all was still well (the outage is not shorter than it was)
detected  the verdict
notified  the alarm was handed to the NOC
reported  the provider learnt of it, as somebody enters: from then on refunds count
ended     the first moment at which all was well again
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from appliance.diagnosis.domains import BEYOND, Domain


class Service(StrEnum):
    """What is out."""

    RECORDING = "recording"
    """Calls are not recorded, or not seen."""
    TELEPHONY = "telephony"
    """Calls cannot be made."""


class Mark(StrEnum):
    """What a line says."""

    BEGAN = "began"
    NOTIFIED = "notified"
    REPORTED = "reported"
    NAMED = "named"
    """Another verdict says whose it is."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the outage ledger."""

    outage: str
    """Which outage: its service and the second it was detected."""
    mark: Mark
    at_ns: int
    """When what it says happened, nanoseconds since 1970."""
    service: Service | None = None
    """With `began`."""
    began_ns: int | None = None
    """With `began`: `at_ns` is when it was detected."""
    row: str = ""
    """With `began` and `named`: what was recognised."""
    domains: tuple[Domain, ...] = ()
    """With `began` and `named`: whose it is."""
    who: str = ""
    """With `reported`: who reported it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """One outage with all that is known of it."""

    id: str
    service: Service
    rows: tuple[str, ...]
    """What was recognised, in order."""
    domains: tuple[Domain, ...]
    """Whose it is, by the latest verdict."""
    began_ns: int
    detected_ns: int
    notified_ns: int | None = None
    reported_ns: int | None = None
    ended_ns: int | None = None
    """None while it goes on."""

    @property
    def is_providers(self) -> bool:
        """Whether it lies beyond the customer's side, and nowhere else."""
        return bool(self.domains) and set(self.domains) <= BEYOND

    def within(self, begin_ns: int, end_ns: int) -> int:
        """Return how much of an interval it takes; one that goes on lasts to the interval's end."""
        last_ns = end_ns if self.ended_ns is None else self.ended_ns
        return max(0, min(last_ns, end_ns) - max(self.began_ns, begin_ns))


def fold(lines: Iterable[Line]) -> dict[str, Outage]:
    """Return the outages that lines tell of, by id, in order. What belongs to none, or says a thing twice, is left."""
    found: dict[str, Outage] = {}
    for line in lines:
        outage = found.get(line.outage)
        if line.mark is Mark.BEGAN and outage is None and line.service is not None:
            found[line.outage] = Outage(
                id=line.outage,
                service=line.service,
                rows=(line.row,),
                domains=line.domains,
                began_ns=line.at_ns if line.began_ns is None else line.began_ns,
                detected_ns=line.at_ns,
            )
        elif outage is not None:
            found[line.outage] = _marked(outage, line)
    return found


def _marked(outage: Outage, line: Line) -> Outage:
    match line.mark:
        case Mark.NOTIFIED if outage.notified_ns is None:
            return replace(outage, notified_ns=line.at_ns)
        case Mark.REPORTED if outage.reported_ns is None:
            return replace(outage, reported_ns=line.at_ns)
        case Mark.NAMED:
            rows = outage.rows if line.row in outage.rows else (*outage.rows, line.row)
            return replace(outage, rows=rows, domains=line.domains)
        case Mark.ENDED if outage.ended_ns is None:
            return replace(outage, ended_ns=line.at_ns)
    return outage
