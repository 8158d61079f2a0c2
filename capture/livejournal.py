"""Ring blocks into the journal: what the mirror ports saw, merged by time, written before it is handed back.

    ready blocks --copy--> batch of each port --merge--> intake --> windows --> store.append --> release

    state    what the caller does          what comes of it
    free     `read`, `tell`, then `write`  writing
    writing  waits for `fileno`, `settle`  free, or refused
    refused  `write` again, later          writing

The disk works in a thread of its own: one that stalls holds up nobody. The rings are the queue: while the disk does not
take what was read, nothing more is read, and the kernel counts what finds no room. What does not parse is written as it
is.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from capture import journal, ringblock
from capture.background import Background
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

MAX_BYTES = 40 << 20
"""Ring blocks read at once, of all ports together."""
RING_NS = 600_000_000_000
"""Nothing lies in a ring for longer."""


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
    """Moves what is ready from the ports to the store, one turn at a time."""

    def __init__(self, ports: Sequence[MirrorPort], intake: Intake, store: JournalStore, line: BootLine) -> None:
        self.ports = ports
        self.counters = LiveCounters()
        self.last_ns = 0
        """Latest capture time read."""
        self._told_ns = 0
        """The same before what was read last."""
        self.trouble: JournalWriteError | None = None
        """Why the disk did not take what was read last; None while it does."""
        self._intake = intake
        self._store = store
        self._line = line
        self._writer: Background[None] = Background("journal-writer")
        self._pending: deque[list[Bytes]] = deque()
        """Blocks laid out and not written yet, the writer's while it works. They show the ports' copies."""

    def fileno(self) -> int:
        """To poll for reading: the disk has answered, `settle` tells what."""
        return self._writer.fileno()

    @property
    def writing(self) -> bool:
        """Whether the disk has something that was not settled."""
        return self._writer.busy

    def settle(self) -> bool:
        """Take the disk's answer, if there is one, and hand back what it took; True when all is written."""
        if self._writer.is_over():
            try:
                self._writer.take()
                self.trouble = None
                for port in self.ports:
                    port.release()
            except JournalWriteError as error:
                self.counters.refused += 1
                self.trouble = error
        return not self._writer.busy and not self._pending

    def wait(self, timeout_s: float) -> bool:
        """Wait for the disk's answer; False when it takes longer."""
        return self._writer.wait(timeout_s)

    def read(self) -> bool:
        """Read what is ready, up to `MAX_BYTES`, when all is settled; True when more is ready."""
        laid_out: list[list[Bytes]] = []
        batches: list[RecordBatch] = []
        try:
            for port, count in zip(self.ports, self._shares(), strict=True):
                batch, raw = port.read(count)
                self.counters.blocks += count
                laid_out += self._as_raw(port, raw)
                if batch is not None and len(batch):
                    batches.append(batch)
            self._line.look()
            batches = [self._line.even(int(batch.interface[0]), batch) for batch in batches]
            for window in self._windows(batches):
                laid_out += self._as_blocks(window)
        except Exception:
            # Whatever intake stumbles over must not cost what it could not read: assembly tries again.
            laid_out = [block for port in self.ports if port.was_read for block in self._as_raw(port, port.raw())]
        self._pending.extend(self._steps())
        self._pending.extend(laid_out)
        return any(port.unread() for port in self.ports)

    def tell(self, events: Sequence[Event]) -> None:
        """Put events behind what was read."""
        if events:
            self._pending.append(journal.serialize_events(events))

    def write(self) -> None:
        """Give the disk what was read and told."""
        if self._pending:
            self._writer.begin(self._append)

    def close(self) -> None:
        """Read and write no more."""
        self._writer.close()

    def _append(self) -> None:
        while self._pending:
            self._store.append(self._pending[0])
            self._pending.popleft()

    def _shares(self) -> list[int]:
        """Say how many blocks of each port come next: the oldest of all, so that no port runs ahead of the others."""
        sizes = np.array([port.block_bytes for port in self.ports])
        most = (MAX_BYTES // sizes).tolist()
        begun = [
            np.maximum.accumulate(np.array(port.begun_ns(count), np.int64))
            for port, count in zip(self.ports, most, strict=True)
        ]
        origin = np.repeat(np.arange(len(begun)), [len(times) for times in begun])
        oldest = origin[np.argsort(np.concatenate(begun), kind="stable")]
        chosen = oldest[np.cumsum(sizes[oldest]) <= MAX_BYTES]
        return [int(share) for share in np.bincount(chosen, minlength=len(begun))]

    def _steps(self) -> Iterable[list[Bytes]]:
        """Lay out steps of the clock, ahead of packets that may lie behind them."""
        events = [
            Event(
                ts_ns=self._told_ns or step.at_ns,
                kind=EventKind.CLOCK_STEP,
                detail=asdict(step),
            )
            for step in self._line.steps
        ]
        self._line.steps.clear()
        self._told_ns = self.last_ns
        return [journal.serialize_events([event]) for event in events]

    def _windows(self, batches: list[RecordBatch]) -> Sequence[Window]:
        if not batches:
            return ()
        merged = batches[0] if len(batches) == 1 else interleave([(batch, batch.ts_ns) for batch in batches])
        return list(self._intake.windows(merged))

    def _as_blocks(self, window: Window) -> Iterable[list[Bytes]]:
        self.last_ns = max(self.last_ns, window.last_ns)
        if len(window.extents):
            yield journal.serialize_media(window.first_ns, window.last_ns, window.extents, window.rows)
        if window.signalling is not None:
            yield journal.serialize_signalling(window.signalling)

    def _as_raw(self, port: MirrorPort, blocks: list[Octets]) -> Iterable[list[Bytes]]:
        self.counters.raw_blocks += len(blocks)
        for block in blocks:
            first_ns, last_ns = self._times(block)
            yield journal.serialize_raw(first_ns, last_ns, port.number, block)
            event = Event(ts_ns=first_ns, kind=EventKind.RAW, detail={"interface": port.number})
            yield journal.serialize_events([event])

    def _times(self, block: Octets) -> tuple[int, int]:
        """When the packets of a block that did not parse came: its header may be what is wrong with it."""
        now_ns = self._line.now_ns()
        first_ns, last_ns = ringblock.times(block)
        if now_ns - RING_NS <= first_ns <= last_ns <= now_ns:
            return first_ns, last_ns
        return (self.last_ns or now_ns,) * 2
