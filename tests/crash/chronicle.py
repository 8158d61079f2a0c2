"""What the journal tells while its recorder is harmed, kept apart because the journal forgets.

It explains a loss, or shows that nothing does: how long nobody read the ring, how full it was then, and when the kernel
itself counted packets for which it had no room.
"""

import statistics
import threading
from dataclasses import dataclass, field
from pathlib import Path

from capture.events import Counted, EventKind
from capture.journal import Event, EventBlock
from capture.journalreader import JournalReader

Spans = list[tuple[int, int]]

_PERIOD_S = 0.1
_SECOND_NS = 1_000_000_000
_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A capture that began after another one."""

    unread_s: float
    """How long nobody read before it did."""
    continued: bool
    """It went on with a ring."""
    waiting: int
    """Blocks in there."""
    room: int
    """Blocks that the ring has."""


@dataclass(slots=True)
class Chronicle:
    """Follows an archive's journal. A context."""

    archive: Path
    events: list[Event] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Chronicle":
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        assert self._thread is not None
        self._thread.join()

    def _follow(self) -> None:
        with JournalReader(self.archive / "journal") as reader:
            while True:
                is_last = self._stopped.wait(_PERIOD_S)
                while (item := reader.next()) is not None:
                    if isinstance(item[1], EventBlock):
                        self.events += item[1].events
                reader.skipped.clear()
                if is_last:
                    return

    @property
    def restarts(self) -> list[Restart]:
        """All of them, in order."""
        found: list[Restart] = []
        read_ns, begun = 0, None
        for event in self.events:
            if event.kind == EventKind.START:
                begun = event if read_ns else None
            elif event.kind == EventKind.TICK:
                if begun is not None:
                    found.append(_restart(begun, event.ts_ns - read_ns))
                read_ns, begun = event.ts_ns, None
        return found

    @property
    def dropped(self) -> Spans:
        """Between which readings of its counters the kernel had no room for packets; capture time."""
        found: Spans = []
        counters = [event for event in self.events if event.kind == EventKind.COUNTERS]
        times = [int(event.detail["at_ns"]) for event in counters]
        before = [min(times, default=0) - _SECOND_NS, *times[:-1]]
        for low, high, event in zip(before[: len(times)], times, counters, strict=True):
            if int(event.detail[Counted.DROPS]):
                found.append((low, high))
        return found

    def counted(self, name: Counted) -> int:
        """Sum of a counter."""
        return sum(int(event.detail[name]) for event in self.events if event.kind == EventKind.COUNTERS)

    def summary(self) -> str:
        """One line."""
        restarts = self.restarts
        if not restarts:
            return f"capture was never started again; {self._losses()}"
        unread = [restart.unread_s for restart in restarts]
        fullest = max(restarts, key=lambda restart: restart.waiting)
        return (
            f"capture began again {len(restarts)} times: the ring was unread for {statistics.median(unread):.1f} s"
            f" (median), {max(unread):.1f} s (longest), {fullest.waiting} of {fullest.room} blocks full at most;"
            f" {self._losses()}"
        )

    def _losses(self) -> str:
        return f"{self.counted(Counted.DROPS)} packets dropped, {self.counted(Counted.FREEZES)} freezes"

    def details(self) -> list[str]:
        """Restart by restart, the longest first, and the drops."""
        longest = sorted(self.restarts, key=lambda restart: restart.unread_s, reverse=True)[:_SHOWN]
        return [
            *(
                f"unread for {each.unread_s:.1f} s, {each.waiting} of {each.room} blocks full,"
                f" {'the same ring' if each.continued else 'a new ring'}"
                for each in longest
            ),
            *(f"dropped between {low} and {high}" for low, high in self.dropped),
        ]


def _restart(start: Event, unread_ns: int) -> Restart:
    detail = start.detail
    return Restart(
        unread_s=unread_ns / _SECOND_NS,
        continued=bool(detail["continued"]),
        waiting=int(detail["waiting"]),
        room=int(detail["room"]),
    )
