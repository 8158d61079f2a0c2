"""The conditions of a query as SQL: texts that must all hold, and their parameters in order. Pure."""

from collections.abc import Sequence

from storage.index.plan import Drive, Facts, limits
from storage.index.query import NumberMatch, Query
from storage.index.rows import DIRECTIONS, OUTCOMES, bits, place

Parameter = int | float | str
_NOTHING = -1
"""No column has it."""


class Where:
    """Conditions that must all hold, and their parameters in order."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.parameters: list[Parameter] = []

    def add(self, text: str, *parameters: Parameter) -> None:
        """One more condition."""
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
        """All of them."""
        return " AND ".join(self._texts) or "TRUE"


def outcome_places(query: Query) -> list[int]:
    """The outcomes asked for as the index has them; none when any will do, 0 for a call in progress."""
    if query.in_progress:
        return [0]
    return [place(outcome, OUTCOMES) for outcome in query.outcomes]


def add_span(query: Query, time: str, where: Where) -> None:
    """The query's time, on this column."""
    if query.from_ns is not None:
        where.add(f"{time} >= ?", query.from_ns)
    if query.to_ns is not None:
        where.add(f"{time} < ?", query.to_ns)


def add_line_and_outcome(query: Query, facts: Facts, table: str, where: Where) -> None:
    """What `calls` and `parties` both have, on this table."""
    if facts.line_ids is not None:
        where.add_choice(f"{table}.line", facts.line_ids)
    if places := outcome_places(query):
        where.add_choice(f"{table}.outcome", places)


def add_sets(query: Query, facts: Facts, where: Where) -> None:
    """Everything that is one of a closed set."""
    add_line_and_outcome(query, facts, "c", where)
    if query.in_progress is False:
        where.add("c.outcome > 0")
    if query.directions:
        where.add_choice("c.direction", [place(direction, DIRECTIONS) for direction in query.directions])
    if query.reasons:
        where.add("c.reasons & ?", bits(query.reasons))
    if query.legal_hold is not None:
        there = "EXISTS" if query.legal_hold else "NOT EXISTS"
        where.add(f"{there} (SELECT 1 FROM legal_holds AS x WHERE x.n = c.n)")


def add_figures(query: Query, where: Where) -> None:
    """Everything that is counted or measured."""
    for column, wanted in (("c.dtmf", query.dtmf), ("c.holds", query.holds)):
        if wanted is not None:
            where.add(f"{column} > 0" if wanted else f"{column} = 0")
    for drive in (Drive.LENGTH, Drive.QUALITY):
        add_limits(query, drive, where)


def add_limits(query: Query, drive: Drive, where: Where) -> None:
    """Least and greatest length or quality."""
    column = "c.length_ms" if drive is Drive.LENGTH else "c.mos"
    least, most = limits(query, drive)
    if drive is Drive.QUALITY and (least, most) != (None, None):
        where.add("c.mos IS NOT NULL")
    if least is not None:
        where.add(f"{column} >= ?", least)
    if most is not None:
        where.add(f"{column} <= ?", most)


def add_number(number: NumberMatch, where: Where) -> None:
    """The number, looked up for each call that is met."""
    text, *parameters = number_range(number)
    where.add(
        "EXISTS (SELECT 1 FROM parties AS p CROSS JOIN numbers AS m ON m.id = p.number"
        f" WHERE p.n = c.n AND p.roles & ? AND {text})",
        number.roles.value,
        *parameters,
    )


def number_range(number: NumberMatch) -> tuple[str, *tuple[str, ...]]:
    """The condition on a row of `numbers`, with its parameters. Texts are compared byte by byte."""
    if not number.prefix:
        return ("m.searchable = ?", number.searchable)
    return ("m.searchable >= ? AND m.searchable < ?", number.searchable, number.searchable + "\U0010ffff")
