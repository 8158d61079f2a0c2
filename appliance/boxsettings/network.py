"""The management network: files for systemd-networkd and systemd-timesyncd. Pure.

systemd.network(5), systemd.netdev(5), timesyncd.conf(5):

    20-rokubox-management.network   takes the place of the image's file of that name, which asks by DHCP
    20-rokubox-vlan.netdev, .network   the VLAN on that port, if there is one
    50-rokubox.conf                 time servers

Mirror ports have a file of their own whose name comes first, and no name of theirs is accepted here.
"""

import ipaddress
from collections.abc import Collection, Iterator, Mapping

from appliance.diagnosis.settings import ManagementSettings

PORT, VLAN_DEVICE, VLAN = (
    "systemd/network/20-rokubox-management.network",
    "systemd/network/20-rokubox-vlan.netdev",
    "systemd/network/20-rokubox-vlan.network",
)
TIME_SERVERS = "systemd/timesyncd.conf.d/50-rokubox.conf"
NAMES = (PORT, VLAN_DEVICE, VLAN, TIME_SERVERS)
"""Every file that this module may ask for, under /run."""
FIRST_PORT = "eth0"
"""Management port of the appliance's image where the configuration names none."""
MAX_NAME = 15
"""Characters of an interface's name."""
_PREAMBLE = "# Made by `rokubox box-settings` from [management]. 変更は rokubox.toml で行ってください。"
Section = tuple[str, tuple[str, ...]]


def files(management: ManagementSettings) -> Mapping[str, str]:
    """Content of the files by name. `problems` found nothing wrong with the settings."""
    carrier = management.carrier or FIRST_PORT
    address = _address_sections(management)
    if not management.vlan:
        found = {PORT: _file(("Match", (f"Name={carrier}",)), *address)}
    else:
        device = f"{carrier}.{management.vlan}"
        found = {
            PORT: _file(("Match", (f"Name={carrier}",)), ("Network", (*_NO_ADDRESS, f"VLAN={device}"))),
            VLAN_DEVICE: _file(("NetDev", (f"Name={device}", "Kind=vlan")), ("VLAN", (f"Id={management.vlan}",))),
            VLAN: _file(("Match", (f"Name={device}",)), *address),
        }
    if management.ntp:
        # Nobody else is asked: whoever names time servers may have no way to others, or not want them.
        found[TIME_SERVERS] = _file(("Time", (f"NTP={' '.join(management.ntp)}", "FallbackNTP=")))
    return found


_NO_ADDRESS = ("DHCP=no", "LinkLocalAddressing=no", "IPv6AcceptRA=no", "LLMNR=no", "MulticastDNS=no")


def _address_sections(management: ManagementSettings) -> tuple[Section, ...]:
    """How the address is had, and what is asked of whom."""
    fixed = [f"DNS={server}" for server in management.dns]
    if management.gateway:
        fixed.append(f"Gateway={management.gateway}")
    if management.address:
        own = ("DHCP=no", "LinkLocalAddressing=ipv6", "IPv6AcceptRA=no", f"Address={management.address}")
        return (("Network", (*own, *fixed, "LLMNR=no", "MulticastDNS=no")),)
    network = ("DHCP=yes", "LinkLocalAddressing=ipv6", *fixed, "LLMNR=no", "MulticastDNS=no")
    told = [f"Use{what}=no" for what, given in (("DNS", management.dns), ("NTP", management.ntp)) if given]
    routes = ["UseGateway=no"] if management.gateway else []
    sections: list[Section] = [("Network", network), ("DHCPv4", ("ClientIdentifier=mac", *told, *routes))]
    sections += [("DHCPv6", tuple(told))] if told else []
    accepted = ["UseDNS=no"] * bool(management.dns) + routes
    sections += [("IPv6AcceptRA", tuple(accepted))] if accepted else []
    return tuple(sections)


def _file(*sections: Section) -> str:
    return _PREAMBLE + "".join(
        f"\n[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections if lines
    )


def problems(management: ManagementSettings, mirror_ports: Collection[str]) -> Iterator[str]:
    """What cannot be, one for each line."""
    if management.interface and management.interface in mirror_ports:
        yield f"interface: {management.interface!r} is a mirror port: nothing is ever sent there"
    if len(management.port) > MAX_NAME:
        yield f"vlan: {management.port!r} is longer than the {MAX_NAME} characters of an interface's name"
    if management.address:
        yield from _address_problems(ipaddress.ip_interface(management.address), management.gateway)


def _address_problems(own: ipaddress.IPv4Interface | ipaddress.IPv6Interface, gateway: str) -> Iterator[str]:
    network = own.network
    if own.version == 4 and network.prefixlen < 31 and own.ip in (network.network_address, network.broadcast_address):
        yield f"address: {own.ip} is the network itself or everybody in it, and no host's"
    if not gateway:
        return
    way_out = ipaddress.ip_address(gateway)
    if way_out == own.ip:
        yield "gateway: is the box's own address"
    elif way_out not in network and not way_out.is_link_local:
        yield f"gateway: {gateway} is not in {network}, which [management] address says"
