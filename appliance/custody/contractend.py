"""Contracts that have ended: everything of them is erased within a month, with a certificate for each enterprise ID.

Retention erases it (`storage.retention.plan`), the certificates stay in the archive, under `retention/certificates/`:
they hold no numbers. What a legal hold, an upload or an uncertain clock keeps is told in time.
"""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta

from appliance.config import Configuration
from appliance.custody import erasing, orders
from appliance.custody.orders import OpenOrder, Order
from appliance.custody.retentionrun import WHY, Outlook
from storage.archive import Archive
from storage.disk import Directories, Disk
from storage.retention import certificate, clockguard
from storage.retention.plan import Cause

TOLD_AFTER = timedelta(days=21)
"""What is still there so long after the contract's end is told every day: a week is left of the shortest month."""


@contextmanager
def ordered(archive: Archive, outlook: Outlook, who: str) -> Iterator[list[OpenOrder]]:
    """Write down, for each enterprise ID of which something is to be erased at its contract's end, that it is."""
    folder = archive.retention / certificate.FOLDER
    Directories(Disk()).make(folder)
    made = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    with ExitStack() as stack:
        opened = []
        for enterprise, calls in sorted(outlook.ending.items()):
            subject = f"enterprise {enterprise}"
            order = Order(
                subject=subject, rule=f"{subject}: {Cause.CONTRACT_END}", who=who, why=WHY[Cause.CONTRACT_END]
            )
            name = re.sub(r"[^0-9A-Za-z._-]", "-", enterprise).lstrip(".")
            opened.append(erasing.opened_order(archive, calls, order, folder / f"{name}-{made}"))
            stack.enter_context(orders.opened(archive, opened[-1]))
        yield opened


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
