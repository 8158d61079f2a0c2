"""The mirror ports of a capture: their rings adopted or opened, and opened again for as long as it takes.

    a port hears      its newest ring is on the interface that serves it, and that is up
    else it is deaf   no interface, no carrier, or a ring cannot be opened: tried again with each `look`

Every change of that is an event with `up`, and every start tells of each port how it stands: what is missing while a
port is deaf is the recorder's loss. A ring that was opened is marked until that is written: a process that is killed
before leaves it to the next one to tell.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from appliance.capturing import keptrings
from appliance.capturing.keptrings import Kept, RingKey, Untold
from capture.bootline import BootLine
from capture.errors import CaptureError, RingError, SpanPortError
from capture.events import ARP_UNANSWERED, LOST, Counted
from capture.linkstate import LinkEventKind
from capture.linkwatch import LinkWatch
from capture.mirrorport import MirrorPort
from capture.ring import RingSettings
from capture.rtnetlink import Link

Detail = dict[str, str | int]
MAX_UNANSWERED = 16
"""Addresses told of."""

EARLY_BYTES = 32 << 20
"""So much in ring blocks is not left waiting."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Standing:
    """How a port stands."""

    port: MirrorPort
    name: str
    """The name that its interface has now, or had last."""
    problem: CaptureError | None = None
    """Why it cannot be captured from."""
    hears: bool = False
    """What was told last."""
    heard_ns: int | None = None
    """Since when the ring that is filled holds everything; None when it did already for what the journal tells of."""
    lost: int = 0
    """Packets lost since a reading of the counters that found none."""


class MirrorPorts:
    """All ports; `note` takes the detail of an `interface` event, `tell` a line for the log."""

    def __init__(
        self,
        names: Sequence[str],
        program: bytes,
        settings: RingSettings,
        line: BootLine,
        note: Callable[[Detail], None],
        tell: Callable[[str], None],
    ) -> None:
        self.ports = [MirrorPort(number, name, program, settings) for number, name in enumerate(names)]
        self._standing = {port.name: _Standing(port=port, name=port.name) for port in self.ports}
        self._settings = settings
        self._watch = LinkWatch(names)
        self._line = line
        self._note = note
        self._tell = tell
        self._untold: list[Untold] = []
        """Marks of rings of which no event tells that was given to the journal."""
        self._telling: list[Untold] = []
        """Likewise, no event that is written for certain."""

    def filenos(self) -> tuple[int, ...]:
        """Descriptors to poll for reading before `follow`."""
        return self._watch.filenos()

    def begin(self) -> int | None:
        """Go on with what an earlier process left, open the rest.

        Returns:
            None when any ring goes on of which the journal tells; otherwise since when there are rings.

        Raises:
            CaptureError: nothing can be captured from, and no process before this one did.
        """
        kept = keptrings.take()
        for key in kept.rings:
            self._watch.remember(key.port, key.ifindex, key.mac)
        for event in self._watch.read():
            self._standing[event.interface].name = event.name
        continued = False
        for key, fileno in kept.rings.items():
            continued |= self._adopt(key, fileno, kept.untold.get(key))
        for standing in self._standing.values():
            self._open(standing)
        problems = [standing.problem for standing in self._standing.values() if standing.problem is not None]
        if len(problems) == len(self.ports) and not kept.was_recording:
            raise RingError("\n".join(map(str, problems))) from _refusal(problems)
        keptrings.mark_recording()
        return self._begun_ns(kept, continued=continued)

    def _begun_ns(self, kept: Kept, *, continued: bool) -> int | None:
        now_ns = self._line.now_ns()
        for standing in self._standing.values():
            if not kept.rings:
                standing.heard_ns = None  # as the others: all begin now
            elif not self._fills(standing):
                standing.heard_ns = now_ns
        heard = [standing.heard_ns for standing in self._standing.values() if standing.heard_ns is not None]
        return None if continued else min(heard, default=now_ns)

    def tell_standing(self, since_ns: int) -> None:
        """Tell of each port how it stands; what has a ring only since later was not heard since `since_ns`."""
        for standing in self._standing.values():
            if standing.heard_ns is not None and standing.heard_ns > since_ns:
                self._tell_of(standing, "missed", up=0, at_ns=since_ns)
            standing.hears = self._hears(standing)
            at_ns = self._line.now_ns() if standing.heard_ns is None else standing.heard_ns
            self._tell_of(standing, "start", up=int(standing.hears), at_ns=at_ns)
            if standing.problem is not None:
                self._complain(standing)

    def told(self) -> None:
        """All events that were noted are given to the journal, and those noted before the last call are written."""
        for mark in self._telling:
            keptrings.forget(mark.name)
        self._telling, self._untold = self._untold, []

    def follow(self) -> None:
        """See to what the system tells of the interfaces."""
        for event in self._watch.read():
            standing = self._standing[event.interface]
            standing.name = event.name
            if event.kind is LinkEventKind.ADDED:
                self._try(standing)
            standing.hears = self._hears(standing)
            self._tell(f"{event.name}: {event.kind}: {event.detail}")
            self._tell_of(standing, event.kind.value, up=int(standing.hears))

    def look(self) -> None:
        """Open what is not open, leave what is read to its end; to be called each second."""
        for standing in self._standing.values():
            for key in standing.port.let_go():
                keptrings.forget(key)
            self._try(standing)
            if standing.hears != (hears := self._hears(standing)):
                standing.hears = hears
                self._tell_of(standing, "opened" if hears else "deaf", up=int(hears))

    def counted(self) -> list[Detail]:
        """Return the details of each port's `counters` event."""
        details: list[Detail] = []
        for standing in self._standing.values():
            counted = standing.port.counted(standing.name)
            detail: Detail = {"interface": standing.port.number, "at_ns": self._line.now_ns(), **counted}
            if unanswered := standing.port.unanswered(standing.name):
                detail[ARP_UNANSWERED] = " ".join(unanswered[:MAX_UNANSWERED])
            details.append(detail)
            if counted[Counted.SENT]:
                self._tell(f"alarm: {standing.name}: {counted[Counted.SENT]} frames were sent by a mirror port")
            self._tell_loss(standing, sum(counted[name] for name in LOST))
        return details

    def _tell_loss(self, standing: _Standing, lost: int) -> None:
        """Tell when packets begin to be lost, and when that is over."""
        if lost and not standing.lost:
            self._tell(f"alarm: {standing.name}: no room in the ring or the adapter, packets are lost (capture loss)")
        elif standing.lost and not lost:
            self._tell(f"{standing.name}: no packets are lost any more, {standing.lost} were")
        standing.lost = standing.lost + lost if lost else 0

    def unread(self) -> int:
        """Ring blocks that can be read, of all ports."""
        return sum(port.unread() for port in self.ports)

    def are_filling(self) -> bool:
        """Whether so much can be read that it should not wait: of all ports together, or half of one's room."""
        waiting = [(port.unread_bytes(), port.room_bytes()) for port in self.ports]
        return sum(taken for taken, _ in waiting) >= EARLY_BYTES or any(2 * taken > room for taken, room in waiting)

    def waiting_since_ns(self) -> int | None:
        """Return the real time at which the oldest block that can be read was begun; None when there is none."""
        return min((begun for port in self.ports for begun in port.begun_ns(1)), default=None)

    def room(self) -> int:
        """Blocks of the rings of all ports."""
        return sum(port.room() for port in self.ports)

    def close(self) -> None:
        """Leave everything."""
        for port in self.ports:
            port.close()
        self._watch.close()

    def _adopt(self, key: RingKey, fileno: int, untold: Untold | None) -> bool:
        """Go on with a ring; True when the journal tells of it."""
        if untold is not None:
            self._untold.append(untold)
        standing = self._standing.get(key.port)
        if standing is None:
            keptrings.drop(key, fileno)
            return False
        link = self._watch.link(key.port)
        try:
            name = standing.name if link is None else link.name
            size = replace(self._settings, ring_bytes=key.ring_bytes, block_bytes=key.block_bytes)
            standing.port.adopt(fileno, name, key.serialize(), size)
        except CaptureError as error:
            self._tell(str(error))
            keptrings.forget(key.serialize())
            return False
        standing.heard_ns = None if untold is None else untold.opened_ns
        return untold is None

    def _try(self, standing: _Standing) -> None:
        """Open a port that is not open; tell of trouble once, and of its end."""
        before = standing.problem
        self._open(standing)
        if standing.problem is not None and str(standing.problem) != str(before or ""):
            standing.hears = False
            self._complain(standing)
            self._tell_of(standing, "refused", up=0, reason=str(standing.problem))
        elif before is not None and standing.problem is None:
            self._tell(f"{standing.name}: captured from again")

    def _complain(self, standing: _Standing) -> None:
        self._tell(f"{standing.problem}\n{standing.name}: not captured from; tried again each second")

    def _open(self, standing: _Standing) -> None:
        """Open a ring on the interface that serves the port, unless one is there."""
        standing.problem = None
        if self._fills(standing):
            return
        link = self._watch.link(standing.port.name)
        if link is None:
            standing.problem = SpanPortError(f"{standing.name}: there is no interface of this name")
            return
        key = RingKey(
            port=standing.port.name,
            ifindex=link.ifindex,
            mac=link.mac,
            ring_bytes=self._settings.ring_bytes,
            block_bytes=self._settings.block_bytes,
        )
        try:
            standing.port.open(link.name, key.serialize(), partial(self._keep, standing, key))
        except CaptureError as error:
            standing.problem = error

    def _keep(self, standing: _Standing, key: RingKey, fileno: int) -> None:
        """Have a ring kept that packets come to from now on; before them, a mark that nothing tells of it yet."""
        standing.heard_ns = self._line.now_ns()
        self._untold.append(keptrings.mark_untold(key, standing.heard_ns))
        keptrings.keep(key, fileno)

    def _fills(self, standing: _Standing) -> bool:
        """Whether the interface that serves the port fills a ring of it."""
        return 0 < standing.port.interface_number() == _ifindex(self._watch.link(standing.port.name))

    def _hears(self, standing: _Standing) -> bool:
        link = self._watch.link(standing.port.name)
        return link is not None and link.up and self._fills(standing)

    def _tell_of(self, standing: _Standing, change: str, **facts: str | int) -> None:
        detail: Detail = {"interface": standing.port.number, "name": standing.name, "at_ns": self._line.now_ns()}
        self._note({**detail, "change": change, **facts})


def _ifindex(link: Link | None) -> int:
    return 0 if link is None else link.ifindex


def _refusal(problems: Sequence[CaptureError]) -> BaseException | None:
    """Return the system's refusal to us, if that is what is wrong, for the exit code."""
    causes = [problem.__cause__ for problem in problems]
    return next((cause for cause in causes if isinstance(cause, PermissionError)), causes[0])
