"""`[management]` and the mirror ports as files of systemd-networkd (systemd.network(5), systemd.link(5)). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.diagnosis.settings import ManagementSettings

VLAN_NAME = "management"
"""What the interface is called when management has a VLAN of its own."""
MIRROR_PREFIX = "span"
_MADE = "# Made from rokubox.toml; a change there makes it anew.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An Ethernet port of the machine."""

    name: str
    mac: str
    """Its address."""


def files(management: ManagementSettings, ports: Sequence[Port], spans: Sequence[str]) -> Mapping[str, str]:
    """Return the content of each file, by name.

    Args:
        management: the table.
        ports: the machine's ports in the order of their places; the first is the management port unless the table
            names another one, the others become mirror ports.
        spans: names of the mirror ports that the configuration records.
    """
    own = management.interface or (ports[0].name if ports else "")
    made = {"50-rokubox-management.network": _management(management, own)}
    if management.vlan:
        made["50-rokubox-management.network"] = _section("Match", Name=own) + _section("Network", VLAN=VLAN_NAME)
        made["50-rokubox-vlan.netdev"] = _section("NetDev", Name=VLAN_NAME, Kind="vlan") + _section(
            "VLAN", Id=str(management.vlan)
        )
        made["51-rokubox-vlan.network"] = _management(management, VLAN_NAME)
    others = [port for port in ports if port.name != own]
    for span, port in zip([name for name in spans if name.startswith(MIRROR_PREFIX)], others, strict=False):
        made[f"10-rokubox-{span}.link"] = _section("Match", MACAddress=port.mac, Type="ether") + _section(
            "Link",
            Name=span,
            GenericReceiveOffload="no",
            GenericReceiveOffloadHardware="no",
            LargeReceiveOffload="no",
            RxBufferSize="max",
        )
    return {name: _MADE + text for name, text in made.items()}


def _management(management: ManagementSettings, interface: str) -> str:
    network: list[tuple[str, str]] = []
    if management.address:
        network += [("Address", management.address)]
        network += [("Gateway", management.gateway)] if management.gateway else []
    else:
        network += [("DHCP", "yes")]
    network += [("DNS", server) for server in management.dns]
    network += [("NTP", server) for server in management.ntp]
    return _section("Match", Name=interface) + "[Network]\n" + "".join(f"{key}={value}\n" for key, value in network)


def _section(name: str, **values: str) -> str:
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in values.items()) + "\n"


def time_sources(management: ManagementSettings) -> str:
    """Return a chrony sources file (chrony.conf(5), sourcedir); empty when the system's servers are used."""
    return "".join(f"server {server} iburst\n" for server in management.ntp)
