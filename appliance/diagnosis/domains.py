"""Domains of responsibility, and the exit codes of `rokubox selftest` that name them. Pure."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Domain(StrEnum):
    """Who has to act. Declared in the order in which they are doubted: ourselves first."""

    APPLIANCE = "appliance"
    """This box."""
    MIRROR = "mirror"
    """The mirror session and its cable: the customer's."""
    LAN = "lan"
    """The customer's switch, cables, telephones, PBX."""
    VPN = "vpn"
    """Access line, VPN router, path."""
    CARRIER = "carrier"
    """The service behind the VPN."""
    ENDPOINT = "endpoint"
    """One telephone, on either side."""


Domains = tuple[Domain, ...]
"""An ordered set: `(VPN, CARRIER)` is "vpn or carrier"; `()` is "not observable"."""

BEYOND: Final = frozenset({Domain.VPN, Domain.CARRIER})
"""Whom nobody names while something on our own side is in doubt."""

NOT_OBSERVABLE = 29
SEVERAL = 28
"""Any set that has no code of its own."""
_EXIT_CODES: Final[Mapping[frozenset[Domain], int]] = MappingProxyType(
    {
        frozenset(): NOT_OBSERVABLE,
        frozenset({Domain.LAN}): 20,
        frozenset({Domain.MIRROR}): 21,
        frozenset({Domain.APPLIANCE}): 22,
        frozenset({Domain.VPN}): 23,
        frozenset({Domain.CARRIER}): 24,
        frozenset({Domain.VPN, Domain.CARRIER}): 25,
        frozenset({Domain.LAN, Domain.VPN}): 26,
        frozenset({Domain.ENDPOINT}): 27,
    }
)


def exit_code(domains: Iterable[Domain]) -> int:
    """Return the exit code that names a set of domains."""
    return _EXIT_CODES.get(frozenset(domains), SEVERAL)
