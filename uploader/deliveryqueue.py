"""`upload/queue.sqlite`: what is to be delivered where, and how far that is. SQLite in WAL mode.

    waiting --the target proved it--> proven --the receipt is in the ledger--> (gone)
       |  ^
       |  +-- asked for again --+
       +--tried for long enough--> given_up, for as long as the recording is in the archive

Killed at any instant nothing is lost. Commits are not brought to the disk one by one: what a power cut takes is
`waiting` again, is found at the target, and is in the ledger once. All `_s` are seconds of the uploader's own running
time (`clock`): a box that was switched off, or whose clock was set, has not tried meanwhile.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from storage import statefile
from storage.ledger.tail import Place
from storage.statefile import StateForm
from uploader.clock import Now
from uploader.delivery import Delivery, NewPart
from uploader.queueview import DIRECTORY, LOST, LOST_S, NAME, QueueReader, lost_of, reported

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
_FORM = StateForm(
    tables=_TABLES,
    application_id=0x526B5570,  # "RkUp"
    version=1,
    pragmas=("synchronous=NORMAL", "secure_delete=ON"),
)


class DeliveryQueue(QueueReader):
    """The queue. A context. Methods raise QueueError; nothing of what they were to do is done then."""

    def __init__(self, root: Path) -> None:
        """`root`: the archive's directory."""
        with reported():
            # What a damaged one knew is found again: the ledger is followed from its beginning, and targets know what
            # they hold.
            connection, _ = statefile.open_writing(root / DIRECTORY / NAME, _FORM)
        super().__init__(connection)

    # --- what comes in ---

    def take_in(
        self,
        parts: Iterable[NewPart],
        ended: Iterable[tuple[str, str]],
        erased: Iterable[str],
        erased_parts: Iterable[tuple[str, int]],
        place: Place,
        now: Now,
        lost: Iterable[str] = (),
    ) -> None:
        """Take in what the ledger says up to `place`: parts, ends of calls (with their day), what was erased.

        `lost`: those of the erased calls that were erased because of delivery; what was given up of them is told of
        for a while, as `lost_by_target`.
        """
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
            for call_id in lost:
                _count_lost(connection, call_id, now)
            for call_id in erased:
                connection.execute("DELETE FROM deliveries WHERE call_id = ?", (call_id,))
                connection.execute("DELETE FROM calls WHERE call_id = ?", (call_id,))
            connection.executemany("DELETE FROM deliveries WHERE call_id = ? AND part = ?", erased_parts)
            for name, value in (("origin", place.origin), ("number", place.number), ("offset", place.offset)):
                _set_note(connection, name, str(value))

    # --- what goes out ---

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

    # --- what the ledger is told ---

    def settled(self, numbers: Iterable[int]) -> None:
        """The ledger knows of these."""
        with self._transaction() as connection:
            for number in numbers:
                connection.execute("DELETE FROM deliveries WHERE n = ? AND state = 'proven'", (number,))
                connection.execute("UPDATE deliveries SET settled = 1 WHERE n = ? AND state = 'given_up'", (number,))

    # --- what is erased ---

    def forget_calls(self, call_ids: Iterable[str]) -> None:
        """Nothing more is to be done about these calls."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM calls WHERE call_id = ?", [(one,) for one in call_ids])

    def postpone_calls(self, call_ids: Iterable[str], next_s: float) -> None:
        """Ask for the erasure of these calls later."""
        with self._transaction() as connection:
            connection.executemany("UPDATE calls SET next_s = ? WHERE call_id = ?", [(next_s, one) for one in call_ids])

    # --- the inbox ---

    def keep_able_ns(self, able_ns: int) -> None:
        """Keep when something could be received last."""
        with self._transaction() as connection:
            _set_note(connection, "able_ns", str(able_ns))

    # --- running time ---

    def keep_running_s(self, running_s: float) -> None:
        """Keep how long it has run."""
        with self._transaction() as connection:
            _set_note(connection, "running_s", repr(running_s))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        with reported():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise


def _count_given_up(connection: sqlite3.Connection, target: str, count: int) -> None:
    if count:
        connection.execute("INSERT OR IGNORE INTO targets (name) VALUES (?)", (target,))
        connection.execute("UPDATE targets SET given_up = given_up + ? WHERE name = ?", (count, target))


def _count_lost(connection: sqlite3.Connection, call_id: str, now: Now) -> None:
    given_up = "SELECT target, count(*) FROM deliveries WHERE call_id = ? AND state = 'given_up' GROUP BY target"
    for target, count in connection.execute(given_up, (call_id,)).fetchall():
        note = f"{LOST}{target}"
        kept = connection.execute("SELECT value FROM notes WHERE name = ?", (note,)).fetchone()
        before, at_s = lost_of(kept[0] if kept else "")
        _set_note(connection, note, f"{count + (before if now.running_s < at_s + LOST_S else 0)} {now.running_s!r}")


def _set_note(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))
