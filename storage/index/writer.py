"""The one writer of the index. What is derived from the ledger and how much of the ledger lies in one transaction.

Rows are gathered and written together: `commit` is called once a second or so, and everything since the commit before
is there or is not. After an error nothing of it is; the caller goes on from `ledger_size`, and all of it is idempotent.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from storage.errors import IndexDamagedError
from storage.index import schema
from storage.index.daysums import settle
from storage.index.rows import CallRow, PartRow, call_row, open_row
from storage.index.slimrecord import AnyRecord
from storage.index.tables import Tables
from storage.part_record import PartRecord

BATCH_ROWS = 2000
"""So many calls are written at the latest, whether `commit` was called or not."""


class IndexWriter:
    """Writes one `index.sqlite`, which it makes when there is none. A context: its end commits, unless by an error."""

    def __init__(self, path: Path, *, filling: bool = False) -> None:
        """`filling`: the file is only to be filled with calls, each of them once, until `finish_filling`.

        Raises IndexDamagedError when the file is no index of this version, ArchiveError or DiskFullError.
        """
        self._connection = schema.open_writing(path, filling=filling)
        self._pending: dict[bytes, CallRow] = {}
        self._tables = Tables(self._connection)
        unfinished = bool(self._tables.meta("filling"))
        if unfinished and not filling:
            self._connection.close()
            raise IndexDamagedError("the index that is being made anew is not finished")
        self._tables = Tables(self._connection, filling=unfinished)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.commit()
            if kind is None and not self.is_filling:
                self.settle()
        finally:
            self.close()

    @property
    def ledger_size(self) -> int:
        """Entries of the ledger that are in the index."""
        return int(self._tables.meta("ledger_size"))

    @ledger_size.setter
    def ledger_size(self, size: int) -> None:
        """Say, after all else, how far into the ledger the calls below reach."""
        with self._writing("note the ledger's size in the index"):
            self._tables.set_meta("ledger_size", size)

    def add(self, record: AnyRecord, parts: Iterable[PartRow]) -> None:
        """Add a call that has ended, with its parts that are there. One that is in the index already is left alone."""
        self.put(call_row(record, tuple(parts)))

    def put(self, row: CallRow) -> None:
        """Add a call as `rows` makes it; the same as `add` otherwise."""
        self._pending[row.call_id] = row
        if len(self._pending) >= BATCH_ROWS:
            if self.is_filling:  # a day is there whole or not at all
                with self._writing("write the index"):
                    pass
            else:
                self.commit()

    def add_part(self, record: PartRecord, part: PartRow) -> None:
        """Add a part of a call; of a call that has no record yet, the call too, as one in progress."""
        call_id = bytes.fromhex(record.call_id)
        if (pending := self._pending.get(call_id)) is not None:
            known, ended = pending.parts, pending.outcome > 0
        else:
            known, ended = self._tables.parts_of(call_id), self._tables.has_ended(call_id)
        if ended:
            with self._writing("add a part to the index"):
                self._tables.put_part(call_id, part)
        elif all(other.number != part.number for other in known):
            parts = tuple(sorted((*known, part), key=lambda each: each.number))
            if part is parts[-1]:
                self.put(open_row(record, parts))
            else:
                with self._writing("add a part to the index"):
                    self._tables.put_part(call_id, part)

    def hold(self, call_ids: Iterable[str], name: str) -> None:
        """Put a legal hold of this name on calls; those that are not in the index are passed over."""
        with self._writing("note a hold in the index"):
            self._tables.hold(map(bytes.fromhex, call_ids), name)

    def release(self, call_ids: Iterable[str], name: str) -> None:
        """Take the legal hold of this name from calls."""
        with self._writing("note a hold in the index"):
            self._tables.release(map(bytes.fromhex, call_ids), name)

    def remove(self, call_ids: Iterable[str]) -> None:
        """Take calls out, with every number that no other call has. `purge` is what leaves no trace of them."""
        with self._writing("remove calls from the index"):
            self._tables.remove(map(bytes.fromhex, call_ids))

    def remove_parts(self, parts: Iterable[tuple[str, int]]) -> None:
        """Take parts out, by call id and number; the calls stay."""
        with self._writing("remove parts from the index"):
            self._tables.remove_parts((bytes.fromhex(call_id), number) for call_id, number in parts)

    @property
    def is_filling(self) -> bool:
        """Whether the file is still to be filled."""
        return self._tables.filling

    def begin_filling(self, ledger_size: int) -> None:
        """Keep how far the ledger was when the filling began, whoever goes on with it."""
        with self._writing("write the index"):
            if self._tables.meta("filled_ledger_size") < 0:
                self._tables.set_meta("filled_ledger_size", ledger_size)

    @property
    def filled_ledger_size(self) -> int:
        """Entries of the ledger that were there when the filling began."""
        return self._tables.meta("filled_ledger_size")

    @property
    def filled_day(self) -> int:
        """The last day that was filled in, as YYYYMMDD; 0 before the first."""
        return self._tables.meta("filled_day")

    @filled_day.setter
    def filled_day(self, day: int) -> None:
        with self._writing("write the index"):
            self._tables.set_meta("filled_day", day)

    def finish_filling(self) -> None:
        """Sort and index what was filled in; from now on the file is an index like any other."""
        self.commit()
        with self._errors("write the index"):
            schema.finish_filling(self._connection)
        self._tables = Tables(self._connection)

    def count(self) -> int:
        """Calls in the index."""
        with self._writing("read the index"):
            return self._tables.count()

    def has(self, call_id: str) -> bool:
        """Whether the call is in the index."""
        with self._writing("read the index"):
            return self._tables.has(bytes.fromhex(call_id))

    def parts_by_day(self) -> dict[int, int]:
        """How many parts of each date, as YYYYMMDD, are in the index."""
        with self._writing("read the index"):
            return self._tables.parts_by_day()

    def without(self, parts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
        """Of these parts, named by the first digits of the call's id and their number, those not in the index."""
        with self._writing("read the index"):
            return [part for part in parts if not self._tables.has_part(*part)]

    def commit(self) -> None:
        """Make visible and keep what was told since the last time. Raises DiskFullError, ArchiveError."""
        with self._writing("write the index"):
            pass
        if self._connection.in_transaction:
            with self._errors("write the index"):
                self._connection.execute("COMMIT")

    def settle(self) -> None:
        """Work out the most calls at one time for dates that have changed; until then readers do that themselves."""
        with self._writing("sum up days in the index"):
            settle(self._connection)
        self.commit()

    @property
    def has_traces(self) -> bool:
        """Whether something was removed since the last `purge`."""
        return bool(self._tables.meta("removed"))

    def purge(self, *, completes: bool = True) -> bool:
        """Leave no byte of what was removed, in the file or in its log; False: a reader stands in the way, try later.

        Not `completes`: there may be traces elsewhere, so `has_traces` stays.

        SQLite overwrites what it deletes, but not the copies that it has left where it moved rows before. So the file
        is written anew when something was removed: about 4 s for a million calls, in which nobody else can write to it.
        Another process than the writer's may do it: what the writer removes meanwhile is left for the next time. Raises
        DiskFullError, ArchiveError.
        """
        self.commit()
        with self._errors("purge the index"):
            removed = self._tables.meta("removed")
            if not removed:
                return True
            self._connection.execute("VACUUM")
            (busy, *_) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                return False
            if completes:
                self._connection.execute("UPDATE meta SET value = 0 WHERE name = 'removed' AND value = ?", (removed,))
        return True

    def close(self) -> None:
        """Give the file back; what was not committed is lost."""
        self._connection.close()

    @contextmanager
    def _writing(self, doing: str) -> Iterator[None]:
        """A transaction that goes on until `commit`, behind what is pending."""
        with self._errors(doing):
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            rows: Sequence[CallRow] = tuple(self._pending.values())
            if rows:
                self._tables.put(rows)
                self._pending.clear()
            yield

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._pending.clear()
            self._tables.forget()
            if isinstance(error, sqlite3.Error):
                raise schema.from_sqlite(error, doing) from error
            raise
