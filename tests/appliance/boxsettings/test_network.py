"""The management network's files, and what is refused before there are any."""

import pytest

from appliance.boxsettings import network
from appliance.boxsettings.network import PORT, TIME_SERVERS, VLAN, VLAN_DEVICE
from appliance.diagnosis.settings import ManagementSettings


def files(**settings) -> dict[str, dict[str, list[str]]]:
    """The files as sections with their lines."""
    found = {}
    for name, text in network.files(ManagementSettings(**settings)).items():
        sections: dict[str, list[str]] = {}
        for line in text.splitlines():
            if line.startswith("["):
                lines = sections.setdefault(line.strip("[]"), [])
            elif line and not line.startswith("#"):
                lines.append(line)
        found[name] = sections
    return found


def test_without_an_address_dhcp_is_asked() -> None:
    [(name, port)] = files().items()
    assert name == PORT
    assert port["Match"] == ["Name=eth0"]
    assert "DHCP=yes" in port["Network"]
    assert not [line for lines in port.values() for line in lines if line.startswith("Use")]


def test_what_is_given_goes_before_what_dhcp_tells() -> None:
    found = files(interface="enp1s0", gateway="192.0.2.1", dns=("192.0.2.53",), ntp=("ntp.example.jp",))
    port = found[PORT]
    assert port["Match"] == ["Name=enp1s0"]
    assert {"DHCP=yes", "DNS=192.0.2.53", "Gateway=192.0.2.1"} <= set(port["Network"])
    assert {"UseDNS=no", "UseNTP=no", "UseGateway=no"} <= set(port["DHCPv4"])
    assert found[TIME_SERVERS] == {"Time": ["NTP=ntp.example.jp", "FallbackNTP="]}


def test_an_address_of_its_own() -> None:
    found = files(address="192.0.2.10/24", gateway="192.0.2.1", dns=("192.0.2.53", "2001:db8::53"))
    assert list(found) == [PORT]
    assert "DHCPv4" not in found[PORT]
    lines = found[PORT]["Network"]
    assert {"DHCP=no", "IPv6AcceptRA=no", "Address=192.0.2.10/24", "Gateway=192.0.2.1"} <= set(lines)
    assert [line for line in lines if line.startswith("DNS=")] == ["DNS=192.0.2.53", "DNS=2001:db8::53"]


@pytest.mark.parametrize("interface", ["enp1s0", "enp1s0.100"])
def test_a_vlan_has_the_address_and_its_port_has_none(interface: str) -> None:
    found = files(interface=interface, vlan=100, address="192.0.2.10/24")
    assert list(found) == [PORT, VLAN_DEVICE, VLAN]
    assert found[PORT]["Match"] == ["Name=enp1s0"]
    assert {"DHCP=no", "LinkLocalAddressing=no", "VLAN=enp1s0.100"} <= set(found[PORT]["Network"])
    assert found[VLAN_DEVICE] == {"NetDev": ["Name=enp1s0.100", "Kind=vlan"], "VLAN": ["Id=100"]}
    assert found[VLAN]["Match"] == ["Name=enp1s0.100"]
    assert "Address=192.0.2.10/24" in found[VLAN]["Network"]
    assert ManagementSettings(interface=interface, vlan=100).port == "enp1s0.100"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"address": "192.0.2.10/24", "gateway": "192.0.2.1"}, ""),
        ({"address": "192.0.2.10/31", "gateway": "192.0.2.11"}, ""),
        ({"address": "2001:db8::10/64", "gateway": "fe80::1"}, ""),
        ({"address": "192.0.2.10/24"}, ""),
        ({"gateway": "192.0.2.1"}, ""),
        ({"interface": "span0"}, "interface: 'span0' is a mirror port"),
        ({"interface": "verylongname0", "vlan": 100}, "vlan: 'verylongname0.100' is longer than the 15 characters"),
        ({"address": "192.0.2.0/24"}, "address: 192.0.2.0 is the network itself"),
        ({"address": "192.0.2.255/24"}, "address: 192.0.2.255 is the network itself or everybody"),
        ({"address": "192.0.2.10/24", "gateway": "192.0.2.10"}, "gateway: is the box's own address"),
        ({"address": "192.0.2.10/24", "gateway": "192.0.3.1"}, "gateway: 192.0.3.1 is not in 192.0.2.0/24"),
        ({"address": "192.0.2.10/24", "gateway": "2001:db8::1"}, "gateway: 2001:db8::1 is not in 192.0.2.0/24"),
    ],
)
def test_what_cannot_be(settings: dict[str, str], problem: str) -> None:
    found = list(network.problems(ManagementSettings(**settings), {"span0"}))  # type: ignore[arg-type]
    assert len(found) == bool(problem)
    assert not problem or found[0].startswith(problem)
