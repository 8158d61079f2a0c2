"""Which side a packet came from: the customer's, or from beyond the VPN router. Pure.

Known from the start are the configured addresses of the carrier. What else is known is learnt: a station that sends for
such an address is the VPN router (its MAC), and what a session description from beyond announces lies beyond.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from capture.endpoint import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What is known of a site from the start."""

    beyond: tuple[str, ...] = ()
    """Addresses and networks of the carrier."""
    routers: frozenset[str] = frozenset()
    """Addresses of the gateway and the VPN router."""


MAX_LEARNT = 16_384
"""Addresses remembered; the oldest make room."""


class Origin(StrEnum):
    """Where a packet came from."""

    LAN = "lan"
    VPN = "vpn"
    UNPLACED = "unplaced"


class Placement:
    """Places packets by their addresses, else by their MACs."""

    def __init__(self, beyond: Iterable[str]) -> None:
        """`beyond`: addresses and networks of the carrier, already valid."""
        self._networks = tuple(ipaddress.ip_network(each, strict=False) for each in beyond)
        self._learnt: dict[bytes, bool] = {}
        """Whether an address lies beyond."""
        self._routers: dict[bytes, None] = {}
        """MACs of stations that send for addresses beyond."""
        self._is_configured = lru_cache(maxsize=4096)(self._in_networks)

    def origin(self, source: bytes, destination: bytes, macs: bytes = b"") -> Origin:
        """Return where a packet came from; addresses packed, `macs` destination and source as on the wire."""
        from_beyond, to_beyond = self._lies_beyond(source), self._lies_beyond(destination)
        if from_beyond is not to_beyond and (from_beyond or to_beyond):
            return Origin.VPN if from_beyond else Origin.LAN
        to_router, from_router = macs[:6] in self._routers, macs[6:12] in self._routers
        if to_router is from_router:
            return Origin.UNPLACED
        return Origin.VPN if from_router else Origin.LAN

    def learn_router(self, source: bytes, macs: bytes) -> None:
        """Take note of who sends for an address beyond."""
        if len(self._routers) < 8 and self._is_configured(source):
            self._routers[macs[6:12]] = None

    def learn_media(self, endpoint: Endpoint, *, beyond: bool) -> None:
        """Take note of an address that somebody announced for himself."""
        self._learnt.pop(endpoint.ip, None)
        self._learnt[endpoint.ip] = beyond
        if len(self._learnt) > MAX_LEARNT:
            del self._learnt[next(iter(self._learnt))]

    def _lies_beyond(self, address: bytes) -> bool | None:
        if self._is_configured(address):
            return True
        return self._learnt.get(address)

    def _in_networks(self, address: bytes) -> bool:
        ip = ipaddress.ip_address(address)
        return any(ip.version == network.version and ip in network for network in self._networks)
