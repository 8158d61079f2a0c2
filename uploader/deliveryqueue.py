"""`upload/queue.sqlite`: what is to be delivered where, and how far that is. SQLite in WAL mode.

    waiting --the target proved it--> proven --the receipt is in the ledger--> (gone)
       |  ^
       |  +-- asked for again --+
       +--tried for long enough--> given_up, for as long as the recording is in the archive

Killed at any instant nothing is lost. Commits are not brought to the disk one by one: what a power cut takes is
`waiting` again, is found at the target, and is in the ledger once. All `_s` are seconds of the uploader's own running
time (`clock`): a box that was switched off, or whose clock was set, has not tried meanwhile.
"""

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from storage.disk import DIRECTORY_MODE, FILE_MODE
from storage.ledger.tail import Place
from uploader.clock import Now
from uploader.errors import QueueError

DIRECTORY, NAME = "upload", "queue.sqlite"
VERSION = 1
_APPLICATION_ID = 0x526B5570  # "RkUp"
_MAX_ERROR_CHARACTERS = 500
_TABLES = """
CREATE TABLE deliveries (n INTEGER PRIMARY KEY AUTOINCREMENT, call_id TEXT NOT NULL, part INT NOT NULL,
  target TEXT NOT NULL, file TEXT NOT NULL, enterprise TEXT NOT NULL, call_json_sha256 TEXT NOT NULL,
  wav_sha256 TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'waiting', taken_ns INT NOT NULL, since_s REAL NOT NULL,
  next_s REAL NOT NULL, attempts INT NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '', proof TEXT NOT NULL DEFAULT '',
  sha256 TEXT NOT NULL DEFAULT '', bytes INT NOT NULL DEFAULT 0, settled INT NOT NULL DEFAULT 0,
  UNIQUE (call_id, part, target)) STRICT;
CREATE INDEX deliveries_waiting ON deliveries (target, next_s, n) WHERE state = 'waiting';
CREATE INDEX deliveries_unsettled ON deliveries (n) WHERE state <> 'waiting' AND NOT settled;
CREATE TABLE calls (call_id TEXT PRIMARY KEY, day TEXT NOT NULL, enterprise TEXT NOT NULL,
  ended INT NOT NULL DEFAULT 0, next_s REAL NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE TABLE targets (name TEXT PRIMARY KEY, failures INT NOT NULL DEFAULT 0, next_s REAL NOT NULL DEFAULT 0,
  error TEXT NOT NULL DEFAULT '', error_ns INT NOT NULL DEFAULT 0, success_ns INT NOT NULL DEFAULT 0,
  delivered INT NOT NULL DEFAULT 0, bytes INT NOT NULL DEFAULT 0, given_up INT NOT NULL DEFAULT 0)
  STRICT, WITHOUT ROWID;
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""
_DELIVERY = (
    "n, call_id, part, target, file, enterprise, call_json_sha256, wav_sha256, taken_ns, since_s, attempts, error"
)


class State(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    PROVEN = "proven"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPart:
    """A finished part that is to be delivered."""

    call_id: str
    part: int
    file: str
    """File name of its ZIP or WAV."""
    enterprise: str
    day: str
    """Local date of the part's start."""
    call_json_sha256: str
    wav_sha256: str
    targets: tuple[str, ...]
    erases: bool
    """Its call may be erased here because of delivery."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One part for one target."""

    n: int
    call_id: str
    part: int
    target: str
    file: str
    enterprise: str
    call_json_sha256: str
    wav_sha256: str
    taken_ns: int
    """Wall clock when it was taken in, to be shown."""
    since_s: float
    """Running time when delivery began to be tried."""
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A delivery that has ended, of which the ledger does not know yet."""

    n: int
    call_id: str
    part: int
    target: str
    enterprise: str
    state: str
    proof: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class TargetState:
    """How a target does."""

    name: str
    failures: int
    """In a row."""
    next_s: float
    error: str
    error_ns: int
    success_ns: int
    delivered: int
    bytes: int
    given_up: int


@dataclass(frozen=True, slots=True)
class DoneCall:
    """A call of which every delivery has ended and is in the ledger."""

    call_id: str
    day: str
    enterprise: str
    given_up: int
    """Deliveries that were given up."""


class DeliveryQueue:
    """The queue. A context. Methods raise QueueError; nothing of what they were to do is done then."""

    def __init__(self, root: Path) -> None:
        """`root`: the archive's directory."""
        self._connection = _opened(root / DIRECTORY / NAME)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    # --- what comes in ---

    @property
    def place(self) -> Place:
        """How far the ledger was followed."""
        origin, number, offset = (self._note(name) for name in ("origin", "number", "offset"))
        return Place(origin=origin, number=int(number or 0), offset=int(offset or 0))

    def take_in(
        self,
        parts: Iterable[NewPart],
        ended: Iterable[tuple[str, str]],
        erased: Iterable[str],
        erased_parts: Iterable[tuple[str, int]],
        place: Place,
        now: Now,
    ) -> None:
        """Take in what the ledger says up to `place`: parts, ends of calls (with their day), what was erased."""
        with self._transaction() as connection:
            for part in parts:
                of_part = (part.file, part.enterprise, part.call_json_sha256, part.wav_sha256)
                times = (now.wall_ns, now.running_s, now.running_s)
                connection.executemany(
                    "INSERT OR IGNORE INTO deliveries (call_id, part, target, file, enterprise, call_json_sha256,"
                    " wav_sha256, taken_ns, since_s, next_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [(part.call_id, part.part, target, *of_part, *times) for target in part.targets],
                )
                if part.erases:
                    connection.execute(
                        "INSERT OR IGNORE INTO calls (call_id, day, enterprise) VALUES (?, ?, ?)",
                        (part.call_id, part.day, part.enterprise),
                    )
            connection.executemany("UPDATE calls SET day = ?2, ended = 1 WHERE call_id = ?1", ended)
            for call_id in erased:
                connection.execute("DELETE FROM deliveries WHERE call_id = ?", (call_id,))
                connection.execute("DELETE FROM calls WHERE call_id = ?", (call_id,))
            connection.executemany("DELETE FROM deliveries WHERE call_id = ? AND part = ?", erased_parts)
            for name, value in (("origin", place.origin), ("number", place.number), ("offset", place.offset)):
                _set_note(connection, name, str(value))

    # --- what goes out ---

    def due(
        self, target: str, enterprises: Sequence[str], now: Now, limit: int, under_way: Collection[int] = ()
    ) -> list[Delivery]:
        """Deliveries to a target that may be tried now, of these enterprises, the longest waiting first."""
        marks = ", ".join("?" * len(enterprises))
        rows = self._rows(
            f"SELECT {_DELIVERY} FROM deliveries WHERE state = 'waiting' AND target = ? AND next_s <= ?"
            f" AND enterprise IN ({marks}) ORDER BY next_s, n LIMIT ?",
            (target, now.running_s, *enterprises, limit + len(under_way)),
        )
        return [Delivery(*row) for row in rows if row[0] not in under_way][:limit]

    def next_due_s(self) -> float | None:
        """Running time at which something is to be tried again; None when nothing waits."""
        [(next_s,)] = self._rows(
            "SELECT min(max(deliveries.next_s, coalesce(targets.next_s, 0))) FROM deliveries"
            " LEFT JOIN targets ON targets.name = target WHERE state = 'waiting'"
        )
        return None if next_s is None else float(next_s)

    def proven(self, delivery: Delivery, *, proof: str, sha256: str, size_bytes: int, now: Now) -> None:
        """The target has proved to hold it."""
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE deliveries SET state = 'proven', proof = ?, sha256 = ?, bytes = ?, error = '' WHERE n = ?",
                (proof, sha256, size_bytes, delivery.n),
            )
            if changed.rowcount:
                connection.execute("INSERT OR IGNORE INTO targets (name) VALUES (?)", (delivery.target,))
                connection.execute(
                    "UPDATE targets SET failures = 0, next_s = 0, error = '', success_ns = ?,"
                    " delivered = delivered + 1, bytes = bytes + ? WHERE name = ?",
                    (now.wall_ns, size_bytes, delivery.target),
                )

    def failed(self, delivery: Delivery, why: str, next_s: float) -> None:
        """A delivery failed and is tried again from `next_s` on."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET attempts = attempts + 1, error = ?, next_s = ? WHERE n = ?",
                (why[:_MAX_ERROR_CHARACTERS], next_s, delivery.n),
            )

    def target_failed(self, target: str, why: str, next_s: float, now: Now) -> None:
        """A target does not work and is tried again from `next_s` on."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO targets (name) VALUES (?)", (target,))
            connection.execute(
                "UPDATE targets SET failures = failures + 1, next_s = ?, error = ?, error_ns = ? WHERE name = ?",
                (next_s, why[:_MAX_ERROR_CHARACTERS], now.wall_ns, target),
            )

    def give_up(self, target: str, enterprise: str, since_s: float) -> int:
        """Give up what has been tried since before `since_s`; say how many deliveries."""
        with self._transaction() as connection:
            count = connection.execute(
                "UPDATE deliveries SET state = 'given_up', settled = 0 WHERE state = 'waiting' AND target = ?"
                " AND enterprise = ? AND since_s <= ?",
                (target, enterprise, since_s),
            ).rowcount
            _count_given_up(connection, target, count)
        return count

    def gone(self, delivery: Delivery, why: str) -> None:
        """Our own file cannot be delivered, ever: it is given up."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET state = 'given_up', settled = 0, attempts = attempts + 1, error = ? WHERE n = ?",
                (why[:_MAX_ERROR_CHARACTERS], delivery.n),
            )
            _count_given_up(connection, delivery.target, 1)

    def try_again(self, now: Now, target: str | None = None) -> int:
        """Try at once what waits, and anew what was given up (of one target); say how many of those."""
        with self._transaction() as connection:
            again = connection.execute(
                "UPDATE deliveries SET state = 'waiting', since_s = ?1, next_s = ?1, attempts = 0, settled = 0"
                " WHERE state = 'given_up' AND settled AND (?2 IS NULL OR target = ?2)",
                (now.running_s, target),
            ).rowcount
            connection.execute(
                "UPDATE deliveries SET next_s = ?1 WHERE state = 'waiting' AND (?2 IS NULL OR target = ?2)",
                (now.running_s, target),
            )
            connection.execute("UPDATE targets SET next_s = 0 WHERE (?1 IS NULL OR name = ?1)", (target,))
            _set_note(connection, "asked_again", str(now.wall_ns))
        return int(again)

    @property
    def asked_again(self) -> str:
        """Changes when a person wants everything tried at once."""
        return self._note("asked_again")

    # --- what the ledger is told ---

    def unsettled(self, limit: int) -> list[Unsettled]:
        """Deliveries that have ended and are not in the ledger, in the order in which they were taken in."""
        rows = self._rows(
            "SELECT n, call_id, part, target, enterprise, state, proof, sha256, bytes FROM deliveries"
            " WHERE state <> 'waiting' AND NOT settled ORDER BY n LIMIT ?",
            (limit,),
        )
        return [Unsettled(*row) for row in rows]

    def settled(self, numbers: Iterable[int]) -> None:
        """The ledger knows of these."""
        with self._transaction() as connection:
            for number in numbers:
                connection.execute("DELETE FROM deliveries WHERE n = ? AND state = 'proven'", (number,))
                connection.execute("UPDATE deliveries SET settled = 1 WHERE n = ? AND state = 'given_up'", (number,))

    # --- what is erased ---

    def done_calls(self, now: Now, limit: int) -> list[DoneCall]:
        """Calls that have ended, of which nothing waits for a target or for the ledger."""
        rows = self._rows(
            "SELECT call_id, day, enterprise, (SELECT count(*) FROM deliveries WHERE deliveries.call_id ="
            " calls.call_id) FROM calls WHERE ended AND next_s <= ? AND NOT EXISTS (SELECT 1 FROM deliveries WHERE"
            " deliveries.call_id = calls.call_id AND (state = 'waiting' OR NOT settled)) LIMIT ?",
            (now.running_s, limit),
        )
        return [DoneCall(*row) for row in rows]

    def forget_calls(self, call_ids: Iterable[str]) -> None:
        """Nothing more is to be done about these calls."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM calls WHERE call_id = ?", [(one,) for one in call_ids])

    def postpone_calls(self, call_ids: Iterable[str], next_s: float) -> None:
        """Ask for the erasure of these calls later."""
        with self._transaction() as connection:
            connection.executemany("UPDATE calls SET next_s = ? WHERE call_id = ?", [(next_s, one) for one in call_ids])

    # --- what is shown ---

    def waiting_of(self) -> set[tuple[str, str]]:
        """Targets and enterprises of what waits."""
        return {
            (str(row[0]), str(row[1]))
            for row in self._rows("SELECT DISTINCT target, enterprise FROM deliveries WHERE state = 'waiting'")
        }

    def waiting_by_target(self) -> dict[str, tuple[int, float, int]]:
        """By target: how many wait, since when the longest (running time, wall clock)."""
        rows = self._rows(
            "SELECT target, count(*), min(since_s), min(taken_ns) FROM deliveries WHERE state = 'waiting'"
            " GROUP BY target"
        )
        return {str(name): (int(count), float(since_s), int(taken_ns)) for name, count, since_s, taken_ns in rows}

    def given_up_by_target(self) -> dict[str, int]:
        """By target: how many were given up and are still in the archive."""
        rows = self._rows("SELECT target, count(*) FROM deliveries WHERE state = 'given_up' GROUP BY target")
        return {str(name): int(count) for name, count in rows}

    def target_states(self) -> dict[str, TargetState]:
        """How the targets do, by name."""
        rows = self._rows(
            "SELECT name, failures, next_s, error, error_ns, success_ns, delivered, bytes, given_up FROM targets"
        )
        return {row[0]: TargetState(*row) for row in rows}

    def listed(self, limit: int) -> list[tuple[Delivery, State, float]]:
        """What is in the queue, the longest waiting first, with state and running time of the next attempt."""
        rows = self._rows(
            f"SELECT {_DELIVERY}, state, next_s FROM deliveries ORDER BY state = 'given_up' DESC, n LIMIT ?", (limit,)
        )
        return [(Delivery(*row[:-2]), State(row[-2]), float(row[-1])) for row in rows]

    def pending_calls(self) -> set[str]:
        """Calls of which something waits for a target, or for the ledger."""
        rows = self._rows("SELECT DISTINCT call_id FROM deliveries WHERE state = 'waiting' OR NOT settled")
        return {str(call_id) for (call_id,) in rows}

    def is_pending(self, call_id: str) -> bool:
        """Whether something of a call waits for a target, or for the ledger."""
        return bool(
            self._rows(
                "SELECT 1 FROM deliveries WHERE call_id = ? AND (state = 'waiting' OR NOT settled) LIMIT 1", (call_id,)
            )
        )

    # --- the inbox ---

    @property
    def able_ns(self) -> int:
        """Wall clock when something could be received last; 0: never."""
        return int(self._note("able_ns") or 0)

    def keep_able_ns(self, able_ns: int) -> None:
        """Keep when something could be received last."""
        with self._transaction() as connection:
            _set_note(connection, "able_ns", str(able_ns))

    # --- running time ---

    @property
    def running_s(self) -> float:
        """How long the uploader has run, as it was last kept."""
        return float(self._note("running_s") or 0.0)

    def keep_running_s(self, running_s: float) -> None:
        """Keep how long it has run."""
        with self._transaction() as connection:
            _set_note(connection, "running_s", repr(running_s))

    def _note(self, name: str) -> str:
        rows = self._rows("SELECT value FROM notes WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else ""

    def _rows(self, query: str, arguments: Sequence[object] = ()) -> list[tuple]:  # type: ignore[type-arg]
        with _reported():
            return self._connection.execute(query, arguments).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        with _reported():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise


class QueueView(DeliveryQueue):
    """The queue for a process that only looks. Raises QueueError when there is none."""

    def __init__(self, root: Path) -> None:
        path = root / DIRECTORY / NAME
        with _reported():
            try:
                self._connection = _looking(path, "mode=ro")
            except sqlite3.OperationalError:
                if path.with_name(f"{NAME}-wal").exists():
                    raise
                # Nobody has it open, and who may not write here cannot even look as if somebody had.
                self._connection = _looking(path, "mode=ro&immutable=1")


def _looking(path: Path, how: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{how}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5.0)
    try:
        connection.execute("SELECT 1 FROM notes").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def exists(root: Path) -> bool:
    """Whether an archive has a queue."""
    return (root / DIRECTORY / NAME).exists()


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise QueueError(f"the delivery queue: {error}") from error


def _count_given_up(connection: sqlite3.Connection, target: str, count: int) -> None:
    if count:
        connection.execute("INSERT OR IGNORE INTO targets (name) VALUES (?)", (target,))
        connection.execute("UPDATE targets SET given_up = given_up + ? WHERE name = ?", (count, target))


def _set_note(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))


def _opened(path: Path) -> sqlite3.Connection:
    with _reported():
        path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE))
        try:
            return _prepared(path)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise
            # What it knew is found again: the ledger is followed from its beginning, and targets know what they hold.
            path.replace(path.with_suffix(".damaged"))
            for suffix in ("-wal", "-shm"):
                path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
            return _prepared(path)


def _prepared(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    try:
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON", "journal_size_limit=4194304"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id={_APPLICATION_ID};"
                f" PRAGMA user_version={VERSION}; COMMIT;"
            )
    except BaseException:
        connection.close()
        raise
    return connection
