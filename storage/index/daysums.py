"""The most calls at one time on the dates whose sums have changed: worked out from the calls, kept by the writer."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime

from storage.index import sums
from storage.index.rows import LATEST_NS
from storage.timestamps import NS_PER_S

_DAY_S = 86_400
_FURTHEST_S = 26 * 3600
"""No local time is further from UTC, the tz database's oldest included."""


def settle(connection: sqlite3.Connection) -> None:
    """Bring all dates up to date, on an open transaction."""
    for day in unsettled(connection):
        found = peaks_of(connection, day)
        keys = connection.execute("SELECT outcome, line FROM daily WHERE day = ? AND peak IS NULL", (day,)).fetchall()
        connection.executemany(
            "UPDATE daily SET peak = ? WHERE outcome = ? AND line = ? AND day = ?",
            [(found[key], *key, day) for key in keys if key in found],
        )
        # Nobody left: all calls of this date that counted here were removed.
        connection.executemany(
            "DELETE FROM daily WHERE outcome = ? AND line = ? AND day = ?",
            [(*key, day) for key in keys if key not in found],
        )


def unsettled(connection: sqlite3.Connection) -> Iterator[int]:
    """The dates whose peaks are not known, in order."""
    for (day,) in connection.execute("SELECT DISTINCT day FROM daily WHERE peak IS NULL ORDER BY day").fetchall():
        yield day


def peaks_of(connection: sqlite3.Connection, day: int) -> dict[tuple[int, int], int]:
    """Peaks of a date by outcome and line, as `sums.peaks` has them."""
    midnight_s = int(datetime(day // 10000, day // 100 % 100, day % 100, tzinfo=UTC).timestamp())
    first, last = ((midnight_s + offset_s) * NS_PER_S for offset_s in (-_FURTHEST_S, _DAY_S + _FURTHEST_S))
    return sums.peaks(
        connection.execute(
            "SELECT outcome, line, started_ns, ended_ns FROM calls INDEXED BY calls_time"
            " WHERE started_ns BETWEEN ? AND ? AND day = ? AND outcome > 0"
            " UNION ALL SELECT outcome, line, started_ns, ended_ns FROM overnight JOIN calls USING (n)"
            " WHERE overnight.day = ? AND outcome > 0",
            (first, min(last, LATEST_NS), day, day),
        )
    )
