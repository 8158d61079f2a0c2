"""Alarms on the disk: those that stand, what is shelved, and the last changes. In the agent's file, see `statefile`."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.alarms.alarm import Alarm, AlarmKey, AlarmState, Shelving
from appliance.alarms.table import AlarmTable
from appliance.errors import StateFileError
from appliance.telemetry import statefile
from appliance.telemetry.statefile import StateFile
from capture.bootline import ClockReading

MAX_CHANGES = 10_000
"""Changes kept; the oldest go."""
_SEQUENCE = "alarm sequence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An alarm as it became."""

    alarm: Alarm
    told_ns: int | None
    """When the NOC's broker confirmed the message about it, in real time; None when it has not."""


class _Told(msgspec.Struct):
    """Of a message about an alarm, which change it is."""

    sequence: int


class AlarmBook:
    """Writes what changes. What could not be written is written with the next change."""

    def __init__(self, state: StateFile) -> None:
        self._state = state
        self._unsaved: list[Alarm] = []

    def table(self, now: ClockReading) -> AlarmTable:
        """The alarms as the last process left them; none when they cannot be read."""
        try:
            with self._state.transaction() as connection:
                raised, shelved = _raised(connection), _shelved(connection)
            sequence = int(self._state.note(_SEQUENCE) or 0)
        except StateFileError:
            raised, shelved, sequence = [], {}, 0
        return AlarmTable(raised, shelved, sequence=sequence, now=now)

    @property
    def has_news(self) -> bool:
        """Something was noted and not written yet."""
        return bool(self._unsaved)

    def note(self, changes: Sequence[Alarm]) -> None:
        """Take changes, to be written."""
        self._unsaved += changes
        del self._unsaved[:-MAX_CHANGES]

    def write(self, connection: sqlite3.Connection, table: AlarmTable) -> None:
        """Write them, in the caller's transaction."""
        for alarm in self._unsaved:
            written = msgspec.json.encode(alarm)
            connection.execute("INSERT OR REPLACE INTO alarm_changes VALUES (?, ?)", (alarm.sequence, written))
            if alarm.state is AlarmState.RAISED:
                connection.execute("INSERT OR REPLACE INTO alarms VALUES (?, ?)", (alarm.key.id, written))
            else:
                connection.execute("DELETE FROM alarms WHERE id = ?", (alarm.key.id,))
        if self._unsaved:
            for kept in ("alarm_changes", "told"):
                connection.execute(f"DELETE FROM {kept} WHERE sequence <= ?", (table.sequence - MAX_CHANGES,))
        connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (_SEQUENCE, str(table.sequence)))
        connection.execute("DELETE FROM shelvings")
        connection.executemany(
            "INSERT INTO shelvings VALUES (?, ?, ?)",
            [(key.id, msgspec.json.encode(key), msgspec.json.encode(one)) for key, one in table.shelved.items()],
        )

    def written(self) -> None:
        """The transaction has come about."""
        self._unsaved.clear()


def confirmed(connection: sqlite3.Connection, payload: bytes) -> None:
    """Note when the NOC's broker had a change of an alarm for the first time; an empty message is none."""
    with suppress(msgspec.MsgspecError):
        change = msgspec.json.decode(payload, type=_Told)
        connection.execute("INSERT OR IGNORE INTO told VALUES (?, ?)", (change.sequence, time.time_ns()))


def standing(directory: Path) -> list[Alarm]:
    """The alarms that stand, for a process that only looks; the worst first. Raises StateFileError."""
    with closing(statefile.open_reading(directory)) as connection:
        found = _raised(connection)
    return sorted(found, key=lambda alarm: (alarm.severity.rank, alarm.first_raised_ns))


def history(directory: Path, limit: int) -> list[Change]:
    """The last changes, the newest first. Raises StateFileError."""
    with closing(statefile.open_reading(directory)) as connection:
        rows = connection.execute(
            "SELECT alarm, at_ns FROM alarm_changes LEFT JOIN told USING (sequence) ORDER BY sequence DESC LIMIT ?",
            (limit,),
        ).fetchall()
    return [Change(alarm=alarm, told_ns=told_ns) for written, told_ns in rows for alarm in _decoded([(written,)])]


def _raised(connection: sqlite3.Connection) -> list[Alarm]:
    return list(_decoded(connection.execute("SELECT alarm FROM alarms").fetchall()))


def _decoded(rows: Sequence[tuple[bytes]]) -> Iterator[Alarm]:
    for (written,) in rows:
        try:
            yield msgspec.json.decode(written, type=Alarm)
        except msgspec.MsgspecError:  # a kind that another version had; it is raised again if it stands
            continue


def _shelved(connection: sqlite3.Connection) -> dict[AlarmKey, Shelving]:
    shelved = {}
    for key, shelving in connection.execute("SELECT key, shelving FROM shelvings").fetchall():
        try:
            shelved[msgspec.json.decode(key, type=AlarmKey)] = msgspec.json.decode(shelving, type=Shelving)
        except msgspec.MsgspecError:
            continue
    return shelved
