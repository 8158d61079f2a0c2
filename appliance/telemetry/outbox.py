"""Store and forward: every message until the broker has confirmed it (PUBACK), whatever happens in between.

| a message      | is kept                                                        |
|----------------|----------------------------------------------------------------|
| in memory      | from `put` on, at most `MAX_UNSAVED` while the disk refuses    |
| on the disk    | from `save` on, until `confirm`; it may be sent from now on    |
| collapsing     | only the latest of its topic: a state that a later one replaces |

Ids are `PROCESS-NUMBER`: the number grows, also over restarts, so whoever receives a message twice, or out of order,
can tell. Over its bound the outbox drops summaries of calls first, the oldest of them, then events; alarms last.
"""

import json
import secrets
import sqlite3
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum

from appliance.errors import StateFileError
from appliance.telemetry.statefile import StateFile

MAX_BYTES = 256 << 20
"""More than 7 days of a busy site."""
MAX_UNSAVED = 10_000
_EVICT_SHARE = 0.02
"""So much is dropped at a time."""
_ROW_BYTES = 64
"""What a row takes besides its payload and topic."""


Confirmed = Callable[[sqlite3.Connection, bytes], None]


class Priority(IntEnum):
    """What goes first when much waits; within one, the order is that of `put`."""

    ALARM = 0
    CHECKPOINT = 1
    STATE = 2
    EVENT = 3
    SUMMARY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A message on its way."""

    n: int
    """Its number."""
    priority: Priority
    topic: str
    payload: bytes
    """Empty: the retained message of the topic is taken away."""
    retain: bool
    """The broker keeps it for later subscribers."""
    collapses: bool = False
    """A later one of its topic replaces it."""

    @property
    def size_bytes(self) -> int:
        """Room that it takes."""
        return len(self.payload) + len(self.topic) + _ROW_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxState:
    """How much waits."""

    messages: int
    size_bytes: int
    dropped: int
    """Messages dropped for want of room, since the process began."""
    is_saved: bool
    """The disk takes what waits."""


class Outbox:
    """The messages that wait. Used by several threads."""

    def __init__(
        self, state: StateFile, *, max_bytes: int = MAX_BYTES, confirmed: Confirmed = lambda _connection, _payload: None
    ) -> None:
        """`confirmed` is told of each alarm that the broker has, in the transaction in which it is forgotten here."""
        self._state = state
        self._confirm_alarm = confirmed
        self._max_bytes = max_bytes
        self._unsaved: deque[Envelope] = deque()
        self._refused = False
        """The disk did not take what was put: it is sent from memory."""
        self._confirmed: set[int] = set()
        """Messages that the broker has, and the disk still holds because it refuses."""
        self._process, self._process_aside = secrets.token_hex(4), secrets.token_hex(4)
        self._aside = 0
        self._next_n = 1
        self._size_bytes = 0
        self._messages = 0
        self._dropped = 0
        self._is_known = False
        """What the disk holds was counted."""

    def put(
        self,
        make: Callable[[str], bytes],
        topic: str,
        priority: Priority,
        *,
        retain: bool = False,
        collapses: bool = False,
    ) -> str:
        """Take a message, which `make` makes when it is told its id, and return the id."""
        with self._state.lock:
            self._look()
            id = f"{self._process}-{self._next_n}"
            envelope = Envelope(
                n=self._next_n, priority=priority, topic=topic, payload=make(id), retain=retain, collapses=collapses
            )
            self._next_n += 1
            if collapses:
                self._unsaved = deque(one for one in self._unsaved if not (one.collapses and one.topic == topic))
            self._unsaved.append(envelope)
            return id

    def next_id(self) -> str:
        """An id for a message that does not go through the outbox."""
        with self._state.lock:
            self._aside += 1
            return f"{self._process_aside}-{self._aside}"

    def save(self, also: Callable[[sqlite3.Connection], None] = lambda _connection: None) -> bool:
        """Bring what was put to the disk, and whatever `also` writes with it; False when the disk refuses."""
        with self._state.lock:
            self._look()
            try:
                with self._state.transaction() as connection:
                    also(connection)
                    for envelope in self._unsaved:
                        self._insert(connection, envelope)
                    self._make_room(connection)
            except StateFileError:
                self._refused, self._is_known = True, False
                while len(self._unsaved) > MAX_UNSAVED:
                    self._unsaved.popleft()
                    self._dropped += 1
                return False
            self._unsaved.clear()
            self._refused = False
            return True

    def pending(self, limit: int, under_way: Collection[int] = ()) -> Sequence[Envelope]:
        """The next messages to send, at most `limit`, without those of these numbers."""
        with self._state.lock:
            self._look()
            found: list[Envelope] = []
            try:
                with self._state.transaction() as connection:
                    found = [
                        Envelope(n=n, priority=Priority(priority), topic=topic, payload=payload, retain=bool(retain))
                        for n, priority, topic, payload, retain in connection.execute(
                            "SELECT n, priority, topic, payload, retain FROM outbox"
                            " WHERE n NOT IN (SELECT value FROM json_each(?)) ORDER BY priority, n LIMIT ?",
                            (json.dumps([*under_way, *self._confirmed]), limit),
                        )
                    ]
            except StateFileError:
                self._refused, self._is_known = True, False
            if self._refused:
                found += [envelope for envelope in self._unsaved if envelope.n not in under_way]
            return sorted(found, key=lambda envelope: (envelope.priority, envelope.n))[:limit]

    def confirm(self, numbers: Collection[int]) -> None:
        """Forget messages that the broker has; while the disk refuses that, it is remembered."""
        with self._state.lock:
            self._confirmed.update(numbers)
            if not self._confirmed:
                return
            self._unsaved = deque(envelope for envelope in self._unsaved if envelope.n not in self._confirmed)
            try:
                with self._state.transaction() as connection:
                    gone = json.dumps(list(self._confirmed))
                    for (payload,) in connection.execute(
                        "SELECT payload FROM outbox WHERE priority = ? AND n IN (SELECT value FROM json_each(?))",
                        (Priority.ALARM, gone),
                    ).fetchall():
                        self._confirm_alarm(connection, payload)
                    self._delete(connection, "n IN (SELECT value FROM json_each(?))", gone)
            except StateFileError:
                self._refused, self._is_known = True, False
            else:
                self._confirmed.clear()

    @property
    def state(self) -> OutboxState:
        """How much waits."""
        with self._state.lock:
            self._look()
            return OutboxState(
                messages=self._messages + len(self._unsaved),
                size_bytes=self._size_bytes + sum(envelope.size_bytes for envelope in self._unsaved),
                dropped=self._dropped,
                is_saved=not self._refused,
            )

    def _look(self) -> None:
        """Count what the disk holds, once it can be read."""
        if self._is_known:
            return
        try:
            with self._state.transaction() as connection:
                self._messages, self._size_bytes, last = connection.execute(
                    f"SELECT count(*), coalesce(sum(length(payload) + length(topic) + {_ROW_BYTES}), 0),"
                    " coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0) FROM outbox"
                ).fetchone()
        except StateFileError:
            return
        self._next_n = max(self._next_n, last + 1)
        self._is_known = True

    def _insert(self, connection: sqlite3.Connection, envelope: Envelope) -> None:
        if envelope.collapses:
            self._delete(connection, "collapses AND topic = ?", envelope.topic)
        connection.execute(
            "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?)",
            (
                envelope.n,
                envelope.priority,
                envelope.topic,
                envelope.payload,
                envelope.retain,
                envelope.collapses,
            ),
        )
        self._messages += 1
        self._size_bytes += envelope.size_bytes

    def _delete(self, connection: sqlite3.Connection, condition: str, parameter: str) -> int:
        gone = connection.execute(
            f"DELETE FROM outbox WHERE {condition} RETURNING length(payload) + length(topic) + {_ROW_BYTES}",
            (parameter,),
        ).fetchall()
        self._messages -= len(gone)
        self._size_bytes -= sum(size for (size,) in gone)
        return len(gone)

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Drop what matters least, the oldest first."""
        while self._size_bytes > self._max_bytes and self._messages > 1:
            at_once = max(1, int(self._messages * _EVICT_SHARE))
            least = connection.execute(
                "SELECT n FROM outbox WHERE priority = (SELECT max(priority) FROM outbox) ORDER BY n LIMIT ?",
                (at_once,),
            ).fetchall()
            numbers = json.dumps([n for (n,) in least])
            self._dropped += self._delete(connection, "n IN (SELECT value FROM json_each(?))", numbers)
