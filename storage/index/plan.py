"""Which index of the database a search walks. Pure.

A search walks one index and looks at what it meets: the one of its order (time, length, quality), from where the last
page ended, or that of a condition (number, line, outcome ...), whichever is to meet fewer calls by the counts known
beforehand. Only the first need not be sorted.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from storage.index.query import Query, Sort

_LOOK_AT_NUMBERS = 5
"""So many times as much it costs to look at the numbers of a call as to meet it."""


class Drive(StrEnum):
    """The index that is walked."""

    ORDER = "order"
    TIME = "time"
    LENGTH = "length"
    QUALITY = "quality"
    LINE = "line"
    OUTCOME = "outcome"
    REASON = "reason"
    NUMBER = "number"
    DTMF = "dtmf"
    HOLDS = "holds"
    LEGAL_HOLD = "legal_hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the index knows of a query's terms beforehand."""

    everything: int
    """Calls in the index."""
    total: int
    """Calls within the query's time."""
    counts: tuple[tuple[Drive, int], ...]
    """Calls within the query's time that meet one condition alone, exactly or up to a limit."""
    line_ids: tuple[int, ...] | None = None
    """Lines that fit; None when any does."""


def choose(query: Query, facts: Facts) -> Drive:
    """The index to walk: that which is to cost least before the page is full."""
    total = max(facts.total, 1)
    hits = total * math.prod(count / total for _, count in facts.counts)
    share = min(query.limit / max(hits, 1e-9), 1.0)
    costs = {Drive.ORDER: share * (total if query.sort is Sort.TIME else max(facts.everything, 1))}
    if query.sort is not Sort.TIME and (query.from_ns is not None or query.to_ns is not None):
        costs[Drive.TIME] = float(facts.total)
    for drive, count in facts.counts:
        costs[drive] = count * share if _is_in_order(query, facts, drive) else float(count)
    if query.number is not None:
        costs = {drive: cost * (1 if drive is Drive.NUMBER else _LOOK_AT_NUMBERS) for drive, cost in costs.items()}
    return min(costs, key=lambda drive: costs[drive])


def conditions(query: Query) -> list[Drive]:
    """What is asked for that has an index of its own, outcome and time apart."""
    asked = {
        Drive.LINE: bool(query.lines) or query.enterprise is not None,
        Drive.NUMBER: query.number is not None,
        Drive.REASON: bool(query.reasons),
        Drive.DTMF: query.dtmf is True,
        Drive.HOLDS: query.holds is True,
        Drive.LEGAL_HOLD: query.legal_hold is True,
        Drive.LENGTH: limits(query, Drive.LENGTH) != (None, None),
        Drive.QUALITY: limits(query, Drive.QUALITY) != (None, None),
    }
    return [drive for drive, is_asked in asked.items() if is_asked]


def limits(query: Query, drive: Drive) -> tuple[float | None, float | None]:
    """Least and greatest length or quality asked for."""
    return (query.least_ms, query.most_ms) if drive is Drive.LENGTH else (query.least_mos, query.most_mos)


def _is_in_order(query: Query, facts: Facts, drive: Drive) -> bool:
    """Whether walking this index meets calls in the order asked for."""
    if query.sort is not Sort.TIME:
        return False
    match drive:
        case Drive.NUMBER:
            return query.number is not None and not query.number.prefix
        case Drive.LINE:
            return facts.line_ids is not None and len(facts.line_ids) == 1
        case Drive.OUTCOME:
            return query.in_progress is True or len(query.outcomes) == 1
        case Drive.REASON:
            return len(query.reasons) == 1
        case _:
            return drive in (Drive.DTMF, Drive.HOLDS)
