"""The tables of `index.sqlite`, and how it is opened.

calls ──┬─ parts              what is in recordings/
        ├─ parties ─ numbers  every number concerned, in its searchable form, with the call's role bits
        ├─ reasons            every reason, not the deciding one alone
        ├─ legal_holds        from the ledger
        ├─ links              earlier calls, to find the later ones
        └─ overnight          further local dates in which the call went on
daily                         sums by local date of the start: one row for each line and outcome, and the sums over them

Numbers of callers are in `calls` and `numbers` and nowhere else. All of it can be made again from the files.
"""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from storage.disk import FILE_MODE
from storage.errors import ArchiveError, DiskFullError, IndexDamagedError, IndexMissingError, StorageError

VERSION = 1
"""Goes up with every change of the tables or of what is in them; an index of another version is made anew."""
BUSY_MS = 10_000
"""How long to wait for another process that is using the file."""
_APPLICATION_ID = 0x726F6B75  # "roku", for file(1)
_CACHE_KIB = 32 << 10
_WRITING_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON", f"cache_size=-{_CACHE_KIB}")
# Alone with the file: whoever comes second is refused, and nothing is looked at twice.
_FILLING_PRAGMAS = (
    "locking_mode=EXCLUSIVE",
    *_WRITING_PRAGMAS,
    f"cache_size=-{8 * _CACHE_KIB}",
    "wal_autocheckpoint=16384",
)

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE lines (
  id INTEGER PRIMARY KEY, enterprise TEXT NOT NULL, line TEXT NOT NULL, searchable TEXT NOT NULL,
  UNIQUE (enterprise, line)
);
CREATE TABLE calls (
  n INTEGER PRIMARY KEY,
  call_id BLOB NOT NULL,
  started_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL, offset_min INTEGER NOT NULL, day INTEGER NOT NULL,
  line INTEGER NOT NULL, direction INTEGER NOT NULL,
  outcome INTEGER NOT NULL, reasons INTEGER NOT NULL, deciding INTEGER NOT NULL,
  length_ms INTEGER NOT NULL, mos REAL, completeness REAL,
  dtmf INTEGER NOT NULL, holds INTEGER NOT NULL,
  caller TEXT NOT NULL, callee TEXT NOT NULL
);
CREATE TABLE parts (
  n INTEGER NOT NULL, number INTEGER NOT NULL, day INTEGER NOT NULL, samples INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL, PRIMARY KEY (n, number)
) WITHOUT ROWID;
CREATE TABLE numbers (id INTEGER PRIMARY KEY, searchable TEXT NOT NULL UNIQUE);
CREATE TABLE parties (
  number INTEGER NOT NULL, started_ns INTEGER NOT NULL, n INTEGER NOT NULL, roles INTEGER NOT NULL,
  line INTEGER NOT NULL, outcome INTEGER NOT NULL, PRIMARY KEY (number, started_ns, n)
) WITHOUT ROWID;
CREATE TABLE reasons (
  reason INTEGER NOT NULL, started_ns INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (reason, started_ns, n)
) WITHOUT ROWID;
CREATE TABLE legal_holds (n INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (n, name)) WITHOUT ROWID;
CREATE TABLE links (
  earlier BLOB NOT NULL, n INTEGER NOT NULL, kind TEXT NOT NULL, PRIMARY KEY (earlier, n, kind)
) WITHOUT ROWID;
CREATE TABLE overnight (day INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (day, n)) WITHOUT ROWID;
CREATE TABLE daily (
  outcome INTEGER NOT NULL, line INTEGER NOT NULL, day INTEGER NOT NULL,
  calls INTEGER NOT NULL, incoming INTEGER NOT NULL, outgoing INTEGER NOT NULL, length_ms INTEGER NOT NULL,
  peak INTEGER, PRIMARY KEY (outcome, line, day)
) WITHOUT ROWID;
"""
# Made after a rebuild has filled the tables: sorted once is quicker than kept in order.
INDEXES = """
CREATE UNIQUE INDEX IF NOT EXISTS calls_id ON calls (call_id);
CREATE INDEX IF NOT EXISTS calls_time ON calls (started_ns);
CREATE INDEX IF NOT EXISTS calls_line ON calls (line, started_ns, outcome);
CREATE INDEX IF NOT EXISTS calls_outcome ON calls (outcome, started_ns, line);
CREATE INDEX IF NOT EXISTS calls_length ON calls (length_ms);
CREATE INDEX IF NOT EXISTS calls_quality ON calls (mos) WHERE mos IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_dtmf ON calls (started_ns) WHERE dtmf > 0;
CREATE INDEX IF NOT EXISTS calls_holds ON calls (started_ns) WHERE holds > 0;
CREATE INDEX IF NOT EXISTS parties_call ON parties (n, roles);
CREATE INDEX IF NOT EXISTS links_call ON links (n);
CREATE INDEX IF NOT EXISTS daily_unsettled ON daily (day) WHERE peak IS NULL;
"""

FILLING = """
CREATE TABLE parties_unsorted (number, started_ns, n, roles, line, outcome);
INSERT INTO meta VALUES ('filling', 1), ('filled_day', 0), ('filled_ledger_size', -1);
"""
_FILLED = f"""
INSERT INTO parties SELECT * FROM parties_unsorted ORDER BY number, started_ns, n;
DROP TABLE parties_unsorted;
{INDEXES}
UPDATE meta SET value = 0 WHERE name = 'filling';
"""


def create(connection: sqlite3.Connection, *, filling: bool) -> None:
    """Make the tables in a new, empty database, in one transaction; the indexes too unless it is to be filled first."""
    connection.executescript(
        f"BEGIN IMMEDIATE; {TABLES} PRAGMA application_id={_APPLICATION_ID};"
        f"INSERT INTO meta VALUES ('generation', lower(hex(randomblob(4)))), ('ledger_size', 0), ('removed', 0);"
        f"{FILLING if filling else INDEXES} PRAGMA user_version={VERSION}; COMMIT;"
    )


def finish_filling(connection: sqlite3.Connection) -> None:
    """Sort and index what was filled in, in one transaction."""
    connection.executescript(f"BEGIN IMMEDIATE; {_FILLED} COMMIT;")


def open_writing(path: Path, *, filling: bool = False) -> sqlite3.Connection:
    """The connection of the one writer; the file is made when there is none.

    `filling` is for a file that nobody reads yet: tables without indexes, until `finish_filling`.

    Raises IndexDamagedError when it is no index of this version, ArchiveError or DiskFullError when the disk fails.
    """
    try:
        make_file(path)
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_MS / 1000, check_same_thread=False)
        try:
            for pragma in _FILLING_PRAGMAS if filling else _WRITING_PRAGMAS:
                connection.execute(f"PRAGMA {pragma}").fetchall()
            if not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                create(connection, filling=filling)
            check_version(connection)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise from_sqlite(error, "open the index") from error
    return connection


def make_file(path: Path) -> None:
    """Make the file where there is none, with the mode that files have here. Raises OSError."""
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE))
        os.chmod(path, FILE_MODE)


def open_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises IndexMissingError, IndexDamagedError, ArchiveError."""
    if not path.exists():
        raise IndexMissingError("the archive has no index; `rokubox reindex` makes it from the files")
    # Without its log nobody is writing, and on a medium that is read-only the log cannot be made.
    alone = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    options = "mode=ro&immutable=1" if alone else "mode=ro"
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?{options}",
            uri=True,
            isolation_level=None,
            timeout=BUSY_MS / 1000,
            check_same_thread=False,
        )
        try:
            connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            connection.execute("PRAGMA query_only=ON")
            check_version(connection)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise from_sqlite(error, "open the index") from error
    return connection


def check_version(connection: sqlite3.Connection) -> None:
    """Raise IndexDamagedError when the tables are those of another version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        raise IndexDamagedError(f"the index is of version {version}, not {VERSION}; `rokubox reindex` makes it anew")


def from_sqlite(error: Exception, doing: str) -> StorageError:
    """The storage error for what SQLite or the system refused; `doing` completes "cannot ..."."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError(f"cannot {doing}: no space left on device")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return IndexDamagedError("the index is damaged; `rokubox reindex` makes it anew from the files")
    if code == sqlite3.SQLITE_BUSY:
        return ArchiveError(f"cannot {doing}: another process is using it")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return ArchiveError(f"cannot {doing}: {reason}")
