"""Contracts that have ended: everything of them is erased within a month, with a certificate for each enterprise ID.

Retention erases it (`storage.retention.plan`), the certificates stay in the archive, under `retention/certificates/`:
they hold no numbers. What a legal hold, an upload or an uncertain clock keeps is told in time.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from appliance.config import Configuration
from appliance.custody import erasing
from appliance.custody.erasing import Order
from appliance.custody.retentionrun import WHY, Carried, Outlook
from storage.archive import Archive
from storage.disk import Directories, Disk, replace_file
from storage.errors import from_os_error
from storage.retention import certificate, clockguard
from storage.retention.certificate import Certificate
from storage.retention.plan import Cause

TOLD_AFTER = timedelta(days=21)
"""What is still there so long after the contract's end is told every day: a week is left of the shortest month."""


def certify(
    archive: Archive, configuration: Configuration, done: Sequence[Carried], who: str, newest: int
) -> Iterator[Path]:
    """Write a certificate for each enterprise ID of which something was erased at its contract's end.

    Args:
        archive: The archive.
        configuration: Whose contracts they are.
        done: What was erased.
        who: Who caused it.
        newest: Newest file of the journal before it was.

    Returns:
        The certificates' texts.

    Raises:
        ArchiveError: the disk does not take one.
    """
    ended = [one for one in done if one.cause is Cause.CONTRACT_END]
    clean = bool(ended) and erasing.journal_is_clean(archive, newest)
    for enterprise in sorted({one.enterprise for one in ended}):
        answers = [one.erased for one in ended if one.enterprise == enterprise]
        subject = f"enterprise {enterprise}"
        order = Order(subject=subject, rule=f"{subject}: {Cause.CONTRACT_END}", who=who, why=WHY[Cause.CONTRACT_END])
        yield _keep(archive, enterprise, erasing.certificate_of(configuration, answers, order, journal_clean=clean))


def overdue(outlook: Outlook, configuration: Configuration) -> Iterator[str]:
    """What is not going to be gone though its contract ended weeks ago, in words."""
    today = _today(outlook)
    for table in configuration.enterprise:
        count = outlook.staying.get(table.id, 0)
        if table.ended_on is not None and count and today >= table.ended_on + TOLD_AFTER:
            yield (
                f"the contract of {table.id} ended on {table.ended_on}: all of it has to be erased within a month, and"
                f" {count:,} call{'s are' if count != 1 else ' is'} kept (`rokubox retention --dry-run` says why)"
            )


def _today(outlook: Outlook) -> date:
    """Today for reminders: as the clock has it where it is not confirmed, as nothing is erased for that."""
    known = clockguard.today(outlook.clock)
    if known is not None or outlook.clock.last is None:
        return known or date.min
    return datetime.fromtimestamp(outlook.clock.last.wall_ns // clockguard.NS, UTC).date()


def _keep(archive: Archive, enterprise: str, done: Certificate) -> Path:
    folder = archive.retention / certificate.FOLDER
    name = re.sub(r"[^0-9A-Za-z._-]", "-", enterprise).lstrip(".")
    stem = f"{name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    disk = Disk()
    directories = Directories(disk)
    directories.make(folder)
    contents = {".json": certificate.to_json(done), ".txt": certificate.to_text(done).encode()}
    try:
        for suffix, content in contents.items():
            replace_file(disk, folder / f".{stem}.tmp-{os.getpid()}", folder / f"{stem}{suffix}", content)
    except OSError as error:
        raise from_os_error(error, "keep the certificate") from error
    directories.note(folder)
    directories.sync()
    return folder / f"{stem}.txt"
