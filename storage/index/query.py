"""What is searched for, as SQL and parameters. Pure.

A search walks one index of the database and looks at what it meets: the one of its order (time, length, quality), from
where the last page ended, or that of a condition (number, line, outcome ...), whichever is to meet fewer calls by the
counts known beforehand. Only the first need not be sorted.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from storage.index.rows import DIRECTIONS, OUTCOMES, REASONS, Role, bits, place
from storage.vocabulary import Direction, Outcome, Reason

MAX_PAGE = 1000
_NOTHING = -1
"""No column has it."""
_LOOK_AT_NUMBERS = 5
"""So many times as much it costs to look at the numbers of a call as to meet it."""
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
    _add_after(query, value, walk.n, where)
    text = (
        f"SELECT {COLUMNS} FROM {walk.source} CROSS JOIN lines AS l ON l.id = c.line WHERE {where.text()}"
        f" ORDER BY {_order(query, value, walk.n)} LIMIT ?"
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
    return _walk_calls(query.sort)


def _walk_quality(_query: Query, _facts: Facts, where: _Where) -> _Walk:
    where.add("c.mos IS NOT NULL")
    return _walk_calls(Drive.QUALITY)


def _walk_calls(index: str) -> _Walk:
    return _Walk(source=f"calls AS c INDEXED BY calls_{index}")


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
    text = "SELECT DISTINCT p.started_ns, p.n FROM numbers AS m CROSS JOIN parties AS p ON p.number = m.id WHERE "
    if _is_told_by_parties(query):
        # The page is found without looking at a single call.
        _add_after(query, "p.started_ns", "p.n", inner)
        text += f"{inner.text()} ORDER BY {_order(query, 'p.started_ns', 'p.n')} LIMIT {min(query.limit, MAX_PAGE) + 1}"
    else:
        text += inner.text()
    return _Walk(source=f"({text}) AS d CROSS JOIN calls AS c ON c.n = d.n", parameters=tuple(inner.parameters))


def _is_told_by_parties(query: Query) -> bool:
    """Whether number, time, line and outcome are all that matters."""
    others = replace(query, number=None, lines=(), enterprise=None, from_ns=None, to_ns=None, outcomes=(), after=None)
    return others == Query(limit=query.limit, descending=query.descending)


_WALKS: Mapping[Drive, Callable[[Query, Facts, _Where], _Walk]] = {
    Drive.ORDER: _walk_order,
    Drive.TIME: lambda _query, _facts, _where: _walk_calls(Drive.TIME),
    Drive.LENGTH: lambda _query, _facts, _where: _walk_calls(Drive.LENGTH),
    Drive.QUALITY: _walk_quality,
    Drive.LINE: lambda _query, _facts, _where: _walk_calls(Drive.LINE),
    Drive.OUTCOME: lambda _query, _facts, _where: _walk_calls(Drive.OUTCOME),
    Drive.REASON: _walk_reason,
    Drive.NUMBER: _walk_number,
    Drive.DTMF: lambda _query, _facts, _where: _walk_calls(Drive.DTMF),
    Drive.HOLDS: lambda _query, _facts, _where: _walk_calls(Drive.HOLDS),
    Drive.LEGAL_HOLD: _walk_legal_hold,
}


def _order(query: Query, value: str, n: str) -> str:
    way = "DESC" if query.descending else "ASC"
    return f"{value} {way}, {n} {way}"


def _add_after(query: Query, value: str, n: str, where: _Where) -> None:
    if query.after is not None:
        where.add(f"({value}, {n}) {'<' if query.descending else '>'} (?, ?)", query.after.value, query.after.n)


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
            return drive in (Drive.DTMF, Drive.HOLDS)


def outcome_places(query: Query) -> list[int]:
    """The outcomes asked for as the index has them; none when any will do, 0 for a call in progress."""
    if query.in_progress:
        return [0]
    return [place(outcome, OUTCOMES) for outcome in query.outcomes]


def conditions(query: Query) -> list[Drive]:
    """What is asked for that has an index of its own, outcome and time apart."""
    asked = {
        Drive.LINE: bool(query.lines) or query.enterprise is not None,
        Drive.NUMBER: query.number is not None,
        Drive.REASON: bool(query.reasons),
        Drive.DTMF: query.dtmf is True,
        Drive.HOLDS: query.holds is True,
        Drive.LEGAL_HOLD: query.legal_hold is True,
        Drive.LENGTH: _limits(query, Drive.LENGTH) != (None, None),
        Drive.QUALITY: _limits(query, Drive.QUALITY) != (None, None),
    }
    return [drive for drive, is_asked in asked.items() if is_asked]


def count(query: Query, line_ids: Sequence[int] | None, drive: Drive, limit: int) -> tuple[str, list[Parameter]]:
    """The statement that counts the calls within the query's time that meet one condition alone, up to a limit.

    Those of a length or quality, or on a legal hold, are counted whenever they were.
    """
    where = _Where()
    source = f"calls AS c INDEXED BY calls_{drive}"
    time = "c.started_ns"
    match drive:
        case Drive.LINE:
            where.add_choice("c.line", line_ids or ())
        case Drive.NUMBER:
            assert query.number is not None
            where.add(*_range(query.number))
            where.add("p.roles & ?", query.number.roles.value)
            source, time = "numbers AS m CROSS JOIN parties AS p ON p.number = m.id", "p.started_ns"
        case Drive.REASON:
            where.add_choice("reason", [place(reason, REASONS) for reason in query.reasons])
            source, time = "reasons", "started_ns"
        case Drive.LEGAL_HOLD:
            source, time = "legal_holds", ""
        case Drive.LENGTH | Drive.QUALITY:
            _add_limits(query, drive, where)
            time = ""
        case _:
            where.add(f"c.{drive} > 0")
    if time:
        _add_span(query, time, where)
    return f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {where.text()} LIMIT ?)", [*where.parameters, limit]


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
    for drive in (Drive.LENGTH, Drive.QUALITY):
        _add_limits(query, drive, where)


def _limits(query: Query, drive: Drive) -> tuple[float | None, float | None]:
    """Least and greatest length or quality asked for."""
    return (query.least_ms, query.most_ms) if drive is Drive.LENGTH else (query.least_mos, query.most_mos)


def _add_limits(query: Query, drive: Drive, where: _Where) -> None:
    column = "c.length_ms" if drive is Drive.LENGTH else "c.mos"
    least, most = _limits(query, drive)
    if drive is Drive.QUALITY and (least, most) != (None, None):
        where.add("c.mos IS NOT NULL")
    if least is not None:
        where.add(f"{column} >= ?", least)
    if most is not None:
        where.add(f"{column} <= ?", most)


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
