"""The delivery queue as it is read: by the uploader itself, and by whoever only looks."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from storage import statefile
from storage.ledger.tail import Place
from uploader.clock import Now
from uploader.delivery import Delivery, DoneCall, State, TargetState, Unsettled
from uploader.errors import QueueError

DIRECTORY, NAME = "upload", "queue.sqlite"
LOST = "lost "
"""Beginning of the notes that tell, by target, how many recordings were erased here that it never got, and when."""
LOST_S = 86_400.0
"""How long that is told of."""
_DELIVERY = (
    "n, call_id, part, target, file, enterprise, call_json_sha256, wav_sha256, taken_ns, since_s, attempts, error"
)


class QueueReader:
    """What can be asked of the queue. A context. Methods raise QueueError."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    # --- what is to be done ---

    @property
    def place(self) -> Place:
        """How far the ledger was followed."""
        origin, number, offset = (self._note(name) for name in ("origin", "number", "offset"))
        return Place(origin=origin, number=int(number or 0), offset=int(offset or 0))

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

    @property
    def asked_again(self) -> str:
        """Changes when a person wants everything tried at once."""
        return self._note("asked_again")

    def unsettled(self, limit: int) -> list[Unsettled]:
        """Deliveries that have ended and are not in the ledger, in the order in which they were taken in."""
        rows = self._rows(
            "SELECT n, call_id, part, target, enterprise, state, proof, sha256, bytes FROM deliveries"
            " WHERE state <> 'waiting' AND NOT settled ORDER BY n LIMIT ?",
            (limit,),
        )
        return [Unsettled(*row) for row in rows]

    def done_calls(self, now: Now, limit: int) -> list[DoneCall]:
        """Calls that have ended, of which nothing waits for a target or for the ledger."""
        rows = self._rows(
            "SELECT call_id, day, enterprise, (SELECT count(*) FROM deliveries WHERE deliveries.call_id ="
            " calls.call_id) FROM calls WHERE ended AND next_s <= ? AND NOT EXISTS (SELECT 1 FROM deliveries WHERE"
            " deliveries.call_id = calls.call_id AND (state = 'waiting' OR NOT settled)) LIMIT ?",
            (now.running_s, limit),
        )
        return [DoneCall(*row) for row in rows]

    @property
    def able_ns(self) -> int:
        """Wall clock when something could be received last; 0: never."""
        return int(self._note("able_ns") or 0)

    @property
    def running_s(self) -> float:
        """How long the uploader has run, as it was last kept."""
        return float(self._note("running_s") or 0.0)

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

    def lost_by_target(self, now: Now) -> dict[str, int]:
        """By target: how many were erased here without it, as the policy says, and that not long ago."""
        rows = self._rows("SELECT name, value FROM notes WHERE name GLOB ?", (f"{LOST}*",))
        told = {str(name).removeprefix(LOST): lost_of(value) for name, value in rows}
        return {target: count for target, (count, at_s) in told.items() if now.running_s < at_s + LOST_S}

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

    def _note(self, name: str) -> str:
        rows = self._rows("SELECT value FROM notes WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else ""

    def _rows(self, query: str, arguments: Sequence[object] = ()) -> list[tuple]:  # type: ignore[type-arg]
        with reported():
            return self._connection.execute(query, arguments).fetchall()


class QueueView(QueueReader):
    """The queue for a process that only looks. Raises QueueError when there is none."""

    def __init__(self, root: Path) -> None:
        """`root`: the archive's directory."""
        with reported():
            super().__init__(statefile.open_reading(root / DIRECTORY / NAME))


def exists(root: Path) -> bool:
    """Whether an archive has a queue."""
    return (root / DIRECTORY / NAME).exists()


def lost_of(note: str) -> tuple[int, float]:
    """Take such a note apart: how many, and the running time of the last."""
    count, _, at_s = (note or "0 0.0").partition(" ")
    return int(count), float(at_s)


@contextmanager
def reported() -> Iterator[None]:
    """Errors of the file as those of the queue."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise QueueError(f"the delivery queue: {error}") from error
