"""A search as one statement of SQL with its parameters. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from storage.index.conditions import (
    Parameter,
    Where,
    add_figures,
    add_limits,
    add_line_and_outcome,
    add_number,
    add_sets,
    add_span,
    number_range,
)
from storage.index.plan import Drive, Facts
from storage.index.query import MAX_PAGE, Query, Sort
from storage.index.rows import REASONS, place

COLUMNS = (
    "c.n, c.call_id, c.started_ns, c.ended_ns, c.offset_min, l.enterprise, l.line, c.direction, c.outcome, c.reasons,"
    " c.deciding, c.length_ms, c.mos, c.completeness, c.dtmf, c.holds, c.caller, c.callee"
)


def build(query: Query, facts: Facts, drive: Drive) -> tuple[str, list[Parameter]]:
    """The statement that walks this index, and its parameters. It gives `COLUMNS` and one call more than the limit."""
    where = Where()
    walk = _WALKS[drive](query, facts, where)
    add_span(query, walk.time, where)
    add_sets(query, facts, where)
    add_figures(query, where)
    if drive is not Drive.NUMBER and query.number is not None:
        add_number(query.number, where)
    value = {Sort.TIME: walk.time, Sort.LENGTH: "c.length_ms", Sort.QUALITY: "c.mos"}[query.sort]
    if query.sort is Sort.QUALITY:
        where.add("c.mos IS NOT NULL")
    _add_after(query, value, walk.n, where)
    text = (
        f"SELECT {COLUMNS} FROM {walk.source} CROSS JOIN lines AS l ON l.id = c.line WHERE {where.text()}"
        f" ORDER BY {_order(query, value, walk.n)} LIMIT ?"
    )
    return text, [*walk.parameters, *where.parameters, min(query.limit, MAX_PAGE) + 1]


def count(query: Query, line_ids: Sequence[int] | None, drive: Drive, limit: int) -> tuple[str, list[Parameter]]:
    """The statement that counts the calls within the query's time that meet one condition alone, up to a limit.

    Those of a length or quality, or on a legal hold, are counted whenever they were.
    """
    where = Where()
    source = f"calls AS c INDEXED BY calls_{drive}"
    time = "c.started_ns"
    match drive:
        case Drive.LINE:
            where.add_choice("c.line", line_ids or ())
        case Drive.NUMBER:
            assert query.number is not None
            where.add(*number_range(query.number))
            where.add("p.roles & ?", query.number.roles.value)
            source, time = "numbers AS m CROSS JOIN parties AS p ON p.number = m.id", "p.started_ns"
        case Drive.REASON:
            where.add_choice("reason", [place(reason, REASONS) for reason in query.reasons])
            source, time = "reasons", "started_ns"
        case Drive.LEGAL_HOLD:
            source, time = "legal_holds", ""
        case Drive.LENGTH | Drive.QUALITY:
            add_limits(query, drive, where)
            time = ""
        case _:
            where.add(f"c.{drive} > 0")
    if time:
        add_span(query, time, where)
    return f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {where.text()} LIMIT ?)", [*where.parameters, limit]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """What a statement goes through."""

    source: str
    time: str = "c.started_ns"
    n: str = "c.n"
    parameters: tuple[Parameter, ...] = ()


def _walk_order(query: Query, _facts: Facts, _where: Where) -> _Walk:
    return _walk_calls(query.sort)


def _walk_quality(_query: Query, _facts: Facts, where: Where) -> _Walk:
    where.add("c.mos IS NOT NULL")
    return _walk_calls(Drive.QUALITY)


def _walk_calls(index: str) -> _Walk:
    return _Walk(source=f"calls AS c INDEXED BY calls_{index}")


def _walk_legal_hold(_query: Query, _facts: Facts, _where: Where) -> _Walk:
    return _Walk(source="(SELECT DISTINCT n FROM legal_holds) AS h CROSS JOIN calls AS c ON c.n = h.n")


def _walk_reason(query: Query, _facts: Facts, where: Where) -> _Walk:
    if len(query.reasons) == 1:
        where.add("r.reason = ?", place(query.reasons[0], REASONS))
        return _Walk(source="reasons AS r CROSS JOIN calls AS c ON c.n = r.n", time="r.started_ns", n="r.n")
    inner = Where()
    inner.add_choice("reason", [place(reason, REASONS) for reason in query.reasons])
    add_span(query, "started_ns", inner)
    source = f"(SELECT DISTINCT n FROM reasons WHERE {inner.text()}) AS r CROSS JOIN calls AS c ON c.n = r.n"
    return _Walk(source=source, parameters=tuple(inner.parameters))


def _walk_number(query: Query, facts: Facts, where: Where) -> _Walk:
    number = query.number
    assert number is not None
    if not number.prefix:
        where.add("p.number = (SELECT id FROM numbers WHERE searchable = ?)", number.searchable)
        where.add("p.roles & ?", number.roles.value)
        add_line_and_outcome(query, facts, "p", where)
        return _Walk(source="parties AS p CROSS JOIN calls AS c ON c.n = p.n", time="p.started_ns", n="p.n")
    inner = Where()
    inner.add(*number_range(number))
    inner.add("p.roles & ?", number.roles.value)
    add_span(query, "p.started_ns", inner)
    add_line_and_outcome(query, facts, "p", inner)
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


_WALKS: Mapping[Drive, Callable[[Query, Facts, Where], _Walk]] = {
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


def _add_after(query: Query, value: str, n: str, where: Where) -> None:
    if query.after is not None:
        where.add(f"({value}, {n}) {'<' if query.descending else '>'} (?, ?)", query.after.value, query.after.n)
