"""An index that was made anew takes the place of the one in use, page by page in one transaction of SQLite.

The file keeps its name and its identity: giving a new file the old name would let a process that has just opened the
old one meet it in the new one's log, whose shared memory then ends the writer with SIGBUS. So readers go on with what
they see, and whoever is killed here leaves the old index. About 5 s for a million calls.
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from storage.errors import from_os_error
from storage.index import rebuild, schema


def put_in_place(new: Path, path: Path) -> None:
    """Make the index at `path` what `new` is, and remove `new`; no writer has either open.

    Raises ArchiveError or DiskFullError; the old index is as it was then.
    """
    try:
        try:
            _copy(new, path)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise
            _empty(path)
            _copy(new, path)
    except sqlite3.Error as error:
        raise schema.from_sqlite(error, "put the new index in its place") from error
    except OSError as error:
        raise from_os_error(error, "put the new index in its place") from error
    rebuild.discard(new)


def _copy(new: Path, path: Path) -> None:
    schema.make_file(path)
    with (
        closing(sqlite3.connect(new, isolation_level=None)) as source,
        closing(sqlite3.connect(path, isolation_level=None, timeout=schema.BUSY_MS / 1000)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _empty(path: Path) -> None:
    """Leave nothing of a file that is no database: nobody can be using it."""
    os.truncate(path, 0)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()
