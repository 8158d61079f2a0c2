"""The statements of the writer, on an open transaction. Errors are SQLite's own; `writer` translates them."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from storage.index import sums
from storage.index.numbers import searchable
from storage.index.rows import CallRow, PartRow, days_after, places

Line = tuple[str, str]
"""Enterprise ID and line."""
_CACHED_NUMBERS = 200_000
_INSERT_CALL = f"INSERT INTO calls VALUES ({', '.join('?' * 18)})"
_ADD_SUMS = """
INSERT INTO daily (outcome, line, day, calls, incoming, outgoing, length_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, incoming = incoming + excluded.incoming,
  outgoing = outgoing + excluded.outgoing, length_ms = length_ms + excluded.length_ms, peak = NULL
"""


class Tables:
    """Changes the tables; keeps nothing but what it has looked up."""

    def __init__(self, connection: sqlite3.Connection, *, filling: bool = False) -> None:
        """`filling`: the tables have no indexes yet, and no call comes twice."""
        self._connection = connection
        self.filling = filling
        """Whether that is so."""
        self._lines: dict[Line, int] = {}
        self._numbers: dict[str, int] = {}

    def forget(self) -> None:
        """Forget what was looked up: a transaction was undone."""
        self._lines.clear()
        self._numbers.clear()

    def meta(self, name: str) -> int:
        """A figure that the index keeps about itself; 0 when it has none of this name."""
        found = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(found[0]) if found else 0

    def set_meta(self, name: str, value: int) -> None:
        """Change such a figure."""
        self._connection.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))

    def count(self) -> int:
        """How many calls are there."""
        (count,) = self._connection.execute("SELECT count(*) FROM calls").fetchone()
        return int(count)

    def has(self, call_id: bytes) -> bool:
        """Whether the call is there."""
        return self._outcome(call_id) is not None

    def parts_by_day(self) -> dict[int, int]:
        """How many parts are there of each date."""
        return dict(self._connection.execute("SELECT day, count(*) FROM parts GROUP BY day").fetchall())

    def has_part(self, digits: str, number: int) -> bool:
        """Whether a part of a call whose id begins with these digits is there."""
        least, greatest = bytes.fromhex(digits.ljust(64, "0")), bytes.fromhex(digits.ljust(64, "f"))
        found = self._connection.execute(
            "SELECT 1 FROM calls JOIN parts USING (n) WHERE call_id BETWEEN ? AND ? AND parts.number = ?",
            (least, greatest, number),
        )
        return found.fetchone() is not None

    def has_ended(self, call_id: bytes) -> bool:
        """Whether the call is there and not as one in progress."""
        found = self._outcome(call_id)
        return found is not None and found[1] > 0

    def parts_of(self, call_id: bytes) -> tuple[PartRow, ...]:
        """The parts of a call that are there."""
        found = self._connection.execute(
            "SELECT p.number, p.day, p.samples, p.size_bytes FROM parts p JOIN calls c USING (n) WHERE c.call_id = ?"
            " ORDER BY p.number",
            (call_id,),
        )
        return tuple(
            PartRow(number=number, day=day, samples=samples, size_bytes=size_bytes)
            for number, day, samples, size_bytes in found
        )

    def put_part(self, call_id: bytes, part: PartRow) -> None:
        """Add a part to a call that is there."""
        self._connection.execute(
            "INSERT OR IGNORE INTO parts SELECT n, ?, ?, ?, ? FROM calls WHERE call_id = ?",
            (part.number, part.day, part.samples, part.size_bytes, call_id),
        )

    def put(self, rows: Sequence[CallRow]) -> None:
        """Add calls; one that is there as a call in progress is replaced, one that has ended is left alone."""
        (last,) = self._connection.execute("SELECT coalesce(max(n), 0) FROM calls").fetchone()
        fresh = []
        for row in rows:
            found = None if self.filling else self._outcome(row.call_id)
            if found is None:
                last += 1
                fresh.append((last, row))
            elif not found[1]:
                self._clear(found[0], row.started_ns)
                fresh.append((found[0], row))
        self._insert(fresh)

    def hold(self, call_ids: Iterable[bytes], name: str) -> None:
        """Put a legal hold on calls."""
        self._connection.executemany(
            "INSERT OR IGNORE INTO legal_holds SELECT n, ? FROM calls WHERE call_id = ?",
            ((name, call_id) for call_id in call_ids),
        )

    def release(self, call_ids: Iterable[bytes], name: str) -> None:
        """Take a legal hold from calls."""
        self._connection.executemany(
            "DELETE FROM legal_holds WHERE name = ? AND n = (SELECT n FROM calls WHERE call_id = ?)",
            ((name, call_id) for call_id in call_ids),
        )

    def remove(self, call_ids: Iterable[bytes]) -> None:
        """Take calls out, what only they need included."""
        numbers: set[int] = set()
        taken: dict[sums.Key, list[int]] = {}
        for n, day, line, direction, outcome, started_ns, length_ms in self._found(call_ids):
            days = [later for (later,) in self._select("SELECT day FROM overnight WHERE n = ?", n)]
            numbers.update(number for (number,) in self._select("SELECT number FROM parties WHERE n = ?", n))
            self._clear(n, started_ns)
            self._connection.execute("DELETE FROM legal_holds WHERE n = ?", (n,))
            if outcome:
                sums.add(taken, sums.groups(outcome, line, day), direction, length_ms, -1)
                for later in days:
                    sums.touch(taken, sums.groups(outcome, line, later))
        self._add_sums(taken)
        self._connection.executemany(
            "DELETE FROM numbers WHERE id = ? AND NOT EXISTS (SELECT 1 FROM parties WHERE number = id)",
            ((number,) for number in numbers),
        )
        self._numbers.clear()
        self.set_meta("removed", self.meta("removed") + 1)

    def remove_parts(self, parts: Iterable[tuple[bytes, int]]) -> None:
        """Take parts out; a call in progress that has none left goes too."""
        for call_id, number in parts:
            self._connection.execute(
                "DELETE FROM parts WHERE n = (SELECT n FROM calls WHERE call_id = ?) AND number = ?", (call_id, number)
            )
            if not self.has_ended(call_id) and not self.parts_of(call_id):
                self.remove([call_id])

    def _outcome(self, call_id: bytes) -> tuple[int, int] | None:
        """Number and outcome of a call that is there."""
        found: tuple[int, int] | None
        found = self._connection.execute("SELECT n, outcome FROM calls WHERE call_id = ?", (call_id,)).fetchone()
        return found

    def _found(self, call_ids: Iterable[bytes]) -> Iterator[tuple[int, ...]]:
        for call_id in call_ids:
            yield from self._connection.execute(
                "SELECT n, day, line, direction, outcome, started_ns, length_ms FROM calls WHERE call_id = ?",
                (call_id,),
            ).fetchall()

    def _select(self, statement: str, n: int) -> list[tuple[int]]:
        return self._connection.execute(statement, (n,)).fetchall()

    def _clear(self, n: int, started_ns: int) -> None:
        """Take out a call's rows, all but its legal holds and sums."""
        for (reasons,) in self._select("SELECT reasons FROM calls WHERE n = ?", n):
            self._connection.executemany(
                "DELETE FROM reasons WHERE reason = ? AND started_ns = ? AND n = ?",
                [(place, started_ns, n) for place in places(reasons)],
            )
        for number, started in self._connection.execute(
            "SELECT number, started_ns FROM parties WHERE n = ?", (n,)
        ).fetchall():
            self._connection.execute(
                "DELETE FROM parties WHERE number = ? AND started_ns = ? AND n = ?", (number, started, n)
            )
        for day in self._select("SELECT day FROM overnight WHERE n = ?", n):
            self._connection.execute("DELETE FROM overnight WHERE day = ? AND n = ?", (*day, n))
        for table in ("parts", "links", "calls"):
            self._connection.execute(f"DELETE FROM {table} WHERE n = ?", (n,))

    def _insert(self, rows: Sequence[tuple[int, CallRow]]) -> None:
        lines = {n: self._line((row.enterprise, row.line)) for n, row in rows}
        numbers = self._number_ids({number for _, row in rows for number, _ in row.numbers})
        insert = self._connection.executemany
        insert(_INSERT_CALL, [_call_values(n, lines[n], row) for n, row in rows])
        insert(
            "INSERT INTO parts VALUES (?, ?, ?, ?, ?)",
            [(n, part.number, part.day, part.samples, part.size_bytes) for n, row in rows for part in row.parts],
        )
        insert(
            f"INSERT INTO {'parties_unsorted' if self.filling else 'parties'} VALUES (?, ?, ?, ?, ?, ?)",
            sorted(
                (numbers[number], row.started_ns, n, roles, lines[n], row.outcome)
                for n, row in rows
                for number, roles in row.numbers
            ),
        )
        insert(
            "INSERT INTO reasons VALUES (?, ?, ?)",
            [(place, row.started_ns, n) for n, row in rows for place in places(row.reasons)],
        )
        insert(
            "INSERT OR IGNORE INTO links VALUES (?, ?, ?)", [(e, n, kind) for n, row in rows for kind, e in row.links]
        )
        later = {n: days for n, row in rows if (days := days_after(row))}
        insert("INSERT INTO overnight VALUES (?, ?)", [(day, n) for n, days in later.items() for day in days])
        added: dict[sums.Key, list[int]] = {}
        for n, row in rows:
            if row.outcome:
                keys = sums.groups(row.outcome, lines[n], row.day)
                sums.add(added, keys, row.direction, row.length_ms, 1)
                for day in later.get(n, ()):
                    sums.touch(added, sums.groups(row.outcome, lines[n], day))
        self._add_sums(added)

    def _add_sums(self, changes: dict[sums.Key, list[int]]) -> None:
        self._connection.executemany(_ADD_SUMS, [(*key, *change) for key, change in sorted(changes.items())])

    def _line(self, line: Line) -> int:
        """The number of a line; one of 0 is never given, it stands for all."""
        if (known := self._lines.get(line)) is None:
            self._connection.execute(
                "INSERT OR IGNORE INTO lines (enterprise, line, searchable) VALUES (?, ?, ?)",
                (*line, searchable(line[1])),
            )
            (known,) = self._connection.execute(
                "SELECT id FROM lines WHERE enterprise = ? AND line = ?", line
            ).fetchone()
            self._lines[line] = known
        return known

    def _number_ids(self, wanted: set[str]) -> dict[str, int]:
        if len(self._numbers) + len(wanted) > _CACHED_NUMBERS:
            self._numbers.clear()
        for number in sorted(wanted - self._numbers.keys()):
            found = self._connection.execute("SELECT id FROM numbers WHERE searchable = ?", (number,)).fetchone()
            if found is None:
                made = self._connection.execute("INSERT INTO numbers (searchable) VALUES (?)", (number,)).lastrowid
                found = (made,)
            self._numbers[number] = found[0]
        return self._numbers


def _call_values(n: int, line: int, row: CallRow) -> tuple[object, ...]:
    return (
        n,
        row.call_id,
        row.started_ns,
        row.ended_ns,
        row.offset_min,
        row.day,
        line,
        row.direction,
        row.outcome,
        row.reasons,
        row.deciding,
        row.length_ms,
        row.mos,
        row.completeness,
        row.dtmf,
        row.holds,
        row.caller,
        row.callee,
    )
