"""Traffic and call detail summed up by day or month, line and outcome, from the index's daily sums."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from storage.index import sums
from storage.index.daysums import peaks_of, unsettled
from storage.index.rows import OUTCOMES
from storage.vocabulary import Outcome


class Per(StrEnum):
    """Of what time each sum is."""

    DAY = "day"
    MONTH = "month"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalsQuery:
    """What is to be summed up."""

    first_day: int = 0
    """Local date of the start, as YYYYMMDD."""
    last_day: int = 99991231
    per: Per = Per.DAY
    by_line: bool = False
    by_outcome: bool = False
    lines: tuple[str, ...] = ()
    """Searchable forms of the lines wanted, each summed up by itself; all when none is given."""


class Total(NamedTuple):
    """One sum."""

    period: int
    """YYYYMMDD, YYYYMM, or 0 for all."""
    enterprise: str | None
    line: str | None
    """None when lines are summed up together; empty for calls without a line."""
    outcome: Outcome | None
    """None when outcomes are summed up together."""
    calls: int
    incoming: int
    outgoing: int
    length_ms: int
    """Answer to end, of all calls together."""
    peak: int
    """Most calls at one time, from first packet to end."""


_PERIODS = {Per.DAY: "d.day", Per.MONTH: "d.day / 100", Per.ALL: "0"}
_Key = tuple[int, int, int]
"""Period, line, outcome, in the numbers of the tables."""


def statement(query: TotalsQuery) -> tuple[str, list[int | str]]:
    """The statement that sums up, and its parameters: period, line, outcome, names of the line, figures. Pure."""
    by_line = query.by_line or bool(query.lines)
    outcomes = list(range(1, len(OUTCOMES) + 1)) if query.by_outcome else [sums.ALL]
    source, line = ("lines AS l CROSS JOIN daily AS d", "l.id") if by_line else ("daily AS d", str(sums.ALL))
    wanted = f" AND l.searchable IN ({', '.join('?' * len(query.lines))})" if query.lines else ""
    names = "l.enterprise, l.line" if by_line else "NULL, NULL"
    text = (
        f"SELECT {_PERIODS[query.per]} AS period, d.line, d.outcome, {names}, sum(d.calls), sum(d.incoming),"
        f" sum(d.outgoing), sum(d.length_ms), coalesce(max(d.peak), 0) FROM {source}"
        f" WHERE d.outcome IN ({', '.join('?' * len(outcomes))}) AND d.line = {line} AND d.day BETWEEN ? AND ?{wanted}"
        f" GROUP BY period, d.line, d.outcome ORDER BY period, {names}, d.outcome"
    )
    return text, [*outcomes, query.first_day, query.last_day, *query.lines]


def totals(connection: sqlite3.Connection, query: TotalsQuery) -> list[Total]:
    """The sums, in order of time, line and outcome; what has no call is left out."""
    found: dict[_Key, Total] = {}
    for period, line, outcome, enterprise, name, calls, incoming, outgoing, length_ms, peak in connection.execute(
        *statement(query)
    ):
        term = OUTCOMES[outcome - 1] if outcome else None
        found[period, line, outcome] = Total(period, enterprise, name, term, calls, incoming, outgoing, length_ms, peak)
    days = [day for day in unsettled(connection) if query.first_day <= day <= query.last_day]
    _raise_peaks(connection, query.per, days, found)
    return [total for total in found.values() if total.calls or total.peak]


def _raise_peaks(connection: sqlite3.Connection, per: Per, days: Sequence[int], found: dict[_Key, Total]) -> None:
    """Take in the peaks of days that nobody has worked out yet."""
    for day in days:
        period = {Per.DAY: day, Per.MONTH: day // 100, Per.ALL: 0}[per]
        for (outcome, line), peak in peaks_of(connection, day).items():
            total = found.get((period, line, outcome))
            if total is not None and peak > total.peak:
                found[period, line, outcome] = total._replace(peak=peak)
