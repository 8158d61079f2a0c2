"""When the recorder itself may have missed packets: between a stop and a start, while a ring dropped, while a mirror
port was down. Loss within is capture loss, all other is network loss.
"""

from dataclasses import dataclass, field

from capture.events import LOST, EventKind
from capture.journal import Event

Spans = list[tuple[int, int]]

MAX_OUTAGES = 4096
"""The oldest are forgotten beyond."""
UNCOUNTED_NS = 1_000_000_000
"""What an interface's first counters are taken to be about."""
MARGIN_NS = 100_000_000
"""What is missing on the time line reaches this far beyond the times that are known, for jitter."""


@dataclass(slots=True, kw_only=True)
class Outages:
    """Spans of capture time, in order of their ends. Plain data, kept in snapshots."""

    spans: Spans = field(default_factory=list)
    seen_ns: int | None = None
    """Up to when the wire was watched."""
    counted_ns: dict[int, int] = field(default_factory=dict)
    """When each interface was last counted."""
    down_ns: dict[int, int] = field(default_factory=dict)
    """Since when interfaces are down."""

    def see(self, until_ns: int) -> None:
        """The wire was watched up to a time."""
        self.seen_ns = until_ns if self.seen_ns is None else max(self.seen_ns, until_ns)

    def note(self, event: Event) -> None:
        """Take in what an event says of the recorder."""
        interface, at_ns = int(event.detail.get("interface", 0)), int(event.detail.get("at_ns", event.ts_ns))
        match event.kind:
            case EventKind.START if not event.detail.get("continued"):
                self.add(event.ts_ns if self.seen_ns is None else self.seen_ns, event.ts_ns)
                self.counted_ns.clear()
                self.down_ns.clear()
            case EventKind.COUNTERS:
                if any(int(event.detail.get(name, 0)) > 0 for name in LOST):
                    self.add(self.counted_ns.get(interface, at_ns - UNCOUNTED_NS), at_ns)
                self.counted_ns[interface] = at_ns
            case EventKind.INTERFACE if event.detail.get("up") == 0:
                self.down_ns.setdefault(interface, at_ns)
            case EventKind.INTERFACE if event.detail.get("up") == 1:
                self.add(self.down_ns.pop(interface, at_ns), at_ns)

    def within(self, from_ns: int, until_ns: int) -> Spans:
        """Return the outages that touch a span, disjoint and in order, with their margins."""
        known = self.spans + [(low, until_ns) for low in self.down_ns.values()]
        found: Spans = []
        for low, high in sorted((low - MARGIN_NS, high + MARGIN_NS) for low, high in known):
            if high <= from_ns or low >= until_ns:
                continue
            if found and low <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], high))
            else:
                found.append((low, high))
        return found

    def add(self, low: int, high: int) -> None:
        """Note that packets may be missing between two capture times."""
        if low >= high:
            return
        if self.spans and low <= self.spans[-1][1]:
            low, high = min(low, self.spans[-1][0]), max(high, self.spans[-1][1])
            self.spans.pop()
        self.spans.append((low, high))
        del self.spans[:-MAX_OUTAGES]
