"""What happened to the mirror ports: events from successive states of the system's links. Pure; see `linkwatch`.

A port is configured by name and then followed by the number of its interface, so a new name changes nothing for it.

    state     input                                        event
    absent    a link of its name, MAC or slot appears      added (and up, address, as it is found)
    present   its link has another name, MTU or carrier    renamed, mtu, up or down
    present   an address appears on it                     address
    present   its link is deleted                          removed -> absent

MAC and slot (where the adapter is plugged in) are learned while the port is present. They recognise an adapter that
comes back under another name, which is what a renamed or re-plugged adapter does until the system has named it. What
an earlier process knew is told by `remember`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from capture.rtnetlink import Address, Link, LinkGone


class LinkEventKind(StrEnum):
    """What can happen to a mirror port."""

    REMOVED = "removed"
    ADDED = "added"
    RENAMED = "renamed"
    UP = "up"
    DOWN = "down"
    MTU = "mtu"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEvent:
    """One thing that happened to a mirror port."""

    kind: LinkEventKind
    """What happened. After `added` a port is down until `up`; `removed` implies `down`."""
    interface: str
    """The port, by its configured name."""
    name: str
    """The name its interface has now, or had last."""
    ifindex: int
    """Number of its interface; another one after `removed` and `added`."""
    detail: str
    """The fact in a few words; for `address` the address itself."""


@dataclass(slots=True, kw_only=True)
class _Port:
    """A configured mirror port and what is known of its adapter."""

    configured: str
    link: Link | None = None
    mac: str = ""
    slot: str = ""
    expected_ifindex: int = 0
    known_ifindex: int = 0
    """Of the interface that served the port before this process began."""
    addresses: set[str] = field(default_factory=set)

    def event(self, kind: LinkEventKind, link: Link, detail: str) -> LinkEvent:
        return LinkEvent(kind=kind, interface=self.configured, name=link.name, ifindex=link.ifindex, detail=detail)

    def is_served_by(self, link: Link) -> bool:
        """Whether an absent port's adapter is this link."""
        known_mac = bool(self.mac) and link.mac == self.mac
        return link.name == self.configured or known_mac or link.ifindex in (self.expected_ifindex, self.known_ifindex)

    def rank(self, link: Link) -> tuple[bool, bool]:
        """Order among the ports that a link could serve."""
        return link.ifindex != self.known_ifindex, link.name != self.configured


class LinkTable:
    """The mirror ports and the links that serve them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._ports = [_Port(configured=name) for name in names]

    def link(self, interface: str) -> Link | None:
        """The link that serves the port of this configured name; None while it is absent."""
        return next((port.link for port in self._ports if port.configured == interface), None)

    def remember(self, interface: str, ifindex: int, mac: str) -> None:
        """Tell which interface served a port last, before anything is applied: it does so still, whatever its name."""
        for port in self._ports:
            if port.configured == interface:
                port.known_ifindex, port.mac = ifindex, mac

    def apply(self, message: Link | LinkGone | Address) -> list[LinkEvent]:
        """One notification: what it means for the ports."""
        port = self._port_of(message.ifindex)
        match message:
            case Link() if port is not None:
                return _changed(port, message)
            case Link():
                return self._appeared(message)
            case LinkGone() if port is not None:
                return _removed(port)
            case Address() if port is not None:
                return _addressed(port, message)
        return []

    def resync(self, links: Iterable[Link], addresses: Iterable[Address]) -> list[LinkEvent]:
        """All links and addresses there are: what changed since the last notification that was seen.

        A port whose interface is not among them is gone; the same name on another interface is `removed` and `added`.
        """
        events: list[LinkEvent] = []
        by_number = {link.ifindex: link for link in links}
        for port in self._ports:
            if port.link is not None and port.link.ifindex not in by_number:
                events += _removed(port)
        known = {port.known_ifindex for port in self._ports}
        for link in sorted(by_number.values(), key=lambda link: link.ifindex not in known):
            events += self.apply(link)
        held = list(addresses)
        for port in self._ports:
            ifindex = port.link.ifindex if port.link is not None else 0
            port.addresses &= {address.address for address in held if address.ifindex == ifindex}
        for address in held:
            events += self.apply(address)
        return events

    def locate(self, ifindex: int, slot: str) -> bool:
        """Learn where an adapter is plugged in; True when it sits in the slot of an absent port.

        That port then belongs to this interface: the caller brings the link by `resync`.
        """
        port = self._port_of(ifindex)
        if port is not None:
            port.slot = slot
            return False
        for port in self._ports:
            if port.link is None and port.slot == slot:
                port.expected_ifindex = ifindex
                return True
        return False

    def _port_of(self, ifindex: int) -> _Port | None:
        return next((port for port in self._ports if port.link is not None and port.link.ifindex == ifindex), None)

    def _appeared(self, link: Link) -> list[LinkEvent]:
        """A link that serves no port yet.

        A port that it served before comes first, then one of its very name, then one that knows its MAC or slot.
        """
        absent = [port for port in self._ports if port.link is None and port.is_served_by(link)]
        if not absent:
            return []
        port = min(absent, key=lambda port: port.rank(link))
        port.link, port.mac, port.expected_ifindex = link, link.mac, 0
        events = [port.event(LinkEventKind.ADDED, link, f"interface {link.ifindex}, MTU {link.mtu}")]
        if link.up:
            events.append(port.event(LinkEventKind.UP, link, "carrier"))
        return events


def _changed(port: _Port, link: Link) -> list[LinkEvent]:
    before = port.link
    assert before is not None
    port.link, port.mac = link, link.mac
    events = []
    if link.name != before.name:
        events.append(port.event(LinkEventKind.RENAMED, link, f"{before.name} is now {link.name}"))
    if link.mtu != before.mtu:
        events.append(port.event(LinkEventKind.MTU, link, f"{before.mtu} -> {link.mtu}"))
    if link.up and not before.up:
        events.append(port.event(LinkEventKind.UP, link, "carrier"))
    if before.up and not link.up:
        events.append(port.event(LinkEventKind.DOWN, link, _why_down(link)))
    return events


def _why_down(link: Link) -> str:
    return "no carrier" if link.set_up else "set down"


def _removed(port: _Port) -> list[LinkEvent]:
    gone = port.link
    assert gone is not None
    port.link = None
    port.addresses.clear()
    return [port.event(LinkEventKind.REMOVED, gone, f"interface {gone.ifindex}")]


def _addressed(port: _Port, address: Address) -> list[LinkEvent]:
    """An address; the kernel announces one again whenever its lifetime changes, which is no event."""
    assert port.link is not None
    known = address.address in port.addresses
    if address.gone:
        port.addresses.discard(address.address)
    else:
        port.addresses.add(address.address)
    return [] if known or address.gone else [port.event(LinkEventKind.ADDRESS, port.link, address.address)]
