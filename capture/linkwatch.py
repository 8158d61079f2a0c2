"""Watches the mirror ports' interfaces: rtnetlink says what happens, udev where an adapter is plugged in.

The watch reads no clock and decides nothing; `linkstate` says what the notifications mean.
"""

from collections.abc import Iterable
from types import TracebackType

from capture import routesocket
from capture.adapters import AdapterWatch
from capture.errors import RtnetlinkError
from capture.linkstate import LinkEvent, LinkEventKind, LinkTable
from capture.rtnetlink import Link


class LinkWatch:
    """The mirror ports of these configured names, from now on.

    Raises `RtnetlinkError` when the kernel gives no rtnetlink socket.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._table = LinkTable(names)
        self._adapters = AdapterWatch()
        self._notifications = routesocket.Notifications()
        self._must_resync = True

    def filenos(self) -> tuple[int, ...]:
        """Descriptors to poll for reading before `read`. They can change with a `read`."""
        adapters = self._adapters.fileno()
        return (self._notifications.fileno(),) if adapters is None else (self._notifications.fileno(), adapters)

    def read(self) -> list[LinkEvent]:
        """What happened since the last call, in order, without waiting.

        The first call tells what is there: `added`, `up` and `address` of each port that has an interface.
        """
        events: list[LinkEvent] = []
        try:
            for message in self._notifications.read():
                events += self._table.apply(message)
        except RtnetlinkError:
            self._must_resync = True
        # A link that was there before it became a port's may have addresses that were announced earlier.
        self._must_resync |= any(event.kind is LinkEventKind.ADDED for event in events)
        for ifindex, slot in self._adapters.read():
            self._must_resync |= self._table.locate(ifindex, slot)
        return events + (self._resync() if self._must_resync else [])

    def _resync(self) -> list[LinkEvent]:
        try:
            links, addresses = routesocket.links(), routesocket.addresses()
        except RtnetlinkError:
            return []  # Tried again by the next read.
        self._must_resync = False
        events = self._table.resync(links, addresses)
        claimed = [self._table.locate(ifindex, slot) for ifindex, slot in self._adapters.present()]
        if any(claimed):
            events += self._table.resync(links, addresses)
        return events

    def remember(self, interface: str, ifindex: int, mac: str) -> None:
        """Tell, before the first `read`, which interface served a port until now: it does so still if it is there."""
        self._table.remember(interface, ifindex, mac)

    def link(self, interface: str) -> Link | None:
        """The link that serves the port of this configured name; None while it is absent."""
        return self._table.link(interface)

    def close(self) -> None:
        """End the watch."""
        self._notifications.close()
        self._adapters.close()

    def __enter__(self) -> "LinkWatch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
