"""Reading the index: calls by search or by id, and what is known of each. Many may read while one writes.

A reader sees one state of the index from `with` to its end, and should end soon: what was erased leaves the log only
when nobody reads an older state.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from storage.errors import IndexDamagedError
from storage.index import schema, sums
from storage.index.conditions import Parameter, outcome_places
from storage.index.plan import Drive, Facts, choose, conditions
from storage.index.query import MAX_PAGE, After, Query, Sort
from storage.index.rows import DIRECTIONS, LATEST_NS, OUTCOMES, REASONS, PartRow, places
from storage.index.statement import COLUMNS, build, count
from storage.index.totals import Total, TotalsQuery, totals
from storage.timestamps import NS_PER_S
from storage.vocabulary import Direction, Outcome, Reason

COUNT_LIMIT = 20_000
"""Calls that meet a condition are counted so far; more are many."""
_BLOCK = 4096
_STOCK = """
SELECT c.call_id, c.day, c.started_ns, c.line,
  coalesce((SELECT sum((p.size_bytes + ? - 1) / ? * ?) FROM parts AS p WHERE p.n = c.n), 0)
FROM calls AS c WHERE c.outcome > 0
"""
_ALWAYS = (0, 99991231)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A call that was found."""

    n: int
    call_id: str
    started_ns: int
    ended_ns: int
    offset_min: int
    """Offset of its local time from UTC in minutes."""
    enterprise: str
    line: str
    direction: Direction
    outcome: Outcome | None
    """None while the call is in progress."""
    reasons: tuple[Reason, ...]
    """The deciding one first."""
    length_ms: int
    mos: float | None
    completeness: float | None
    dtmf: int
    holds: int
    caller: str
    callee: str
    parts: tuple[PartRow, ...]
    legal_holds: tuple[str, ...]
    """Names of the legal holds on it."""

    @property
    def started_at(self) -> datetime:
        """Local time of the start, rounded down to the microsecond."""
        zone = timezone(timedelta(minutes=self.offset_min))
        return datetime.fromtimestamp(self.started_ns // NS_PER_S, zone).replace(
            microsecond=self.started_ns % NS_PER_S // 1000
        )


class Stocked(NamedTuple):
    """A call that has ended, as retention looks at it."""

    call_id: str
    day: str
    """Local date of its start, `YYYY-MM-DD`, in whose folder its record lies."""
    enterprise: str
    line: str
    bytes: int
    """Room that its parts take, in whole blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of answers."""

    hits: tuple[Hit, ...]
    after: After | None
    """Where the next page begins; None when there is none."""


class IndexReader:
    """One state of an index. A context. Raises IndexMissingError, IndexDamagedError or ArchiveError."""

    def __init__(self, path: Path) -> None:
        self._connection = schema.open_reading(path)
        with self._errors():
            self._connection.execute("BEGIN")
            self.generation = str(self._meta("generation"))
            """Changes when the index is made anew, which renumbers the calls."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @property
    def ledger_size(self) -> int:
        """Entries of the ledger that are in the index."""
        with self._errors():
            return int(self._meta("ledger_size"))

    def count(self) -> int:
        """Calls in the index."""
        with self._errors():
            (count,) = self._connection.execute("SELECT count(*) FROM calls").fetchone()
        return int(count)

    def search(self, query: Query) -> Page:
        """The first page of a query's answers, or the one after `query.after`."""
        with self._errors():
            facts = self.facts(query)
            text, parameters = build(query, facts, choose(query, facts))
            rows = self._connection.execute(text, parameters).fetchall()
            limit = min(query.limit, MAX_PAGE)
            hits = tuple(self._hit(row) for row in rows[:limit])
        more = len(rows) > limit
        return Page(hits=hits, after=_after(query.sort, hits[-1]) if more else None)

    def calls(self, prefix: str, limit: int = 2) -> tuple[Hit, ...]:
        """The calls whose id begins with these hexadecimal digits, in order of their ids."""
        low, high = (bytes.fromhex(prefix.ljust(64, digit)) for digit in "0f")
        with self._errors():
            rows = self._connection.execute(
                f"SELECT {COLUMNS} FROM calls AS c JOIN lines AS l ON l.id = c.line"
                " WHERE c.call_id BETWEEN ? AND ? ORDER BY c.call_id LIMIT ?",
                (low, high, limit),
            ).fetchall()
            return tuple(self._hit(row) for row in rows)

    def followers(self, call_id: str) -> tuple[tuple[str, str], ...]:
        """The later calls that follow from one: kind of link and call id, in order of time."""
        with self._errors():
            rows = self._connection.execute(
                "SELECT k.kind, c.call_id FROM links AS k JOIN calls AS c USING (n) WHERE k.earlier = ?"
                " ORDER BY c.started_ns, c.n",
                (bytes.fromhex(call_id),),
            ).fetchall()
        return tuple((kind, later.hex()) for kind, later in rows)

    def stock(self) -> Iterator[Stocked]:
        """Every call that has ended, in no order. Raises IndexDamagedError when a date cannot be told from it."""
        with self._errors():
            lines = {
                number: (enterprise, line)
                for number, enterprise, line in self._connection.execute("SELECT id, enterprise, line FROM lines")
            }
            days: dict[int, str] = {}
            for call_id, day, started_ns, line, size in self._connection.execute(_STOCK, (_BLOCK, _BLOCK, _BLOCK)):
                if not 0 < started_ns < LATEST_NS:
                    raise IndexDamagedError("a call of a time that the index cannot hold")
                told = days.setdefault(day, f"{day // 10000:04d}-{day // 100 % 100:02d}-{day % 100:02d}")
                yield Stocked(call_id.hex(), told, *lines[line], size)

    def totals(self, query: TotalsQuery) -> list[Total]:
        """Sums of calls, see `totals`."""
        with self._errors():
            return totals(self._connection, query)

    def facts(self, query: Query) -> Facts:
        """What is known of a query's terms beforehand, as `plan.choose` takes it."""
        line_ids = self._line_ids(query)
        days = _days(query)
        total = self._summed([sums.ALL], days)
        everything = total if days == _ALWAYS else self._summed([sums.ALL], _ALWAYS)
        counts = []
        if query.in_progress:
            counts.append((Drive.OUTCOME, 0))
        elif query.outcomes:
            counts.append((Drive.OUTCOME, self._summed(outcome_places(query), days)))
        counts += [(drive, self._number(*count(query, line_ids, drive, COUNT_LIMIT))) for drive in conditions(query)]
        return Facts(everything=everything, total=total, counts=tuple(counts), line_ids=line_ids)

    def _line_ids(self, query: Query) -> tuple[int, ...] | None:
        if not query.lines and query.enterprise is None:
            return None
        marks = ", ".join("?" * len(query.lines))
        text = f"searchable IN ({marks})" if query.lines else "TRUE"
        parameters: list[str] = list(query.lines)
        if query.enterprise is not None:
            text += " AND enterprise = ?"
            parameters.append(query.enterprise)
        found = self._connection.execute(f"SELECT id FROM lines WHERE {text} ORDER BY id", parameters)
        return tuple(number for (number,) in found)

    def _summed(self, outcomes: Sequence[int], days: tuple[int, int]) -> int:
        """Calls by the daily sums."""
        marks = ", ".join("?" * len(outcomes))
        return self._number(
            f"SELECT coalesce(sum(calls), 0) FROM daily WHERE outcome IN ({marks}) AND line = ?"
            " AND day BETWEEN ? AND ?",
            [*outcomes, sums.ALL, *days],
        )

    def _number(self, text: str, parameters: Sequence[Parameter]) -> int:
        (number,) = self._connection.execute(text, parameters).fetchone()
        return int(number)

    def _meta(self, name: str) -> int | str:
        value: int | str
        (value,) = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return value

    def _hit(self, row: tuple[Any, ...]) -> Hit:
        """A row of `COLUMNS`, with what lies in other tables."""
        n, call_id, started_ns, ended_ns, offset_min, enterprise, line, direction, outcome, reasons, deciding = row[:11]
        parts = self._connection.execute(
            "SELECT number, day, samples, size_bytes FROM parts WHERE n = ? ORDER BY number", (n,)
        )
        holds = self._connection.execute("SELECT name FROM legal_holds WHERE n = ? ORDER BY name", (n,))
        return Hit(
            n=n,
            call_id=call_id.hex(),
            started_ns=started_ns,
            ended_ns=ended_ns,
            offset_min=offset_min,
            enterprise=enterprise,
            line=line,
            direction=DIRECTIONS[direction - 1],
            outcome=OUTCOMES[outcome - 1] if outcome else None,
            reasons=tuple(REASONS[at - 1] for at in sorted(places(reasons), key=lambda at: at != deciding)),
            length_ms=row[11],
            mos=row[12],
            completeness=row[13],
            dtmf=row[14],
            holds=row[15],
            caller=row[16],
            callee=row[17],
            parts=tuple(
                PartRow(number=number, day=day, samples=samples, size_bytes=size_bytes)
                for number, day, samples, size_bytes in parts
            ),
            legal_holds=tuple(name for (name,) in holds),
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise schema.from_sqlite(error, "read the index") from error


def _days(query: Query) -> tuple[int, int]:
    """Dates that surely cover the query's time, whatever the offset, as YYYYMMDD."""
    first = _ALWAYS[0] if query.from_ns is None else _day(query.from_ns, -1)
    last = _ALWAYS[1] if query.to_ns is None else _day(query.to_ns, 1)
    return first, last


def _day(instant_ns: int, shift: int) -> int:
    moment = datetime.fromtimestamp(max(instant_ns, 0) // NS_PER_S, UTC) + timedelta(days=shift)
    return moment.year * 10000 + moment.month * 100 + moment.day


def _after(sort: Sort, hit: Hit) -> After:
    if sort is Sort.TIME:
        return After(value=hit.started_ns, n=hit.n)
    if sort is Sort.LENGTH:
        return After(value=hit.length_ms, n=hit.n)
    assert hit.mos is not None, "a call without a figure in an order by quality"
    return After(value=hit.mos, n=hit.n)
