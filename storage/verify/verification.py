"""`rokubox verify`: the files of an archive, its ledger, the signatures and the index against each other.

It needs nothing but the archive, or a copy of it, and the public key. Beside a writer that is at work it allows for
what is on its way: a file comes up to a second before its line, a line before its checkpoint.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from storage.archive import Archive
from storage.errors import LedgerError
from storage.ledger import checkpoint as checkpoints
from storage.ledger.entries import Call, Filed, Late, Part
from storage.verify import indexcheck, succession, trust, writerlive
from storage.verify.certificatecheck import CertificatesFound
from storage.verify.checkpointcheck import CheckpointsFound
from storage.verify.daycheck import DayCheck
from storage.verify.defects import Defect, Kind
from storage.verify.ledgerscan import LedgerScan
from storage.verify.partcheck import Read
from storage.verify.trust import KeyChange, Seen
from storage.verify.walk import days_on_disk, strays

SETTLE_S = 3.0
"""How long a writer gets to write the line of what is there already."""
MAX_DEFECTS = 10_000
Progress = Callable[[int, int], None]
"""Told bytes read and bytes in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be verified, and against what."""

    archive: Path
    """The archive, or a copy of it."""
    since: int | None = None
    """Only files from this local date on, such as 20260102."""
    paths: tuple[Path, ...] = ()
    """Only these files or folders of the archive; all of it when empty."""
    public_keys: tuple[bytes, ...] = ()
    """Keys to believe; without any the archive's own, which proves nothing against whoever can write to it."""
    checkpoints: tuple[Seen, ...] = ()
    """Older checkpoints that somebody kept elsewhere."""


@dataclass(slots=True, kw_only=True)
class Report:
    """What verification found."""

    defects: list[Defect] = field(default_factory=list)
    """At most `MAX_DEFECTS`; `further` counts the rest."""
    further: int = 0
    notices: list[str] = field(default_factory=list)
    """What is odd but may be right."""
    parts: int = 0
    """Parts that are as they were recorded."""
    calls: int = 0
    """Call records that are as they were written."""
    late: int = 0
    """Records of late packets that are as they were written."""
    origin: str = ""
    """Name of the log."""
    size: int = 0
    """Lines of the ledger."""

    def add(self, defects: Iterable[Defect]) -> None:
        """Keep defects, as many as one can read."""
        for defect in defects:
            if len(self.defects) < MAX_DEFECTS:
                self.defects.append(defect)
            else:
                self.further += 1


def verify(request: Request, progress: Progress | None = None, wait: Callable[[float], None] = time.sleep) -> Report:
    """Verify what is asked for. Raises ArchiveError when there is no archive with a ledger, or it cannot be read."""
    with Verification(request, progress=progress, wait=wait) as verification:
        verification.check_ledger()
        verification.check_files()
        if not request.paths and request.since is None:
            verification.check_index()
        return verification.report


def _plain_read(file: BinaryIO, size_bytes: int) -> bytes:
    return file.read(size_bytes)


class Verification:
    """One verification, step by step. A context, which holds the ledger open. Raises ArchiveError."""

    def __init__(
        self,
        request: Request,
        *,
        read: Read = _plain_read,
        progress: Progress | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """`read` reads from the files of recordings. The ledger is read here, from end to end."""
        self._request = request
        self._archive = Archive(request.archive)
        self._plain_read = read
        self._progress = progress or (lambda _done, _total: None)
        self._wait = wait
        self._written = writerlive.is_written(request.archive)
        self._done_bytes = 0
        self._total_bytes = _bytes_below(request.archive) if progress else 0
        self._found = CheckpointsFound(self._archive)
        self._certificates = CertificatesFound(self._archive)
        self._seen = [*self._found.seen, *request.checkpoints]
        self._scan = self._scanned([*self._seen, *self._certificates.seen])
        self.report = Report()
        """What was found so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._scan.close()

    def days(self) -> list[tuple[int, int]]:
        """Every local date of the archive, in order, with how many files it has by the ledger, at least one."""
        counted = self._scan.days()
        there = {*counted, *days_on_disk(self._archive)}
        return [(day, counted.get(day, 1)) for day in sorted(there)]

    def check_ledger(self) -> None:
        """Lines, seals, checkpoints, keys, what is derived, and what lies where it has no place."""
        self.report.add(self._found.defects)
        self.report.add(self._certificates.defects)
        before = succession.examined(self._archive, self._scan.log, self._seen)
        self.report.add(before.defects)
        self.report.notices += before.notices
        seen = [one for one in self._seen if one.checkpoint.origin not in before.origins]
        # One of a log before this one may be over lines that are lost, which is no fault of the certificate's.
        seen += [one for one in self._certificates.seen if one.checkpoint.origin not in before.named]
        self._check_signatures(self._found, self._scan, seen)
        self._scan.finish()
        self.report.add(self._scan.defects)
        self.report.notices += self._scan.notices
        if not self._request.paths:
            self.report.add(strays(self._archive))

    def check_files(self) -> None:
        """The recordings and call records that are asked for."""
        if not self._request.paths:
            for day, _ in self.days():
                if day >= (self._request.since or 0):
                    self.report.add(self.day_defects(day))
        for path in self._request.paths:
            for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if not one.is_dir() and not (one.suffix == ".json" and one.with_suffix(".wav").exists()):
                    self.report.add(self._settled(partial(self._check().one, one)))

    def day_defects(self, day: int) -> list[Defect]:
        """What is wrong with the files of a local date, such as 20260102."""
        return self._settled(partial(self._check().defects, day))

    def check_index(self) -> None:
        """The index against files and ledger, where there is one."""
        if self._written:
            self._wait(SETTLE_S)  # the index takes what is new after the ledger

        def refresh() -> None:
            for _ in self._scan.read():
                pass

        self.report.add(
            Defect(kind=Kind.INDEX, subject="the index", path="index.sqlite", what=what)
            for what in indexcheck.differences(self._archive, self._scan, refresh)
        )

    def _check(self) -> DayCheck:
        return DayCheck(archive=self._archive, scan=self._scan, read=self._read, done=self._count)

    def _scanned(self, seen: Sequence[Seen]) -> LedgerScan:
        """The ledger, read with its roots at all sizes that a checkpoint speaks of."""
        wanted = {one.checkpoint.size for one in seen}
        while True:
            scan = LedgerScan(self._archive.root / "ledger", wanted)
            for done in scan.read():
                self._progress(done, self._total_bytes)
            also = {size for change in scan.changes if (size := _previous_size(change)) not in (change.number, -1)}
            if also <= wanted:
                self._done_bytes = done
                return scan
            # A change of key that names an older checkpoint than the one right before it: rare, and read again for.
            wanted |= also
            scan.close()

    def _check_signatures(self, found: CheckpointsFound, scan: LedgerScan, seen: Sequence[Seen]) -> None:
        report, newest = self.report, found.newest
        if scan.log is None:
            report.add([_ledger("it does not begin with the name of a log")])
            return
        origin, keys = scan.log.origin, scan.keys()
        report.origin, report.size = origin, scan.size
        report.add(trust.change_defects(origin, keys, scan.roots))
        report.add(trust.checkpoint_defects(origin, scan.size, keys, seen, scan.roots))
        report.add(found.key_defects(keys.public_keys[-1]))
        given = set(self._request.public_keys) or found.own_keys()
        if not self._request.public_keys:
            report.notices.append("the key that is believed is the archive's own: give --public-key FILE to prove more")
        if newest is not None:
            key = keys.in_force(newest.checkpoint.size)
            if key not in keys.believed(given, seen, scan.roots):
                what = "its key is not the one that is believed, and none that this one vouches for"
                report.add([Defect(kind=Kind.SIGNATURE, subject=newest.subject, path=newest.path, what=what)])
        self._check_tail(scan, newest.checkpoint.size if newest else 0)

    def _check_tail(self, scan: LedgerScan, signed: int) -> None:
        """What lies behind the newest checkpoint is on its way, or was never the writer's."""
        if self._written:
            return
        if scan.size > signed:
            what = f"lines {signed + 1} to {scan.size} are not covered by its checkpoint"
            self.report.add([Defect(kind=Kind.SIGNATURE, subject="the ledger", path="ledger/checkpoint", what=what)])
        if scan.rest_bytes:
            self.report.add([_ledger("its last line is not whole")])

    def _settled(self, check: Callable[[], Iterator[Defect]]) -> list[Defect]:
        """What is wrong, also a moment later."""
        counts = self.report.parts, self.report.calls, self.report.late
        defects = list(check())
        if self._written and any(defect.kind in (Kind.MISSING, Kind.UNEXPECTED) for defect in defects):
            self._wait(SETTLE_S)
            for _ in self._scan.read():
                pass
            self.report.parts, self.report.calls, self.report.late = counts
            defects = list(check())
        return defects

    def _read(self, file: BinaryIO, size_bytes: int) -> bytes:
        content = self._plain_read(file, size_bytes)
        self._done_bytes += len(content)
        self._progress(self._done_bytes, max(self._total_bytes, self._done_bytes))
        return content

    def _count(self, entry: Filed) -> None:
        match entry:
            case Part():
                self.report.parts += 1
            case Call():
                self.report.calls += 1
            case Late():
                self.report.late += 1


def _previous_size(change: KeyChange) -> int:
    try:
        return checkpoints.parse(change.entry.previous_checkpoint.encode()).size
    except LedgerError:
        return -1


def _ledger(what: str) -> Defect:
    return Defect(kind=Kind.LEDGER, subject="the ledger", path="ledger/entries.jsonl", what=what)


def _bytes_below(archive: Path) -> int:
    """How much there is to read."""
    total = 0
    for name in ("recordings", "calls", "late", "ledger"):
        for folder, _, files in os.walk(archive / name):
            for file in files:
                try:
                    total += os.lstat(os.path.join(folder, file)).st_size
                except OSError:
                    continue  # erased meanwhile
    return total
