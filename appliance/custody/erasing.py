"""An erasure that a person asked for: what would go, having it done, the certificate."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from appliance.config import Configuration
from appliance.custody import archivesocket
from appliance.custody.archiveclient import Ask, checked
from appliance.custody.archiverequests import MAX_CALLS, Erase, Erased
from appliance.custody.inventory import KnownCall
from appliance.errors import ConfigurationError
from appliance.version import software
from capture import journalscan
from storage.archive import Archive
from storage.ledger.view import LedgerView
from storage.retention import certificate, holds
from storage.retention.certificate import Certificate, Left, ProvenEntry
from storage.timestamps import rfc3339

JOURNAL_WAIT_S = 75.0
"""How long the journal may take to let go of what was erased, before the certificate says that it still holds some.

Assembly keeps the packets of a stream for 30 s after its last one."""
_PAUSE_S = 0.5
_FEW = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be erased, for whom."""

    subject: str
    """In the words of who asked; may hold numbers."""
    rule: str
    """The same for the ledger, without numbers."""
    who: str
    why: str


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
    archive: Archive, configuration: Configuration, ask: Ask, calls: Sequence[KnownCall], order: Order
) -> Certificate:
    """Have calls erased and return the certificate.

    Raises:
        ArchiveError: the archive's owner refuses.
    """
    newest = newest_journal_file(archive)
    answers = []
    for first in range(0, len(calls), MAX_CALLS):
        batch = tuple((call.call_id, call.day) for call in calls[first : first + MAX_CALLS])
        answer = checked(ask(Erase(calls=batch, rule=order.rule, who=order.who, why=order.why)))
        assert isinstance(answer, Erased)
        answers.append(answer)
    return certificate_of(configuration, answers, order, journal_clean=journal_is_clean(archive, newest))


def certificate_of(
    configuration: Configuration, answers: Sequence[Erased], order: Order, *, journal_clean: bool
) -> Certificate:
    """Return the certificate of what the archive's owner has done about an order."""
    proven = [answer.entry for answer in answers if answer.entry is not None]
    return Certificate(
        software=software(),
        customer=configuration.site.customer,
        site=configuration.site.site,
        subject=order.subject,
        rule=order.rule,
        who=order.who,
        why=order.why,
        at=rfc3339(time.time_ns(), configuration.zone),
        calls=sum(len(answer.erased) for answer in answers),
        parts=sum(answer.parts for answer in answers),
        bytes=sum(answer.bytes for answer in answers),
        left=Counter(Left(why) for answer in answers for why in answer.left.values()),
        journal_clean=journal_clean,
        backup_days=configuration.backup.keep_days if configuration.backup.directory else 0,
        entries=tuple(ProvenEntry(line=entry.line, proof=entry.proof) for entry in proven),
    )


def check_writable(stem: Path) -> None:
    """Raise ConfigurationError when the certificate could not be written: better before than behind the erasure."""
    if not os.access(stem.parent, os.W_OK | os.X_OK):
        raise ConfigurationError(f"--certificate: {stem.parent} cannot be written to")


def write(done: Certificate, stem: Path) -> None:
    """Write the certificate beside each other as JSON and as text. Raises OSError."""
    stem.with_name(f"{stem.name}.json").write_bytes(certificate.to_json(done))
    stem.with_name(f"{stem.name}.txt").write_text(certificate.to_text(done), "utf-8")


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
