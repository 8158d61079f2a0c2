"""`agent/agent.sqlite`: what the agent has to remember over restarts. One connection, shared by its threads.

An alarm and the message that tells of it are one transaction. A disk that refuses does not end the agent: whoever
wanted to write keeps it in memory and tries again.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.errors import StateFileError
from storage import statefile
from storage.errors import StorageError
from storage.statefile import StateForm

DIRECTORY, NAME = "agent", "agent.sqlite"
_TABLES = """
CREATE TABLE outbox (n INTEGER PRIMARY KEY AUTOINCREMENT, priority INT NOT NULL, topic TEXT NOT NULL,
  payload BLOB NOT NULL, retain INT NOT NULL, collapses INT NOT NULL) STRICT;
CREATE INDEX outbox_order ON outbox (priority, n);
CREATE INDEX outbox_collapsing ON outbox (topic) WHERE collapses;
CREATE TABLE alarms (id TEXT PRIMARY KEY, alarm BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE alarm_changes (sequence INTEGER PRIMARY KEY, alarm BLOB NOT NULL) STRICT;
CREATE TABLE told (sequence INTEGER PRIMARY KEY, at_ns INT NOT NULL) STRICT;
CREATE TABLE shelvings (id TEXT PRIMARY KEY, key BLOB NOT NULL, shelving BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""
_FORM = StateForm(
    tables=_TABLES,
    application_id=0x526B4167,  # "RkAg"
    version=1,
    pragmas=("synchronous=FULL",),
)


class StateFile:
    """The database. A context. A file that is damaged is put aside and begun anew."""

    def __init__(self, directory: Path, check_place: Callable[[], None] = lambda: None) -> None:
        """`check_place` raises StorageError when another disk lies where the file is to be."""
        self.path = directory / NAME
        self._check_place = check_place
        self.lock = threading.RLock()
        """Held for whatever belongs together."""
        self._connection: sqlite3.Connection | None = None
        self.put_aside = False
        """A damaged file was put aside."""

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is done within is there, or nothing of it.

        Raises:
            StateFileError: nothing of it is.
        """
        with self.lock:
            try:
                connection = self._connection or self._open()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, OSError, StorageError) as error:
                self.close()
                raise StateFileError(f"{self.path}: {error}") from error

    def note(self, name: str) -> str:
        """Return what was noted under a name, empty when nothing was. Raises StateFileError."""
        with self.transaction() as connection:
            row = connection.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return "" if row is None else str(row[0])

    def set_note(self, name: str, value: str) -> None:
        """Note something. Raises StateFileError."""
        with self.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Let go of the file; whoever needs it opens it again."""
        with self.lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()

    def _open(self) -> sqlite3.Connection:
        self._check_place()
        self._connection, put_aside = statefile.open_writing(self.path, _FORM, any_thread=True)
        self.put_aside = self.put_aside or put_aside
        return self._connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_reading(directory: Path) -> sqlite3.Connection:
    """A connection that cannot write, for a process that only looks. Raises StateFileError."""
    path = directory / NAME
    if not path.exists():
        raise StateFileError(f"{path} is not there: rokubox-agent never ran on this archive")
    try:
        return statefile.open_reading(path)
    except sqlite3.Error as error:
        raise StateFileError(f"{path}: {error}") from error
