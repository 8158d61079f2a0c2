"""Import: capture files through intake, journal and assembly into an archive.

Several files are one input, in the order of their packets: files that overlap in time (two mirrors, say) are merged.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from appliance.assembly.fold import Assembly
from appliance.assembly.publish import Publisher
from appliance.assembly.settings import AssemblySettings
from capture import journal
from capture.clockline import ClockLine
from capture.events import EventKind
from capture.intake import Intake, Window
from capture.journal import Event, EventBlock, MediaBlock, SignallingBlock
from capture.journalfile import TransientJournal
from capture.merging import merge
from capture.pcapfile import CaptureReader
from capture.records import RecordBatch
from storage.archive import Archive
from storage.register import RegisterSettings
from storage.writer import ArchiveWriter

BATCH_BYTES = 28 << 20
"""Read at once from all files together, as long as each has `LEAST_BATCH_BYTES`."""
LEAST_BATCH_BYTES = 1 << 20
FORGET_EVERY_BLOCKS = 64
"""How often the journal is asked what it can drop, and the books are brought up to date."""

IntArray = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]
"""Told bytes read and bytes in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """What was found in one capture file."""

    path: Path
    records: int
    truncated: int
    skipped_blocks: int
    missing_time: int
    odd_times: int
    """Records with a time far off, which got that of the record before."""
    damage: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import did."""

    files: tuple[FileReport, ...]
    assembly: Assembly
    intake: Intake
    publisher: Publisher
    first_ns: int | None
    last_ns: int | None
    alarm: str
    """What people should know about how the ledger was found; empty when all was well."""


def import_files(
    paths: Sequence[Path],
    output: Path,
    settings: AssemblySettings,
    sip_ports: frozenset[int],
    progress: Progress,
    books: RegisterSettings | None = None,
) -> ImportReport:
    """Import capture files into the archive at `output`, and into its books unless it has none.

    Raises:
        CaptureFileError: a file cannot be read at all; nothing is written then.
        StorageError: the archive cannot be written.
    """
    with ExitStack() as stack:
        batch_bytes = max(BATCH_BYTES // len(paths), LEAST_BATCH_BYTES)
        readers = [stack.enter_context(CaptureReader(path, batch_bytes=batch_bytes)) for path in paths]
        archive = Archive(output)
        writer = stack.enter_context(ArchiveWriter(archive, books=books))
        alarm = writer.register.alarm if writer.register is not None else ""
        spool = stack.enter_context(TransientJournal(archive.spool))
        publisher = Publisher(settings=settings, writer=writer)
        assembly = Assembly(settings, publisher, spool.read_into)
        lines = [ClockLine() for _ in readers]
        feed = _Feed(assembly=assembly, writer=writer, spool=spool, intake=Intake(sip_ports), lines=lines)
        total = sum(reader.size_bytes for reader in readers)
        evened = [line.even(iter(reader)) for line, reader in zip(lines, readers, strict=True)]
        for batch in merge([numbered(batches, number) for number, batches in enumerate(evened)]):
            feed.batch(batch)
            progress(sum(reader.position_bytes for reader in readers), total)
        feed.finish()
        while writer.has_news:
            writer.sync()
        files = tuple(_report(*each) for each in zip(paths, readers, lines, strict=True))
    return ImportReport(
        files=files,
        assembly=assembly,
        intake=feed.intake,
        publisher=publisher,
        first_ns=assembly.state.first_ns,
        last_ns=feed.last_ns,
        alarm=alarm,
    )


def _report(path: Path, reader: CaptureReader, line: ClockLine) -> FileReport:
    return FileReport(
        path=path,
        records=reader.records,
        truncated=reader.truncated_records,
        skipped_blocks=reader.skipped_blocks,
        missing_time=reader.missing_time,
        odd_times=line.odd_times,
        damage=reader.damage,
    )


@dataclass(slots=True, kw_only=True)
class _Feed:
    """Writes windows to the journal and hands the blocks to assembly."""

    assembly: Assembly
    writer: ArchiveWriter
    spool: TransientJournal
    intake: Intake
    lines: Sequence[ClockLine]
    """Where steps of the files' clocks are found."""
    last_ns: int | None = None
    _shifts: dict[int, int] = field(default_factory=dict)
    """How far the clocks of files that were set are ahead of the line."""
    _blocks: int = 0

    def batch(self, batch: RecordBatch) -> None:
        if not len(batch):
            return
        if self.last_ns is None:
            self.last_ns = int(batch.ts_ns[0])
            self._event(self.last_ns, EventKind.START)
        self._tell_steps(self.last_ns)
        self.last_ns = max(self.last_ns, int(batch.ts_ns.max()))
        for window in self.intake.windows(batch):
            self._window(window)

    def _tell_steps(self, now_ns: int) -> None:
        """Tell of steps before anything behind them is assembled.

        Of several files that share the line, those whose clocks were set least are right.
        """
        for number, line in enumerate(self.lines):
            for step in line.steps:
                self._shifts[number] = self._shifts.get(number, 0) + step.step_ns
                shift_ns = min((self._shifts.get(each, 0) for each in range(len(self.lines))), key=abs)
                facts = {"step_ns": step.step_ns, "at_ns": step.at_ns, "since_ns": step.at_ns, "shift_ns": shift_ns}
                self._event(now_ns, EventKind.CLOCK_STEP, **facts)
            line.steps.clear()

    def _window(self, window: Window) -> None:
        if len(window.extents):
            address = self.spool.append(
                journal.serialize_media(window.first_ns, window.last_ns, window.extents, window.rows)
            )
            window.extents["address"] += np.uint64(address)
            self.assembly.step(MediaBlock(first_ns=window.first_ns, last_ns=window.last_ns, extents=window.extents))
        if window.signalling is not None:
            self.spool.append(journal.serialize_signalling(window.signalling))
            self.assembly.step(
                SignallingBlock(first_ns=window.first_ns, last_ns=window.last_ns, frames=window.signalling)
            )
        self._blocks += 1
        if self._blocks % FORGET_EVERY_BLOCKS == 0:
            oldest = self.assembly.oldest_needed()
            self.spool.forget_before(self.spool.end if oldest is None else oldest)
            self.writer.sync()

    def finish(self) -> None:
        if self.last_ns is not None:
            self._event(self.last_ns, EventKind.END_OF_INPUT)

    def _event(self, ts_ns: int, kind: str, **detail: int) -> None:
        event = Event(ts_ns=ts_ns, kind=kind, detail=dict(detail))
        self.spool.append(journal.serialize_events([event]))
        self.assembly.step(EventBlock(first_ns=ts_ns, last_ns=ts_ns, events=(event,)))


def numbered(batches: Iterator[RecordBatch], file: int) -> Iterator[RecordBatch]:
    """Make the interface numbers of several files distinct: the file's number in the high byte."""
    for batch in batches:
        if file:
            batch.interface[:] = (batch.interface & 0xFF) | np.uint16((file & 0xFF) << 8)
        yield batch
