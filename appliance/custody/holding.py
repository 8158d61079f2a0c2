"""Legal holds as commands see them: which are in force, and having them changed."""

from collections.abc import Sequence

from rich.table import Table

from appliance.custody.archiveclient import Ask, checked
from appliance.custody.archiverequests import MAX_CALLS, Done, Hold
from appliance.presentation import terminal
from appliance.presentation.terminal import printable
from storage.archive import Archive
from storage.ledger.entries import Hold as HoldEntry
from storage.ledger.view import LedgerView
from storage.retention import holds


def named(archive: Archive, name: str) -> list[str]:
    """Return the calls that a hold names. Raises StorageError when the ledger cannot be read."""
    return holds.in_force(LedgerView(archive.ledger).holds()).named(name)


def change(ask: Ask, calls: Sequence[str], *, name: str, released: bool, who: str, why: str) -> int:
    """Set or release a hold and return on how many calls that changed something.

    Raises:
        ArchiveError: the archive's owner refuses.
    """
    changed = 0
    for first in range(0, len(calls), MAX_CALLS):
        batch = tuple(calls[first : first + MAX_CALLS])
        answer = checked(ask(Hold(calls=batch, released=released, name=name, who=who, why=why)))
        assert isinstance(answer, Done)
        changed += answer.calls
    return changed


def show(archive: Archive) -> None:
    """Print the holds in force: when each was set first, by whom, why."""
    entries = list(LedgerView(archive.ledger).holds())
    counts = holds.by_name(holds.in_force(entries))
    first: dict[str, HoldEntry] = {}
    for entry in entries:
        if entry.hold == "set":
            first.setdefault(entry.name, entry)
    console = terminal.output()
    if not counts:
        console.print("no holds / 保全はありません")
        return
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in ("hold 保全", "calls 件数", "since 設定日時", "who 実施者", "why 理由"):
        shown.add_column(column, overflow="fold", justify="right" if column.startswith("calls") else "left")
    for name, count in counts.items():
        since = first[name]
        cells = (name, f"{count:,}", since.at[:19].replace("T", " "), since.who, since.why)
        shown.add_row(*map(printable, cells))
    console.print(shown)
