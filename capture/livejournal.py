"""Ring blocks into the journal: what the mirror ports saw, merged by time, written before it is handed back.

    ready blocks --copy--> batch of each port --merge--> intake --> windows --> store.append --> release

The rings are the queue: while the disk does not take what was read, nothing more is read, and the kernel counts what
finds no room. What does not parse is written as it is.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from capture import journal
from capture.bootline import BootLine
from capture.errors import JournalWriteError
from capture.events import EventKind
from capture.intake import Intake, Window
from capture.journal import Bytes, Event
from capture.journalstore import JournalStore
from capture.merging import interleave
from capture.mirrorport import MirrorPort
from capture.octets import Octets
from capture.records import RecordBatch

MAX_BLOCKS = 40
"""Ring blocks read at once, of all ports together."""


@dataclass(slots=True, kw_only=True)
class LiveCounters:
    """What was done so far."""

    blocks: int = 0
    """Ring blocks read."""
    raw_blocks: int = 0
    """Of these, those that did not parse."""
    refused: int = 0
    """Times the disk did not take something."""


class LiveJournal:
    """Moves what is ready from the ports to the store, one step at a time."""

    def __init__(self, ports: Sequence[MirrorPort], intake: Intake, store: JournalStore, line: BootLine) -> None:
        self.ports = ports
        self.counters = LiveCounters()
        self.last_ns = 0
        """Latest capture time written."""
        self._told_ns = 0
        """The same before what was read last."""
        self.trouble: JournalWriteError | None = None
        """Why the disk does not take what is in `pending`."""
        self._intake = intake
        self._store = store
        self._line = line
        self._pending: deque[list[Bytes]] = deque()
        """Blocks laid out and not written yet. They show the ports' copies."""

    def step(self) -> bool:
        """Write what is ready, up to `MAX_BLOCKS`; True when more is waiting."""
        if not self._pending:
            self._read()
        return self._write() and any(port.ready() for port in self.ports)

    def tell(self, events: Sequence[Event]) -> None:
        """Write events behind what is written; while the disk refuses they wait with the rest."""
        if events:
            self._pending.append(journal.serialize_events(events))
            self._write()

    def _read(self) -> None:
        share = max(1, MAX_BLOCKS // len(self.ports))
        batches: list[RecordBatch] = []
        try:
            for port in self.ports:
                count = min(port.ready(), share)
                batch, raw = port.read(count)
                self.counters.blocks += count
                self._keep_raw(port, raw)
                if batch is not None and len(batch):
                    batches.append(batch)
            self._line.look()
            batches = [self._line.even(int(batch.interface[0]), batch) for batch in batches]
            for window in self._windows(batches):
                self._lay_out(window)
        except Exception:
            # Whatever intake stumbles over must not cost what it could not read: assembly tries again.
            self._pending.clear()
            for port in self.ports:
                if port.was_read:
                    self._keep_raw(port, port.raw())
        self._tell_steps()

    def _tell_steps(self) -> None:
        """Put steps of the clock ahead of packets that may lie behind them."""
        for step in reversed(self._line.steps):
            detail: dict[str, str | int] = {"step_ns": step.step_ns, "at_ns": step.at_ns}
            event = Event(ts_ns=self._told_ns, kind=EventKind.CLOCK_STEP, detail=detail)
            self._pending.appendleft(journal.serialize_events([event]))
        self._line.steps.clear()
        self._told_ns = self.last_ns

    def _windows(self, batches: list[RecordBatch]) -> Sequence[Window]:
        if not batches:
            return ()
        merged = batches[0] if len(batches) == 1 else interleave([(batch, batch.ts_ns) for batch in batches])
        return list(self._intake.windows(merged))

    def _lay_out(self, window: Window) -> None:
        if len(window.extents):
            block = journal.serialize_media(window.first_ns, window.last_ns, window.extents, window.rows)
            self._pending.append(block)
        if window.signalling is not None:
            self._pending.append(journal.serialize_signalling(window.signalling))
        self.last_ns = max(self.last_ns, window.last_ns)

    def _keep_raw(self, port: MirrorPort, blocks: list[Octets]) -> None:
        self.counters.raw_blocks += len(blocks)
        for block in blocks:
            self._pending.append(journal.serialize_raw(self.last_ns, self.last_ns, port.number, block))
            event = Event(ts_ns=self.last_ns, kind=EventKind.RAW, detail={"interface": port.number})
            self._pending.append(journal.serialize_events([event]))

    def _write(self) -> bool:
        """Write what is laid out, in order, and hand back what it was read from; False when the disk does not take
        it."""
        while self._pending:
            try:
                self._store.append(self._pending[0])
            except JournalWriteError as error:
                self.counters.refused += 1
                self.trouble = error
                return False
            self._pending.popleft()
        self.trouble = None
        for port in self.ports:
            port.release()
        return True
