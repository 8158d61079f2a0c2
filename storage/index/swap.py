"""An index that was made anew takes the place of the one in use. For the archive's one writer, which has closed both.

SQLite finds the log of a database by its name. So the old log must be gone before the new file has the name, and
nobody may be reading the old file with it: a reader is waited for, and what opens in between is told by the file's
identity (see `reader`).
"""

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from storage.errors import from_os_error
from storage.index import schema

_PAUSE_S = 0.01


def put_in_place(new: Path, path: Path) -> None:
    """Give the closed index `new` the name `path`; killed anywhere, one of the two has it, whole.

    Raises ArchiveError when somebody goes on reading the old one, or the disk fails.
    """
    _retire(path)
    try:
        os.rename(new, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise from_os_error(error, "put the new index in its place") from error


def _retire(path: Path) -> None:
    """Leave the old index without a log, which is possible only while nobody has it open: SQLite itself does not wait
    for that."""
    deadline = time.monotonic() + schema.BUSY_MS / 1000
    while path.exists():
        try:
            _close_log(path)
            return
        except sqlite3.Error as error:
            code = error.sqlite_errorcode & 0xFF
            if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                break  # of a file that cannot be read there is nothing to lose
            if code != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise schema.from_sqlite(error, "replace the index") from error
        time.sleep(_PAUSE_S)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()


def _close_log(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    try:
        connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    finally:
        connection.close()
