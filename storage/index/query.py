"""What is searched for, as SQL and parameters. Pure.

A search walks one index of the database and looks at what it meets: the one of its order (time, length, quality), from
where the last page ended, or that of a condition (number, line, outcome ...), whichever is to meet fewer calls by the
counts known beforehand. Only the first need not be sorted.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from storage.index.rows import DIRECTIONS, OUTCOMES, REASONS, Role, bits, place
from storage.vocabulary import Direction, Outcome, Reason

MAX_PAGE = 1000
_NOTHING = -1
"""No column has it."""
COLUMNS = (
    "c.n, c.call_id, c.started_ns, c.ended_ns, c.offset_min, l.enterprise, l.line, c.direction, c.outcome, c.reasons,"
    " c.deciding, c.length_ms, c.mos, c.completeness, c.dtmf, c.holds, c.caller, c.callee"
)
Parameter = int | float | str


class Sort(StrEnum):
    """Order of the answers."""

    TIME = "time"
    LENGTH = "length"
    QUALITY = "quality"
    """Calls without a figure are left out."""


class Drive(StrEnum):
    """The index that is walked."""

    ORDER = "order"
    LINE = "line"
    OUTCOME = "outcome"
    REASON = "reason"
    NUMBER = "number"
    DTMF = "dtmf"
    HOLDS = "holds"
    LEGAL_HOLD = "legal_hold"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the index knows of a query's terms beforehand."""

    total: int
    """Calls within the query's time."""
    counts: tuple[tuple[Drive, int], ...]
    """Calls within the query's time that meet one condition alone, exactly or up to a limit."""
    line_ids: tuple[int, ...] | None = None
    """Lines that fit; None when any does."""


def choose(query: Query, facts: Facts) -> Drive:
    """The index to walk: that which is to meet fewest calls before the page is full."""
    total = max(facts.total, 1)
    hits = total * math.prod(count / total for _, count in facts.counts)
    share = min(query.limit / max(hits, 1e-9), 1.0)
    costs = {Drive.ORDER: total * share}
    for drive, count in facts.counts:
        costs[drive] = count * share if _is_in_order(query, facts, drive) else float(count)
    return min(costs, key=lambda drive: costs[drive])


def build(query: Query, facts: Facts, drive: Drive) -> tuple[str, list[Parameter]]:
    """The statement that walks this index, and its parameters. It gives `COLUMNS` and one call more than the limit."""
    where = _Where()
    walk = _WALKS[drive](query, facts, where)
    _add_span(query, walk.time, where)
    _add_sets(query, facts, where)
    _add_figures(query, where)
    if drive is not Drive.NUMBER and query.number is not None:
        _add_number(query.number, where)
    value = {Sort.TIME: walk.time, Sort.LENGTH: "c.length_ms", Sort.QUALITY: "c.mos"}[query.sort]
    if query.sort is Sort.QUALITY:
        where.add("c.mos IS NOT NULL")
    if query.after is not None:
        sign = "<" if query.descending else ">"
        where.add(f"({value}, {walk.n}) {sign} (?, ?)", query.after.value, query.after.n)
    way = "DESC" if query.descending else "ASC"
    text = (
        f"SELECT {COLUMNS} FROM {walk.source} CROSS JOIN lines AS l ON l.id = c.line WHERE {where.text()}"
        f" ORDER BY {value} {way}, {walk.n} {way} LIMIT ?"
    )
    return text, [*walk.parameters, *where.parameters, min(query.limit, MAX_PAGE) + 1]


class _Where:
    """Conditions that must all hold, and their parameters in order."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.parameters: list[Parameter] = []

    def add(self, text: str, *parameters: Parameter) -> None:
        self._texts.append(text)
        self.parameters += parameters

    def add_choice(self, column: str, values: Sequence[int]) -> None:
        """One of the values; a single one as an equation, so that an index that goes on with the time is in order."""
        if len(values) > 1:
            self.add(f"{column} IN ({', '.join('?' * len(values))})", *values)
        else:
            # SQLite finds no way to a partial index behind an empty list.
            self.add(f"{column} = ?", *(values or (_NOTHING,)))

    def text(self) -> str:
        return " AND ".join(self._texts) or "TRUE"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """What a statement goes through."""

    source: str
    time: str = "c.started_ns"
    n: str = "c.n"
    parameters: tuple[Parameter, ...] = ()


def _walk_order(query: Query, _facts: Facts, _where: _Where) -> _Walk:
    return _Walk(source=f"calls AS c INDEXED BY calls_{query.sort}")


def _walk_line(_query: Query, _facts: Facts, _where: _Where) -> _Walk:
    return _Walk(source="calls AS c INDEXED BY calls_line")


def _walk_outcome(_query: Query, _facts: Facts, _where: _Where) -> _Walk:
    return _Walk(source="calls AS c INDEXED BY calls_outcome")


def _walk_dtmf(_query: Query, _facts: Facts, _where: _Where) -> _Walk:
    return _Walk(source="calls AS c INDEXED BY calls_dtmf")


def _walk_holds(_query: Query, _facts: Facts, _where: _Where) -> _Walk:
    return _Walk(source="calls AS c INDEXED BY calls_holds")


def _walk_legal_hold(_query: Query, _facts: Facts, _where: _Where) -> _Walk:
    return _Walk(source="(SELECT DISTINCT n FROM legal_holds) AS h CROSS JOIN calls AS c ON c.n = h.n")


def _walk_reason(query: Query, _facts: Facts, where: _Where) -> _Walk:
    if len(query.reasons) == 1:
        where.add("r.reason = ?", place(query.reasons[0], REASONS))
        return _Walk(source="reasons AS r CROSS JOIN calls AS c ON c.n = r.n", time="r.started_ns", n="r.n")
    inner = _Where()
    inner.add_choice("reason", [place(reason, REASONS) for reason in query.reasons])
    _add_span(query, "started_ns", inner)
    source = f"(SELECT DISTINCT n FROM reasons WHERE {inner.text()}) AS r CROSS JOIN calls AS c ON c.n = r.n"
    return _Walk(source=source, parameters=tuple(inner.parameters))


def _walk_number(query: Query, facts: Facts, where: _Where) -> _Walk:
    number = query.number
    assert number is not None
    if not number.prefix:
        where.add("p.number = (SELECT id FROM numbers WHERE searchable = ?)", number.searchable)
        where.add("p.roles & ?", number.roles.value)
        _add_line_and_outcome(query, facts, "p", where)
        return _Walk(source="parties AS p CROSS JOIN calls AS c ON c.n = p.n", time="p.started_ns", n="p.n")
    inner = _Where()
    inner.add(*_range(number))
    inner.add("p.roles & ?", number.roles.value)
    _add_span(query, "p.started_ns", inner)
    _add_line_and_outcome(query, facts, "p", inner)
    source = (
        f"(SELECT DISTINCT p.n AS n FROM numbers AS m CROSS JOIN parties AS p ON p.number = m.id WHERE {inner.text()})"
        " AS d CROSS JOIN calls AS c ON c.n = d.n"
    )
    return _Walk(source=source, parameters=tuple(inner.parameters))


_WALKS: Mapping[Drive, Callable[[Query, Facts, _Where], _Walk]] = {
    Drive.ORDER: _walk_order,
    Drive.LINE: _walk_line,
    Drive.OUTCOME: _walk_outcome,
    Drive.REASON: _walk_reason,
    Drive.NUMBER: _walk_number,
    Drive.DTMF: _walk_dtmf,
    Drive.HOLDS: _walk_holds,
    Drive.LEGAL_HOLD: _walk_legal_hold,
}


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
            return len(outcome_places(query)) == 1
        case Drive.REASON:
            return len(query.reasons) == 1
        case _:
            return drive is not Drive.LEGAL_HOLD


def outcome_places(query: Query) -> list[int]:
    """The outcomes asked for as the index has them; none when any will do, 0 for a call in progress."""
    if query.in_progress:
        return [0]
    return [place(outcome, OUTCOMES) for outcome in query.outcomes]


def count_number(query: Query, limit: int) -> tuple[str, list[Parameter]]:
    """The statement that counts the calls within the query's time that have its number, up to a limit."""
    number = query.number
    assert number is not None
    where = _Where()
    where.add(*_range(number))
    where.add("p.roles & ?", number.roles.value)
    _add_span(query, "p.started_ns", where)
    text = (
        "SELECT count(*) FROM (SELECT 1 FROM numbers AS m CROSS JOIN parties AS p ON p.number = m.id"
        f" WHERE {where.text()} LIMIT ?)"
    )
    return text, [*where.parameters, limit]


def count_reasons(query: Query, limit: int) -> tuple[str, list[Parameter]]:
    """The statement that counts the calls within the query's time that have one of its reasons, up to a limit."""
    where = _Where()
    where.add_choice("reason", [place(reason, REASONS) for reason in query.reasons])
    _add_span(query, "started_ns", where)
    return f"SELECT count(*) FROM (SELECT 1 FROM reasons WHERE {where.text()} LIMIT ?)", [*where.parameters, limit]


def count_marked(query: Query, drive: Drive, limit: int) -> tuple[str, list[Parameter]]:
    """The same for calls with keys pressed or holds, and for all calls on a legal hold."""
    if drive is Drive.LEGAL_HOLD:
        return "SELECT count(*) FROM (SELECT 1 FROM legal_holds LIMIT ?)", [limit]
    where = _Where()
    where.add(f"{drive} > 0")
    _add_span(query, "started_ns", where)
    text = f"SELECT count(*) FROM (SELECT 1 FROM calls INDEXED BY calls_{drive} WHERE {where.text()} LIMIT ?)"
    return text, [*where.parameters, limit]


def _add_span(query: Query, time: str, where: _Where) -> None:
    if query.from_ns is not None:
        where.add(f"{time} >= ?", query.from_ns)
    if query.to_ns is not None:
        where.add(f"{time} < ?", query.to_ns)


def _add_line_and_outcome(query: Query, facts: Facts, table: str, where: _Where) -> None:
    if facts.line_ids is not None:
        where.add_choice(f"{table}.line", facts.line_ids)
    if places := outcome_places(query):
        where.add_choice(f"{table}.outcome", places)


def _add_sets(query: Query, facts: Facts, where: _Where) -> None:
    _add_line_and_outcome(query, facts, "c", where)
    if query.in_progress is False:
        where.add("c.outcome > 0")
    if query.directions:
        where.add_choice("c.direction", [place(direction, DIRECTIONS) for direction in query.directions])
    if query.reasons:
        where.add("c.reasons & ?", bits(query.reasons))
    if query.legal_hold is not None:
        there = "EXISTS" if query.legal_hold else "NOT EXISTS"
        where.add(f"{there} (SELECT 1 FROM legal_holds AS x WHERE x.n = c.n)")


def _add_figures(query: Query, where: _Where) -> None:
    for column, wanted in (("c.dtmf", query.dtmf), ("c.holds", query.holds)):
        if wanted is not None:
            where.add(f"{column} > 0" if wanted else f"{column} = 0")
    for text, limit in (
        ("c.length_ms >= ?", query.least_ms),
        ("c.length_ms <= ?", query.most_ms),
        ("c.mos >= ?", query.least_mos),
        ("c.mos <= ?", query.most_mos),
    ):
        if limit is not None:
            where.add(text, limit)


def _add_number(number: NumberMatch, where: _Where) -> None:
    text, *parameters = _range(number)
    where.add(
        "EXISTS (SELECT 1 FROM parties AS p CROSS JOIN numbers AS m ON m.id = p.number"
        f" WHERE p.n = c.n AND p.roles & ? AND {text})",
        number.roles.value,
        *parameters,
    )


def _range(number: NumberMatch) -> tuple[str, *tuple[str, ...]]:
    """The condition on a row of `numbers`, with its parameters. Texts are compared byte by byte."""
    if not number.prefix:
        return ("m.searchable = ?", number.searchable)
    return ("m.searchable >= ? AND m.searchable < ?", number.searchable, number.searchable + "\U0010ffff")
