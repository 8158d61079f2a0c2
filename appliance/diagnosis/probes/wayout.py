"""The way out of the box: which interface is for management, its networks, its gateway."""

import ipaddress
from dataclasses import dataclass

from appliance.diagnosis.probes import ipcommand
from appliance.diagnosis.settings import ManagementSettings, ProbeSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOut:
    """How packets leave."""

    interface: str
    """Name of the management interface; empty when there is none."""
    gateway: str
    """Address of the gateway; empty when there is none."""
    networks: tuple[Network, ...]
    """Networks that are reached without a gateway."""

    def is_on_link(self, address: str) -> bool | None:
        """Whether an address is reached without a gateway; None when it is none."""
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return None
        return ip.is_loopback or any(ip in network for network in self.networks if network.version == ip.version)


def find(management: ManagementSettings, probe: ProbeSettings) -> WayOut:
    """Find out; what is configured goes before what the kernel says."""
    routes = [route for version in ("-4", "-6") for route in ipcommand.ask(version, "route", "show", "default")]
    chosen = management.port or next((str(route.get("dev", "")) for route in routes), "")
    mine = [route for route in routes if route.get("dev") == chosen]
    by_kernel = next((str(route["gateway"]) for route in mine if "gateway" in route), "")
    return WayOut(
        interface=chosen,
        gateway=probe.gateway or management.gateway or by_kernel,
        networks=tuple(_networks(chosen)) if chosen else (),
    )


def _networks(interface: str) -> list[Network]:
    found = []
    for link in ipcommand.ask("address", "show", "dev", interface):
        for address in link.get("addr_info", ()):
            try:
                own = ipaddress.ip_interface(f"{address['local']}/{address['prefixlen']}")
            except (KeyError, ValueError):
                continue
            found.append(own.network)
    return found
