"""When the recorder itself may have missed packets: between a stop and a start, while a ring dropped, while a mirror
port was deaf. Loss within is capture loss, all other is network loss.

A stream is excused by what concerns the ports that it came over. Of what nothing came the port is not known: any port
may have dropped it, and one that is deaf excuses no more than it can have cost: nothing when it had carried nothing,
and nothing of a call that began later, which must have come by another port.
"""

from dataclasses import dataclass, field

from capture.events import LOST, Counted, EventKind
from capture.journal import Event

Spans = list[tuple[int, int]]

NO_SPANS: Spans = []
ANY_PORT: frozenset[int] = frozenset()
"""Interfaces of what is not known to have come over any."""
MAX_OUTAGES = 4096
"""The oldest are forgotten beyond."""
UNCOUNTED_NS = 1_000_000_000
"""What an interface's first counters are taken to be about."""
IDLE_NS = 60_000_000_000
"""A port that carried nothing for so long has no stream of a call, unless that is on hold."""
UNTOLD_NS = 250_000_000
"""A tick is so far behind what may be written before it."""
MARGIN_NS = 100_000_000
"""What is missing on the time line reaches this far beyond the times that are known, for jitter."""


@dataclass(slots=True, kw_only=True)
class Outages:
    """Spans of capture time. Plain data, kept in snapshots."""

    spans: Spans = field(default_factory=list)
    """When all ports may have missed packets, in order of their notice."""
    drops: dict[int, Spans] = field(default_factory=dict)
    """When an interface may have missed packets while it was up, likewise."""
    absences: list[tuple[int, int, int]] = field(default_factory=list)
    """Interface, since when and until when it was deaf, in order of their ends."""
    damaged: Spans = field(default_factory=list)
    """Of these, the ones of which the journal has something that cannot be read."""
    forgotten: Spans = field(default_factory=list)
    """Of these, the ones that the journal forgot before they were assembled."""
    gap: tuple[int, bool] | None = None
    """Since when, and whether forgotten: something is missing from the journal, up to what is read next."""
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

    def skip(self, *, forgotten: bool) -> None:
        """A part of the journal is passed over, because it cannot be read or is not there any more."""
        if self.gap is None and self.seen_ns is not None:
            self.gap = (self.seen_ns, forgotten)
        elif self.gap is not None and forgotten:
            self.gap = (self.gap[0], True)

    def resume(self, until_ns: int) -> None:
        """What was passed over was about the time before this, if there was something."""
        if self.gap is None:
            return
        (low, forgotten), self.gap = self.gap, None
        self._damage(low, max(until_ns, low + 1), self.forgotten if forgotten else self.damaged)

    def _damage(self, low: int, high: int, kind: Spans) -> None:
        """Note that the journal does not have what came between two capture times."""
        self.add(low, high)
        kind.append((low, high))
        del kind[:-MAX_OUTAGES]

    def why(self, from_ns: int, until_ns: int) -> tuple[bool, bool]:
        """Return whether the journal is damaged, and whether it was forgotten, within a span."""
        damaged, forgotten = list(self.damaged), list(self.forgotten)
        if self.gap is not None:
            (forgotten if self.gap[1] else damaged).append((self.gap[0], max(until_ns, self.gap[0])))
        low, high = from_ns - MARGIN_NS, until_ns + MARGIN_NS
        return tuple(any(a < high and b > low for a, b in spans) for spans in (damaged, forgotten))  # type: ignore[return-value]

    def note(self, event: Event) -> None:
        """Take in what an event says of the recorder."""
        interface, at_ns = int(event.detail.get("interface", 0)), int(event.detail.get("at_ns", event.ts_ns))
        match event.kind:
            case EventKind.START:
                self._start(at_ns, continued=bool(event.detail.get("continued")))
            case EventKind.UNSYNCED:
                self._damage(int(event.detail["since_ns"]), int(event.detail["until_ns"]) + 1, self.damaged)
            case EventKind.TICK:
                self.resume(event.ts_ns + UNTOLD_NS)
            case EventKind.COUNTERS:
                self._know(interface)
                if any(int(event.detail.get(name, 0)) > 0 for name in LOST):
                    self.add_at(interface, self.counted_ns.get(interface, at_ns - UNCOUNTED_NS), at_ns)
                if int(event.detail.get(Counted.PACKETS, 0)) > 0:
                    self.carried_ns[interface] = at_ns
                self.counted_ns[interface] = at_ns
            case EventKind.INTERFACE if event.detail.get("up") == 0:
                self._know(interface)
                self.down_ns.setdefault(interface, at_ns)
            case EventKind.INTERFACE if event.detail.get("up") == 1:
                self._know(interface)
                self._end_absence(interface, at_ns)

    def within(
        self, from_ns: int, until_ns: int, besides: Spans = NO_SPANS, interfaces: frozenset[int] = ANY_PORT
    ) -> Spans:
        """Return the outages of a call, or a part, between two times, and the spans given besides: disjoint, in order,
        with their margins. Of a stream: only what concerns the interfaces that it came over."""
        spans = [*self.spans, *besides, *self._of_ports(from_ns, until_ns, interfaces)]
        if self.gap is not None:
            spans.append((self.gap[0], until_ns))
        found: Spans = []
        for low, high in sorted((low - MARGIN_NS, high + MARGIN_NS) for low, high in spans):
            if high <= from_ns or low >= until_ns:
                continue
            if found and low <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], high))
            else:
                found.append((low, high))
        return found

    def add(self, low: int, high: int) -> None:
        """Note that packets of any port may be missing between two capture times."""
        _add(self.spans, low, high)

    def add_at(self, interface: int, low: int, high: int) -> None:
        """Note the same of one port."""
        _add(self.drops.setdefault(interface, []), low, high)

    def _of_ports(self, from_ns: int, until_ns: int, interfaces: frozenset[int]) -> Spans:
        """Return when ports may have missed something of a call, or of a stream that came over these interfaces."""
        spans = [span for number, spans in self.drops.items() if number in (interfaces or self.drops) for span in spans]
        absences = [*self.absences, *((interface, low, until_ns) for interface, low in self.down_ns.items())]
        return spans + [
            (low, high)
            for interface, low, high in absences
            if (interface in interfaces if interfaces else self._costs(interface, low, from_ns, absences))
        ]

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


def _add(spans: Spans, low: int, high: int) -> None:
    if low >= high:
        return
    if spans and low <= spans[-1][1] and high >= spans[-1][0]:
        low, high = min(low, spans[-1][0]), max(high, spans[-1][1])
        spans.pop()
    spans.append((low, high))
    del spans[:-MAX_OUTAGES]
