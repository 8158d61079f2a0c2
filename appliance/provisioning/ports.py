"""The machine's Ethernet ports, from sysfs."""

from pathlib import Path

from appliance.provisioning.network import Port

_ETHERNET = "1"
"""ARPHRD_ETHER, if_arp.h."""


def ethernet_ports(classes: Path = Path("/sys/class/net")) -> list[Port]:
    """Return the ports that are hardware, in the order of their places on the buses: the same after each start."""
    found = []
    for entry in classes.iterdir():
        if (entry / "device").exists() and (entry / "type").read_text().strip() == _ETHERNET:
            place = str((entry / "device").resolve())
            found.append((place, Port(name=entry.name, mac=(entry / "address").read_text().strip())))
    return [port for _, port in sorted(found, key=lambda each: each[0])]
