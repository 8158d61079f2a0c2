import pytest

from appliance.diagnosis.settings import ManagementSettings
from appliance.provisioning.network import Port, files, time_sources

FIRST, SECOND, THIRD = (Port(name=f"enp{n}s0", mac=f"02:00:00:00:00:0{n}") for n in (1, 2, 3))


def test_without_a_word_the_first_port_asks_for_an_address_and_the_next_is_the_mirror():
    made = files(ManagementSettings(), [FIRST, SECOND, THIRD], ["span0"])
    assert sorted(made) == ["10-rokubox-span0.link", "50-rokubox-management.network"]
    assert "Name=enp1s0\n" in made["50-rokubox-management.network"]
    assert "DHCP=yes\n" in made["50-rokubox-management.network"]
    assert "MACAddress=02:00:00:00:00:02\n" in made["10-rokubox-span0.link"]
    assert "Name=span0\n" in made["10-rokubox-span0.link"]


def test_a_fixed_address_with_servers():
    management = ManagementSettings(
        interface="enp2s0", address="192.0.2.10/24", gateway="192.0.2.1", dns=("192.0.2.53",), ntp=("192.0.2.123",)
    )
    made = files(management, [FIRST, SECOND], ["span0"])
    lines = made["50-rokubox-management.network"].splitlines()
    assert {"Name=enp2s0", "Address=192.0.2.10/24", "Gateway=192.0.2.1", "DNS=192.0.2.53", "NTP=192.0.2.123"} <= {
        *lines
    }
    assert "DHCP=yes" not in lines
    assert "MACAddress=02:00:00:00:00:01\n" in made["10-rokubox-span0.link"]
    assert time_sources(management) == "server 192.0.2.123 iburst\n"


def test_management_in_a_vlan():
    made = files(ManagementSettings(vlan=42, address="192.0.2.10/24"), [FIRST], [])
    assert "Id=42\n" in made["50-rokubox-vlan.netdev"]
    assert "VLAN=management\n" in made["50-rokubox-management.network"]
    assert "Address" not in made["50-rokubox-management.network"]
    assert "Address=192.0.2.10/24\n" in made["51-rokubox-vlan.network"]


@pytest.mark.parametrize("spans", [["enp2s0"], []])
def test_a_mirror_port_that_keeps_its_name_gets_none(spans):
    assert not any(name.endswith(".link") for name in files(ManagementSettings(), [FIRST, SECOND], spans))


def test_several_mirror_ports_in_the_order_of_their_places():
    made = files(ManagementSettings(interface="enp2s0"), [FIRST, SECOND, THIRD], ["span0", "span1", "span2"])
    assert "02:00:00:00:00:01" in made["10-rokubox-span0.link"]
    assert "02:00:00:00:00:03" in made["10-rokubox-span1.link"]
    assert "10-rokubox-span2.link" not in made, "there is no third one"
