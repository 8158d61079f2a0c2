"""What the index holds beside its calls: sums by day, peaks, legal holds, and nothing that belongs to no call."""

import sqlite3
from collections.abc import Iterable, Iterator

from storage.index import daysums, sums
from storage.ledger.entries import Hold
from storage.retention import holds

_CALLS = """
SELECT outcome, line, day, count(*), sum(direction = 1), sum(direction = 2), sum(length_ms) FROM calls
WHERE outcome > 0 GROUP BY outcome, line, day
"""
_SUMS = "SELECT outcome, line, day, calls, incoming, outgoing, length_ms FROM daily WHERE calls > 0"
_OF_NO_CALL = (
    *(
        (table, f"SELECT 1 FROM {table} AS x WHERE NOT EXISTS (SELECT 1 FROM calls AS c WHERE c.n = x.n) LIMIT 1")
        for table in ("parts", "parties", "reasons", "legal_holds", "links", "overnight")
    ),
    ("numbers", "SELECT 1 FROM numbers WHERE NOT EXISTS (SELECT 1 FROM parties WHERE number = id) LIMIT 1"),
)


def differences(connection: sqlite3.Connection, said: Iterable[Hold]) -> Iterator[str]:
    """What is different, in words without callers' numbers. `said`: the ledger's holds, as far as the index is."""
    if _summed(connection) != {row[:3]: list(row[3:]) for row in connection.execute(_SUMS)}:
        yield "its sums by day are not those of its calls"
    days = connection.execute("SELECT DISTINCT day FROM daily WHERE peak IS NOT NULL ORDER BY day").fetchall()
    if not all(_is_settled(connection, day) for (day,) in days):
        yield "its most calls at one time are not those of its calls"
    for table, question in _OF_NO_CALL:
        if connection.execute(question).fetchone():
            yield f"its table of {table} holds something of no call"
    yield from _holds(connection, said)


def _summed(connection: sqlite3.Connection) -> dict[sums.Key, list[int]]:
    """Sums of all calls that are there, in every grouping that is kept."""
    found: dict[sums.Key, list[int]] = {}
    for outcome, line, day, *figures in connection.execute(_CALLS):
        for key in sums.groups(outcome, line, day):
            known = found.setdefault(key, [0, 0, 0, 0])
            known[:] = [a + b for a, b in zip(known, figures, strict=True)]
    return found


def _is_settled(connection: sqlite3.Connection, day: int) -> bool:
    """Whether the peaks of a day, as far as they are known, are right."""
    found = daysums.peaks_of(connection, day)
    rows = connection.execute("SELECT outcome, line, peak FROM daily WHERE day = ? AND peak IS NOT NULL", (day,))
    return all(found.get((outcome, line), 0) == peak for outcome, line, peak in rows)


def _holds(connection: sqlite3.Connection, said: Iterable[Hold]) -> Iterator[str]:
    calls = dict(connection.execute("SELECT hex(call_id), n FROM calls").fetchall())
    wanted = {
        (calls[call_id.upper()], name)
        for call_id, names in holds.in_force(said).by_call.items()
        if call_id.upper() in calls
        for name in names
    }
    if set(connection.execute("SELECT n, name FROM legal_holds").fetchall()) != wanted:
        yield "its legal holds are not those of the ledger"
