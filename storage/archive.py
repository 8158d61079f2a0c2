"""The archive directory, as it is read: the call records in order of time. Writing is `writer`'s.

DIR/recordings/YYYY/MM/DD/   finished parts
    calls/YYYY/MM/DD/        call records, <call_id>.json
    late/YYYY/MM/DD/         packets that came after the end of a call, <call_id>_<ssrc>_<first ns>.json
    spool/  run/             drafts and what assembly keeps of itself; lock, process ids
    ledger/  index.sqlite    what is in the archive: for good, and to be searched
    retention/               what is known of real time, erasures in progress, certificates
    journal/  quarantine/    what the wire showed; what assembly could not get past
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from storage.call_record import CallRecord
from storage.errors import ArchiveError, DamagedRecordError, from_os_error
from storage.json_form import from_json
from storage.late_record import LateRecord
from storage.layout import ID_DIGITS, day_folder
from storage.timestamps import instant_ns

MAX_RECORD_BYTES = 64 << 20
"""No call record is larger; a larger file is damaged, or not ours."""


class Archive:
    """An archive directory. Reading needs no lock: what has its final name is complete and never changes."""

    def __init__(self, root: Path) -> None:
        """Raises ArchiveError when `root` exists and is not a directory."""
        if os.path.lexists(root) and not os.path.isdir(root):
            raise ArchiveError(f"{root} is not a directory")
        self.root = root
        """The archive directory."""
        self.recordings = root / "recordings"
        """Finished parts, in a folder for each local day."""
        self.records = root / "calls"
        """Call records, in a folder for each local day."""
        self.late = root / "late"
        """What came after the end of a call, in a folder for each local day."""
        self.spool = root / "spool"
        """Drafts, gone while nobody writes, and assembly's snapshot."""
        self.run = root / "run"
        """Lock and process ids."""
        self.journal = root / "journal"
        """What the wire showed, as long as it is needed."""
        self.ledger = root / "ledger"
        """What is in the archive, for good: entries, checkpoints, the device key."""
        self.index = root / "index.sqlite"
        """What is in the archive, to be searched; made from the rest."""
        self.retention = root / "retention"
        """What is known of real time, and an erasure in progress."""
        self.quarantine = root / "quarantine"
        """Journal blocks that assembly could not get past."""

    def part_path(self, name: str) -> Path:
        """Where the part of this file name lies."""
        return self.recordings / day_folder(name) / name

    def record_path(self, record: CallRecord) -> Path:
        """Where this call record lies."""
        return self.records / day_folder(record.started_at) / f"{record.call_id}.json"

    def late_path(self, record: LateRecord) -> Path:
        """Where this record of late packets lies."""
        return self.late_file(record.first_at, record.call_id, record.ssrc, instant_ns(record.first_at))

    def late_file(self, day: str, call_id: str, ssrc: str, first_ns: int) -> Path:
        """Where the record of this call's late packets of a stream lies, `day` being that of the first."""
        return self.late / day_folder(day) / f"{call_id}_{ssrc}_{first_ns}.json"

    def calls(self, report: Callable[[DamagedRecordError], None]) -> Iterator[CallRecord]:
        """Every call record: days in order of local date, within a day by start, then id.

        A file that is no valid record goes to `report` and is left out. Raises ArchiveError when there is no archive or
        a folder cannot be read.
        """
        if not os.path.isdir(self.root):
            raise ArchiveError(f"{self.root} is not a directory")
        for day in dated(self.records):
            paths = _listing(day, lambda path: path.suffix == ".json" and not path.name.startswith("."))
            found = [record for path in paths if (record := _read(path, report)) is not None]
            yield from sorted(found, key=lambda record: (instant_ns(record.started_at), record.call_id))

    def late_records(self, report: Callable[[DamagedRecordError], None]) -> Iterator[LateRecord]:
        """Every record of packets after the end of a call, by day and name; damaged ones as in `calls`."""
        for day in dated(self.late):
            for path in _listing(day, lambda path: path.suffix == ".json" and not path.name.startswith(".")):
                try:
                    yield read_late_record(path)
                except DamagedRecordError as error:
                    report(error)


def dated(folder: Path) -> Iterator[Path]:
    """The day folders below `calls/` or `recordings/`, in order. Raises ArchiveError."""
    return (day for year in _dated(folder) for month in _dated(year) for day in _dated(month))


def read_record(path: Path) -> CallRecord:
    """One call record from its file. Raises DamagedRecordError."""
    subject = f"call record {path.stem[:ID_DIGITS]}"
    try:
        content = read_stored(path)
    except OSError as error:
        raise DamagedRecordError(f"{subject}: {error.strerror}") from error
    try:
        record = from_json(content, CallRecord)
        instant_ns(record.started_at)
    except (DamagedRecordError, ValueError) as error:
        raise DamagedRecordError(f"{subject}: {error}") from error
    if record.call_id != path.stem:
        raise DamagedRecordError(f"{subject}: holds call {record.call_id[:ID_DIGITS]}")
    return record


def read_late_record(path: Path) -> LateRecord:
    """One record of packets after the end of a call, from its file. Raises DamagedRecordError."""
    subject = f"late packets of call {path.stem[:ID_DIGITS]}"
    try:
        with path.open("rb") as stored:
            return from_json(stored.read(MAX_RECORD_BYTES + 1), LateRecord)
    except OSError as error:
        raise DamagedRecordError(f"{subject}: {error.strerror}") from error
    except DamagedRecordError as error:
        raise DamagedRecordError(f"{subject}: {error}") from error


def read_stored(path: Path | str) -> bytes:
    """The bytes of a call record, of a file that is too large for one more than it may have. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Asked for no more than there is: room for all that there might be costs more than reading.
        size = min(os.fstat(descriptor).st_size, MAX_RECORD_BYTES + 1)
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def _read(path: Path, report: Callable[[DamagedRecordError], None]) -> CallRecord | None:
    try:
        return read_record(path)
    except DamagedRecordError as error:
        report(error)
        return None


def _dated(folder: Path) -> list[Path]:
    """The year, month or day folders in `folder`."""
    return _listing(folder, lambda path: path.name.isascii() and path.name.isdigit() and path.is_dir())


def _listing(folder: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    """Sorted paths in `folder`, none when it does not exist."""
    try:
        paths = [path for path in folder.iterdir() if wanted(path)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, "read a directory of the archive") from error
    return sorted(paths)
