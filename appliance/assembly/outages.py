"""When the recorder itself may have missed packets: between a stop and a start, while a ring dropped, while a mirror
port was deaf. Loss within is capture loss, all other is network loss.

Which port a stream came by is not known here. So a port that is deaf excuses no more than it can have cost: nothing
when it had carried nothing, and nothing of a call that began later, which must have come by another port.
"""

from dataclasses import dataclass, field

from capture.events import LOST, Counted, EventKind
from capture.journal import Event

Spans = list[tuple[int, int]]

MAX_OUTAGES = 4096
"""The oldest are forgotten beyond."""
UNCOUNTED_NS = 1_000_000_000
"""What an interface's first counters are taken to be about."""
IDLE_NS = 60_000_000_000
"""A port that carried nothing for so long has no stream of a call, unless that is on hold."""
MARGIN_NS = 100_000_000
"""What is missing on the time line reaches this far beyond the times that are known, for jitter."""


@dataclass(slots=True, kw_only=True)
class Outages:
    """Spans of capture time. Plain data, kept in snapshots."""

    spans: Spans = field(default_factory=list)
    """When any port may have missed packets, in order of their notice."""
    absences: list[tuple[int, int, int]] = field(default_factory=list)
    """Interface, since when and until when it was deaf, in order of their ends."""
    seen_ns: int | None = None
    """Up to when the wire was watched."""
    counted_ns: dict[int, int] = field(default_factory=dict)
    """When each interface was last counted."""
    carried_ns: dict[int, int] = field(default_factory=dict)
    """When each interface was last found to have carried something."""
    down_ns: dict[int, int] = field(default_factory=dict)
    """Since when interfaces are deaf."""
    known: list[int] = field(default_factory=list)
    """Interfaces of the capture that runs."""

    def see(self, until_ns: int) -> None:
        """The wire was watched up to a time."""
        self.seen_ns = until_ns if self.seen_ns is None else max(self.seen_ns, until_ns)

    def note(self, event: Event) -> None:
        """Take in what an event says of the recorder."""
        interface, at_ns = int(event.detail.get("interface", 0)), int(event.detail.get("at_ns", event.ts_ns))
        match event.kind:
            case EventKind.START:
                self._start(event.ts_ns, continued=bool(event.detail.get("continued")))
            case EventKind.COUNTERS:
                self._know(interface)
                if any(int(event.detail.get(name, 0)) > 0 for name in LOST):
                    self.add(self.counted_ns.get(interface, at_ns - UNCOUNTED_NS), at_ns)
                if int(event.detail.get(Counted.PACKETS, 0)) > 0:
                    self.carried_ns[interface] = at_ns
                self.counted_ns[interface] = at_ns
            case EventKind.INTERFACE if event.detail.get("up") == 0:
                self._know(interface)
                self.down_ns.setdefault(interface, at_ns)
            case EventKind.INTERFACE if event.detail.get("up") == 1:
                self._know(interface)
                self._end_absence(interface, at_ns)

    def within(self, from_ns: int, until_ns: int) -> Spans:
        """Return the outages of a call, or a part, between two times: disjoint, in order, with their margins."""
        absences = [*self.absences, *((interface, low, until_ns) for interface, low in self.down_ns.items())]
        costly = [(low, high) for interface, low, high in absences if self._costs(interface, low, from_ns, absences)]
        found: Spans = []
        for low, high in sorted((low - MARGIN_NS, high + MARGIN_NS) for low, high in [*self.spans, *costly]):
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
        if self.spans and low <= self.spans[-1][1] and high >= self.spans[-1][0]:
            low, high = min(low, self.spans[-1][0]), max(high, self.spans[-1][1])
            self.spans.pop()
        self.spans.append((low, high))
        del self.spans[:-MAX_OUTAGES]

    def _start(self, at_ns: int, *, continued: bool) -> None:
        """A capture begins; it tells anew of each port how it stands, and may number them otherwise."""
        if not continued:
            self.add(at_ns if self.seen_ns is None else self.seen_ns, at_ns)
            self.counted_ns.clear()
            self.carried_ns.clear()
        for interface in list(self.down_ns):
            self._end_absence(interface, at_ns)
        self.known.clear()

    def _know(self, interface: int) -> None:
        if interface not in self.known:
            self.known.append(interface)

    def _end_absence(self, interface: int, at_ns: int) -> None:
        low = self.down_ns.pop(interface, at_ns)
        if low < at_ns and not self._was_idle(interface, low):
            self.absences.append((interface, low, at_ns))
            del self.absences[:-MAX_OUTAGES]

    def _was_idle(self, interface: int, at_ns: int) -> bool:
        """Whether a port is known to have carried nothing lately."""
        if interface not in self.counted_ns:
            return False
        carried_ns = self.carried_ns.get(interface)
        return carried_ns is None or at_ns - carried_ns > IDLE_NS

    def _costs(self, interface: int, low: int, from_ns: int, absences: list[tuple[int, int, int]]) -> bool:
        """Whether a port that is deaf since `low` can have cost a call that began at `from_ns` something."""
        if interface in self.down_ns and low == self.down_ns[interface] and self._was_idle(interface, low):
            return False
        others = [other for other in self.known if other != interface]
        deaf = {other for other, since, until in absences if since - MARGIN_NS <= from_ns <= until + MARGIN_NS}
        return low + MARGIN_NS >= from_ns or deaf.issuperset(others)
