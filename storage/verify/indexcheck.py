"""`index.sqlite` against files and ledger: every row that follows from them, and no other.

Each call record is read and made a row again, as the index's writer makes it, and compared with what the tables say of
the call; the sums are summed again. What SQLite itself can say of the file is asked first. Bytes of the file that no
row needs are not looked at: the index can be made again, it proves nothing.
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from storage.archive import Archive, read_record
from storage.call_record import CallRecord
from storage.errors import DamagedRecordError, IndexMissingError, StorageError
from storage.index import schema
from storage.index.rows import CallRow, PartRow, call_row, days_after, places
from storage.layout import ID_DIGITS, day_folder
from storage.ledger.entries import Call, Late, Part, Subject
from storage.verify import indextables
from storage.verify.ledgerscan import LedgerScan, subject_of

_CALL = """
SELECT c.n, c.call_id, c.started_ns, c.ended_ns, c.offset_min, c.day, l.enterprise, l.line, c.direction, c.outcome,
  c.reasons, c.deciding, c.length_ms, c.mos, c.completeness, c.dtmf, c.holds, c.caller, c.callee
FROM calls AS c JOIN lines AS l ON l.id = c.line
"""


def differences(archive: Archive, scan: LedgerScan, refresh: Callable[[], None]) -> Iterator[str]:
    """What is different, in words without callers' numbers. `refresh` reads on in the ledger."""
    try:
        connection = schema.open_reading(archive.root / "index.sqlite")
    except IndexMissingError:
        return  # it can be made again from the files, and a copy of an archive needs none
    except StorageError as error:
        yield str(error)
        return
    try:
        connection.execute("BEGIN")
        yield from _Comparison(archive, scan, connection).run(refresh)
    except sqlite3.Error as error:
        yield str(schema.from_sqlite(error, "read the index"))
    finally:
        connection.close()


class _Comparison:
    def __init__(self, archive: Archive, scan: LedgerScan, connection: sqlite3.Connection) -> None:
        self._archive = archive
        self._scan = scan
        self._connection = connection

    def run(self, refresh: Callable[[], None]) -> Iterator[str]:
        broken = [text for (text,) in self._connection.execute("PRAGMA integrity_check(10)") if text != "ok"]
        if broken:
            yield f"the file is damaged: {broken[0]}"
            return
        absent = list(self._absent())
        refresh()  # what the index knows, the ledger knew before; what was erased meanwhile is gone from the index
        for entry in absent:
            if not self._scan.is_erased(entry):
                yield f"{subject_of(entry)} is not in it"
        for row in self._connection.execute(f"{_CALL} ORDER BY c.n").fetchall():
            yield from self._call_differences(row)
        (size,) = self._connection.execute("SELECT value FROM meta WHERE name = 'ledger_size'").fetchone()
        yield from indextables.differences(self._connection, self._scan.holds(size))

    def _absent(self) -> Iterator[Part | Call]:
        """The parts and calls of the ledger that are not in the index."""
        for day in self._scan.days():
            for entry in self._scan.on(day):
                if isinstance(entry, Late):
                    continue  # what came late is in no index
                call_id = bytes.fromhex(entry.call_id)
                if isinstance(entry, Part):
                    question = "SELECT 1 FROM parts JOIN calls USING (n) WHERE call_id = ? AND number = ?"
                    found = self._connection.execute(question, (call_id, entry.part)).fetchone()
                else:
                    question = "SELECT 1 FROM calls WHERE call_id = ? AND outcome > 0"
                    found = self._connection.execute(question, (call_id,)).fetchone()
                if not found and not self._scan.is_erased(entry):
                    yield entry

    def _call_differences(self, row: tuple[object, ...]) -> Iterator[str]:
        found = self._row(row)
        call_id = found.call_id.hex()
        subject = f"call {call_id[:ID_DIGITS]}"
        for part in found.parts:
            entry = self._scan.find(Subject(call_id=call_id, part=part.number))
            if entry is None or self._scan.is_erased(entry):
                yield f"part {part.number} of {subject} is in it, and not in the archive"
        if not found.outcome:
            return  # a call in progress: its parts are all there is
        entry = self._scan.find(Subject(call_id=call_id))
        if not isinstance(entry, Call) or self._scan.is_erased(entry):
            yield f"{subject} is in it, and not in the archive"
            return
        try:
            record = read_record(self._archive.records / day_folder(entry.day) / f"{call_id}.json")
        except DamagedRecordError:
            return  # told of already, as a file that is altered or missing
        wanted = call_row(record, self._parts(record))
        different = [name for name in CallRow.__slots__ if _said(found, name) != _said(wanted, name)]
        if different:
            yield f"{subject} is not in it as its record says: {', '.join(different)}"
        elif self._days(row[0]) != set(days_after(wanted)) or self._reasons(row[0]) != set(places(wanted.reasons)):
            yield f"{subject} is not found in it by all its days and reasons"

    def _row(self, row: tuple[object, ...]) -> CallRow:
        """What the tables say of a call."""
        names = CallRow.__slots__[: len(row) - 1]
        n = (row[0],)
        numbers = self._connection.execute(
            "SELECT m.searchable, p.roles FROM parties AS p JOIN numbers AS m ON m.id = p.number WHERE p.n = ?", n
        )
        links = self._connection.execute("SELECT kind, earlier FROM links WHERE n = ?", n)
        parts = self._connection.execute(
            "SELECT number, day, samples, size_bytes FROM parts WHERE n = ? ORDER BY number", n
        )
        values: dict[str, object] = dict(zip(names, row[1:], strict=True))
        values["numbers"] = tuple(sorted(numbers.fetchall()))
        values["links"] = tuple(sorted(links.fetchall()))
        values["parts"] = tuple(
            PartRow(number=number, day=day, samples=samples, size_bytes=size) for number, day, samples, size in parts
        )
        return CallRow(**values)  # type: ignore[arg-type]

    def _parts(self, record: CallRecord) -> tuple[PartRow, ...]:
        """The parts of a call that are there, as the index has them."""
        return tuple(
            PartRow(number=part.number, day=int(part.name[:8]), samples=part.samples, size_bytes=size)
            for part in record.parts
            if (size := self._size(self._archive.part_path(part.name))) is not None
        )

    def _size(self, path: Path) -> int | None:
        paths = [path] if path.suffix == ".zip" else [path, path.with_suffix(".json")]
        try:
            return sum(one.stat().st_size for one in paths)
        except OSError:
            return None

    def _days(self, n: object) -> set[int]:
        return {day for (day,) in self._connection.execute("SELECT day FROM overnight WHERE n = ?", (n,))}

    def _reasons(self, n: object) -> set[int]:
        return {reason for (reason,) in self._connection.execute("SELECT reason FROM reasons WHERE n = ?", (n,))}


def _said(row: CallRow, name: str) -> object:
    """A field, without the order of what has none."""
    value = getattr(row, name)
    return sorted(value) if name in ("numbers", "links") else value
