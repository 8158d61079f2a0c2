"""A daemon's own SQLite file: made with its tables, opened to write or only to look, put aside when it is damaged.

WAL mode, no transactions but those that are asked for. The index has a way of its own (`storage.index.schema`).
"""

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from storage.disk import DIRECTORY_MODE, FILE_MODE

BUSY_S = 5.0
"""How long another process may take for what it writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateForm:
    """What a file of one kind is."""

    tables: str
    """Statements that make its tables; one of them is `notes`."""
    application_id: int
    version: int
    pragmas: tuple[str, ...] = ()
    """Further ones, such as how soon a commit is on the disk."""


def open_writing(path: Path, form: StateForm, *, any_thread: bool = False) -> tuple[sqlite3.Connection, bool]:
    """Open a file, made if it is not there; True when one that is damaged was put aside for it (`.damaged`).

    `any_thread`: its threads take turns by themselves. Raises sqlite3.Error, OSError.
    """
    path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    try:
        return _opened(path, form, any_thread=any_thread), False
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise
    path.replace(path.with_suffix(".damaged"))
    for suffix in ("-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
    return _opened(path, form, any_thread=any_thread), True


def open_reading(path: Path) -> sqlite3.Connection:
    """Open a file that cannot be written by this connection. Raises sqlite3.Error."""
    try:
        return _looking(path, "mode=ro")
    except sqlite3.OperationalError:
        if path.with_name(f"{path.name}-wal").exists():
            raise
        # Nobody has it open, and who may not write here cannot even look as if somebody had.
        return _looking(path, "mode=ro&immutable=1")


def _looking(path: Path, how: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{how}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S)
    try:
        connection.execute("SELECT 1 FROM notes").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _opened(path: Path, form: StateForm, *, any_thread: bool) -> sqlite3.Connection:
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE))
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S, check_same_thread=not any_thread)
    try:
        for pragma in ("journal_mode=WAL", "journal_size_limit=4194304", *form.pragmas):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {form.tables} PRAGMA application_id={form.application_id};"
                f" PRAGMA user_version={form.version}; COMMIT;"
            )
    except BaseException:
        connection.close()
        raise
    return connection
