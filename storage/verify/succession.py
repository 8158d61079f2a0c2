"""A log that goes on after a broken one: whether it took over what could be read, and who has a checkpoint of that one.

It is accepted, and told: what it took over is only as good as the broken log, which is kept in `quarantine/`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storage.archive import Archive
from storage.errors import ArchiveError
from storage.ledger import predecessor
from storage.ledger.entries import OWN, Log, NextLog
from storage.ledger.ledgerfile import ENTRIES
from storage.verify import trust
from storage.verify.defects import Defect, Kind
from storage.verify.ledgerscan import LedgerScan
from storage.verify.trust import Seen


@dataclass(slots=True, kw_only=True)
class Succession:
    """The logs before the present one."""

    origins: set[str] = field(default_factory=set)
    """Their names, of those that are here."""
    named: set[str] = field(default_factory=set)
    """All their names."""
    defects: list[Defect] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def examined(archive: Archive, first: Log | NextLog | None, seen: Sequence[Seen]) -> Succession:
    """Look at the logs before the one that begins with `first`. `seen`: checkpoints that somebody holds."""
    found = Succession()
    folder = archive.ledger
    while isinstance(first, NextLog) and first.previous_origin not in found.origins:
        before = archive.quarantine / first.kept_as
        found.named.add(first.previous_origin)
        place = f"quarantine/{first.kept_as}"
        said = f"the ledger {first.origin} goes on after a broken one ({first.who}, {first.at[:10]}: {first.why})"
        try:
            same = _took_over(folder, before)
            older = [one for one in seen if one.checkpoint.origin == first.previous_origin]
            scan = _scanned(before, older)
        except (OSError, ArchiveError):
            found.notices.append(f"{said}, which is not here, in {place}: nothing is said of it")
            return found
        found.origins.add(first.previous_origin)
        found.notices.append(f"{said}, kept in {place}: what that says is not proved by signatures")
        if not same:
            what = "its lines are not those that could be read of the one before"
            found.defects.append(Defect(kind=Kind.LEDGER, subject="the ledger", path=f"{place}/{ENTRIES}", what=what))
        found.defects += _checkpoint_defects(first.previous_origin, scan, older)
        first, folder = scan.log, before
    return found


def _took_over(folder: Path, before: Path) -> bool:
    """Whether the log in `folder` begins with what can be read of the one in `before`.

    When it is broken itself, each of its lines that cannot be read may be one of those.
    """
    ours = (entry for entry in predecessor.readings(folder) if not isinstance(entry, OWN))
    ended = object()
    current: object = next(ours, ended)
    lost = 0
    for theirs in predecessor.taken_over(before):
        while current is None:
            lost += 1
            current = next(ours, ended)
        if current == theirs:
            lost = 0
            current = next(ours, ended)
        elif lost:
            lost -= 1
        else:
            return False
    return True


def _scanned(folder: Path, older: Sequence[Seen]) -> LedgerScan:
    scan = LedgerScan(folder, {one.checkpoint.size for one in older})
    try:
        for _ in scan.read():
            pass
    finally:
        scan.close()
    return scan


def _checkpoint_defects(origin: str, scan: LedgerScan, older: Sequence[Seen]) -> Iterator[Defect]:
    if scan.log is not None:
        yield from trust.checkpoint_defects(origin, scan.size, scan.keys(), older, scan.roots)
        return
    for one in older:
        what = "the ledger that it is of does not begin with the name of a log"
        yield Defect(kind=Kind.LEDGER, subject=one.subject, path=one.path, what=what)
