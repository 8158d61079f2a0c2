"""An erasure that a person asked for: what would go, having it done, the certificate."""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.table import Table

from appliance.assembling import setaside
from appliance.config import Configuration
from appliance.custody import archivesocket, orders
from appliance.custody.archiveclient import Ask, checked
from appliance.custody.archiverequests import MAX_CALLS, Account, Accounted, CallDay, Erase
from appliance.custody.inventory import KnownCall
from appliance.custody.orders import OpenOrder, Order
from appliance.errors import ConfigurationError
from appliance.version import software
from capture import journalscan
from storage.archive import Archive
from storage.disk import Directories, Disk, replace_file
from storage.errors import StorageError, from_os_error
from storage.ledger.view import LedgerView
from storage.retention import certificate, holds
from storage.retention.certificate import Certificate, Left, ProvenEntry
from storage.timestamps import rfc3339

JOURNAL_WAIT_S = 75.0
"""How long the journal may take to let go of what was erased, before the certificate says that it still holds some.

Assembly keeps the packets of a stream for 30 s after its last one."""
_PAUSE_S = 0.5
_FIRST_ZONE = timedelta(hours=14)
"""UTC+14, where every day begins first."""
_FEW = 20


def table(archive: Archive, calls: Sequence[KnownCall]) -> Table | str:
    """Lay out what would go: by day when there is much, and what is held."""
    if not calls:
        return "no call fits / 該当する通話はありません"
    held = holds.in_force(LedgerView(archive.ledger).holds())
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("day 日付", "calls 件数", "bytes 容量", "held 保全中"):
        shown.add_column(name, no_wrap=True, justify="left" if name.startswith("day") else "right")
    by_day: dict[str, list[KnownCall]] = {}
    for call in calls:
        by_day.setdefault(call.day if len(calls) < _FEW else call.day[:7], []).append(call)
    for day, those in (*by_day.items(), ("all 合計", list(calls))):
        count = sum(call.call_id in held for call in those)
        shown.add_row(day, f"{len(those):,}", f"{sum(call.bytes for call in those):,}", f"{count:,}" if count else "-")
    return shown


def erase(
    archive: Archive, configuration: Configuration, ask: Ask, calls: Sequence[KnownCall], order: Order, stem: Path
) -> Certificate:
    """Have calls erased; write and return the certificate.

    Args:
        archive: The archive.
        configuration: Names the customer.
        ask: Whoever owns the archive.
        calls: What is to be erased.
        order: For whom.
        stem: Where the certificate goes, without suffix.

    Raises:
        ArchiveError: the archive's owner refuses, or the disk fails.
    """
    opened = opened_order(archive, [(call.call_id, call.day) for call in calls], order, stem)
    with orders.opened(archive, opened):
        for batch in _batches(opened):
            checked(ask(Erase(calls=batch, rule=order.rule, who=order.who, why=order.why)))
        return certify(archive, configuration, ask, opened)


def opened_order(archive: Archive, calls: Sequence[CallDay], order: Order, stem: Path) -> OpenOrder:
    """Return an order as it is written down before anything is erased."""
    return OpenOrder(
        order=order,
        calls=tuple(calls),
        first=LedgerView(archive.ledger).size,
        newest=newest_journal_file(archive),
        certificate=str(stem.absolute()),
    )


def certify(archive: Archive, configuration: Configuration, ask: Ask, opened: OpenOrder) -> Certificate:
    """Write the certificate of what the ledger says has become of an order, and return it.

    Raises:
        ArchiveError: the archive's owner refuses, or the disk fails.
    """
    done = _certificate(archive, configuration, ask, opened)
    write(done, Path(opened.certificate))
    return done


def finish_left_over(archive: Archive, configuration: Configuration, ask: Ask) -> Iterator[Path]:
    """Write the certificates of orders whose process was killed; nothing more is erased for them.

    One that cannot go where it was to is kept in the archive, and says in the ledger's words what was erased: no number
    stays there.

    Raises:
        ArchiveError: the archive's owner refuses, or the disk fails.
    """
    for path in orders.left(archive):
        with orders.taken(path) as opened:
            if opened is None:
                continue
            done = _certificate(archive, configuration, ask, opened)
            stem = Path(opened.certificate)
            if not done.entries:
                continue  # nothing was erased
            try:
                write(done, stem)
            except StorageError:
                stem = archive.retention / certificate.FOLDER / stem.name
                Directories(Disk()).make(stem.parent)
                write(replace(done, subject=done.rule), stem)
            yield stem.with_name(f"{stem.name}.txt")


def _batches(opened: OpenOrder) -> Iterator[tuple[CallDay, ...]]:
    return (opened.calls[first : first + MAX_CALLS] for first in range(0, len(opened.calls), MAX_CALLS))


def _certificate(archive: Archive, configuration: Configuration, ask: Ask, opened: OpenOrder) -> Certificate:
    """The certificate, from the ledger."""
    order = opened.order
    proven: dict[str, ProvenEntry] = {}
    left: Counter[Left] = Counter()
    for batch in _batches(opened):
        answer = checked(ask(Account(calls=batch, first=opened.first, who=order.who, why=order.why)))
        assert isinstance(answer, Accounted)
        proven |= {entry.line: ProvenEntry(line=entry.line, proof=entry.proof) for entry in answer.entries}
        left += Counter(Left(why) for why in answer.left.values())
    sums = certificate.sums(proven)
    return Certificate(
        software=software(),
        customer=configuration.site.customer,
        site=configuration.site.site,
        subject=order.subject,
        rule=order.rule,
        who=order.who,
        why=order.why,
        at=rfc3339(time.time_ns(), configuration.zone),
        calls=sums.calls,
        parts=sums.parts,
        bytes=sums.bytes,
        left=left,
        journal_clean=journal_is_clean(archive, opened.newest) and not _may_be_set_aside(archive, opened.calls),
        backup_days=configuration.backup.keep_days if configuration.backup.directory else 0,
        entries=tuple(proven.values()),
    )


def check_writable(stem: Path) -> None:
    """Raise ConfigurationError when the certificate could not be written: better before than behind the erasure."""
    if not os.access(stem.parent, os.W_OK | os.X_OK):
        raise ConfigurationError(f"--certificate: {stem.parent} cannot be written to")


def write(done: Certificate, stem: Path) -> None:
    """Write the certificate as text and as JSON, each complete or not at all. Raises DiskFullError or ArchiveError."""
    disk = Disk()
    directories = Directories(disk)
    contents = {".txt": certificate.to_text(done).encode(), ".json": certificate.to_json(done)}
    try:
        for suffix, content in contents.items():
            draft = stem.with_name(f".{stem.name}{suffix}.tmp-{os.getpid()}")
            replace_file(disk, draft, stem.with_name(f"{stem.name}{suffix}"), content)
    except OSError as error:
        raise from_os_error(error, "write the certificate") from error
    directories.note(stem.parent)
    directories.sync()


def newest_journal_file(archive: Archive) -> int:
    """Return the number of the journal's newest file that holds something; -1 when none does."""
    return max(_journal_files(archive), default=-1)


def journal_is_clean(archive: Archive, newest: int) -> bool:
    """Wait a little until the journal has given up all files up to `newest`, which may hold what was erased."""
    deadline = time.monotonic() + JOURNAL_WAIT_S
    while True:
        if all(number > newest for number in _journal_files(archive)):
            return True
        if time.monotonic() > deadline or not (archive.run / archivesocket.NAME).exists():
            return False
        time.sleep(_PAUSE_S)


def _may_be_set_aside(archive: Archive, calls: Sequence[CallDay]) -> bool:
    """Whether the quarantine holds a block of the journal that is not older than all of the calls."""
    earliest = min(day for _, day in calls)
    blocks = (path for path in archive.quarantine.glob("*.rkj") if len(path.stem) == setaside.BLOCK_DIGITS)
    return any(_size(path) and _day_of(path) >= earliest for path in blocks)


def _day_of(path: Path) -> str:
    """The latest date that it was anywhere on earth when a file was written."""
    with suppress(FileNotFoundError):
        return (datetime.fromtimestamp(path.stat().st_mtime, UTC) + _FIRST_ZONE).date().isoformat()
    return ""


def _journal_files(archive: Archive) -> list[int]:
    """Numbers of the journal's files that hold something."""
    if not archive.journal.is_dir():
        return []
    found = journalscan.numbers(archive.journal)
    return [number for number in found if _size(journalscan.path_of(archive.journal, number))]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
