"""`[management]` and `[probe]`: the way out of the box, and what lies on it. Pure."""

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from appliance.diagnosis.evidence import Step
from appliance.diagnosis.wire.placement import Sides
from appliance.tomltree import Check


def _address_problem(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return "" if not text else f"{text!r} is no IP address"
    return ""


def _interface_problem(text: str) -> str:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return "" if not text else f"{text!r} is no address with its prefix; write one like 192.0.2.10/24"
    return ""


def _network_problem(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f"{text!r} is no network; write one like 198.51.100.0/24"
    return ""


def _host_problem(text: str) -> str:
    return "" if text and text.isprintable() and not set(text) & set(" /@[]") else "no address or host name"


Address = Annotated[str, Check(_address_problem)]
InterfaceAddress = Annotated[str, Check(_interface_problem)]
Network = Annotated[str, Check(_network_problem)]
Host = Annotated[str, Meta(max_length=255), Check(_host_problem)]
PortNumber = Annotated[int, Meta(ge=1, le=65535)]
InterfaceName = Annotated[str, Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,14})?$")]


class Transport(StrEnum):
    """How SIP is carried."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementSettings:
    """`[management]`: the port that everything but capture goes through."""

    interface: InterfaceName = ""
    """Name of the interface; that of the default route when empty."""
    address: InterfaceAddress = ""
    """Address with its prefix; by DHCP when empty."""
    gateway: Address = ""
    """Default gateway; by DHCP when empty."""
    dns: tuple[Address, ...] = ()
    """Name servers; those of the system when empty."""
    ntp: tuple[Host, ...] = ()
    """Time servers; those of the system when empty."""
    vlan: Annotated[int, Meta(ge=0, le=4094)] = 0
    """VLAN of the management network; 0: untagged."""
    proxy: Annotated[str, Meta(pattern=r"^(http://[^\s/]+/?)?$")] = ""
    """HTTP proxy for delivery by HTTPS, WebDAV and S3: `http://name:port`; none when empty."""

    @property
    def carrier(self) -> str:
        """Name of the port itself; empty when none is named."""
        return self.interface.removesuffix(f".{self.vlan}") if self.vlan else self.interface

    @property
    def port(self) -> str:
        """Name of the interface that has the address: that of the VLAN where there is one; empty when none is named."""
        return f"{self.carrier}.{self.vlan}" if self.interface and self.vlan else self.interface


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierEndpoint:
    """`[[probe.carrier]]`: where the carrier's service is reached."""

    address: Host
    """Address or name."""
    port: PortNumber = 5060
    """SIP port."""
    transport: Transport = Transport.UDP
    """How SIP is carried there."""
    server_name: str = ""
    """Name in the certificate, for `tls`; `address` when empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """`[probe]`: what is asked, from the management port only, and how far the sides can be told apart."""

    gateway: Address = ""
    """Gateway to be looked for; that of `[management]` or of the default route when empty."""
    vpn_next_hop: Address = ""
    """The VPN router's address on this side; not looked for when empty."""
    carrier: tuple[CarrierEndpoint, ...] = ()
    """The carrier's endpoints; not asked when empty."""
    carrier_networks: tuple[Network, ...] = ()
    """Where the carrier's signalling and media come from, besides the endpoints; tells the mirror's sides apart."""
    dns_name: str = ""
    """Name to be resolved; the broker's, else no name is asked for and only the servers' answer counts."""
    not_observable: tuple[Step, ...] = ()
    """Rungs that this box cannot observe, so that they are no doubt: a virtual machine has no SMART."""

    @property
    def sides(self) -> Sides:
        """What tells the mirror's sides apart."""
        addresses = [each.address for each in self.carrier if not _address_problem(each.address)]
        routers = frozenset(filter(None, (self.gateway, self.vpn_next_hop)))
        return Sides(beyond=(*addresses, *self.carrier_networks), routers=routers)
