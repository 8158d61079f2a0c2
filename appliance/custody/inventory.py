"""What is in an archive, for retention, holds and erasure: read only, beside whoever owns the archive.

Every call record counts, also that of a call without a recording: its numbers are kept no longer than speech is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.custody.pendinguploads import PendingUploads
from capture.numbers import canonical
from storage.archive import Archive, dated, read_record
from storage.call_record import CallRecord
from storage.errors import DamagedRecordError, IndexDamagedError, StorageError
from storage.index.numbers import searchable
from storage.index.reader import Hit, IndexReader, Stocked
from storage.layout import ID_DIGITS, day_folder
from storage.ledger.view import LedgerView
from storage.retention import clockguard, holds
from storage.retention.clockguard import ClockState
from storage.retention.holding import Holding, Moment

MOST_BEHIND = 4000
"""Lines of the ledger that the index may lack for a moment: what has just come."""
RECORD_BYTES = 8192
"""Room that a call's record takes, as a rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCall:
    """A call of the archive."""

    call_id: str
    day: str
    """Local date of its start, `YYYY-MM-DD`."""
    enterprise: str | None
    line: str | None
    numbers: frozenset[str]
    """Everybody's numbers in it, in the form in which they are searched."""
    bytes: int
    """Room that its files take."""


def calls(archive: Archive, report: Callable[[DamagedRecordError], None]) -> Iterator[KnownCall]:
    """Every call that has ended, from the call records. Raises ArchiveError."""
    late = _late_files(archive)
    return (_known(archive, record, late.get(record.call_id, ())) for record in archive.calls(report))


def named(archive: Archive, beginnings: Sequence[str]) -> list[KnownCall] | None:
    """The calls that have ended whose ids begin so, found by the index and read from their records.

    None when the index cannot be relied on: it is missing, behind the ledger, knows nothing that begins so, or names a
    record that cannot be read.
    """
    try:
        with IndexReader(archive.index) as index:
            if index.ledger_size != LedgerView(archive.ledger).size:
                return None
            found = [[hit for hit in index.calls(one) if hit.outcome is not None] for one in beginnings]
        if not all(found):
            return None
        paths = {_path(archive, hit): None for hits in found for hit in hits}
        late = _late_files(archive)
        records = (read_record(path) for path in paths)
        return [_known(archive, record, late.get(record.call_id, ())) for record in records]
    except StorageError:
        return None


def holdings(
    archive: Archive, clock: ClockState, uploads: PendingUploads, report: Callable[[DamagedRecordError], None]
) -> list[Holding]:
    """Every call that has ended, as retention plans with it.

    From the index, as a million records take minutes to read: what is to be erased has to be `confirmed`. From the
    records, of which damaged ones go to `report`, when the index lacks more than what has just come. Raises
    ArchiveError when the ledger cannot be read, QueueError when that of the deliveries cannot.
    """
    ledger = LedgerView(archive.ledger)
    pending = uploads.snapshot()
    held = holds.in_force(ledger.holds())
    forms: dict[str, str | None] = {}

    def holding(call: Stocked) -> Holding:
        found = ledger.position(call.call_id)
        # What is not in the ledger yet has just come.
        position = ledger.size if found is None else found
        if call.line not in forms:
            forms[call.line] = canonical(call.line) or None
        return Holding(
            call_id=call.call_id,
            position=position,
            archived_ns=clock.elapsed_ns if found is None else clockguard.archived_ns(clock, position),
            bytes=call.bytes,
            day=call.day,
            enterprise=call.enterprise or None,
            line=forms[call.line],
            is_pending=pending.needs(call.call_id, call.enterprise, position),
            is_held=call.call_id in held,
        )

    try:
        return [holding(call) for call in _stock(archive, ledger)]
    except StorageError:
        return [holding(_stocked(call)) for call in calls(archive, report)]


def is_confirmed(archive: Archive, holding: Holding, report: Callable[[DamagedRecordError], None]) -> bool:
    """Whether the call's record says whose call it is as the index does; what is wrong goes to `report`."""
    path = archive.records / day_folder(holding.day) / f"{holding.call_id}.json"
    if not path.exists():
        return False  # erased meanwhile
    try:
        record = read_record(path)
        line = canonical(record.line) if record.line else None
        if (record.enterprise, line) != (holding.enterprise, holding.line):
            raise DamagedRecordError(
                f"call record {holding.call_id[:ID_DIGITS]}: the index says otherwise; `rokubox reindex` makes it anew"
            )
    except DamagedRecordError as error:
        report(error)
        return False
    return True


def _stock(archive: Archive, ledger: LedgerView) -> Iterator[Stocked]:
    """What the index knows. Raises StorageError when it cannot be used, or is far behind."""
    with IndexReader(archive.index) as index:
        if index.ledger_size + MOST_BEHIND < ledger.size:
            raise IndexDamagedError("the index is behind the ledger")
        for call in index.stock():
            yield call._replace(bytes=call.bytes + RECORD_BYTES)


def _stocked(call: KnownCall) -> Stocked:
    return Stocked(call.call_id, call.day, call.enterprise or "", call.line or "", call.bytes)


def moment(clock: ClockState) -> Moment:
    """Now, as the clock's state has it."""
    return Moment(elapsed_ns=clock.elapsed_ns, confirmed_on=clockguard.today(clock))


def _path(archive: Archive, hit: Hit) -> Path:
    return archive.records / day_folder(hit.started_at.date().isoformat()) / f"{hit.call_id}.json"


def _late_files(archive: Archive) -> dict[str, list[Path]]:
    """Records of packets after the end of calls, by call id, which their names begin with."""
    found: dict[str, list[Path]] = {}
    for day in dated(archive.late):
        for path in day.glob("*_*.json"):
            found.setdefault(path.name.partition("_")[0], []).append(path)
    return found


def _known(archive: Archive, record: CallRecord, late: Sequence[Path]) -> KnownCall:
    said = (record.caller.number, record.callee.number, record.dialled, *record.asserted, *record.diversion)
    return KnownCall(
        call_id=record.call_id,
        day=record.started_at[:10],
        enterprise=record.enterprise,
        line=canonical(record.line) if record.line else None,
        numbers=frozenset(form for number in said if (form := searchable(number))),
        bytes=_room(archive, record, late),
    )


def _room(archive: Archive, record: CallRecord, late: Sequence[Path]) -> int:
    parts = [archive.part_path(part.name) for part in record.parts]
    sidecars = [part.with_suffix(".json") for part in parts if part.suffix == ".wav"]
    room = 0
    for file in (*parts, *sidecars, archive.record_path(record), *late):
        try:
            room += file.stat().st_blocks * 512
        except OSError:
            continue  # missing: `verify` says so
    return room
