"""A mirror port in a network of its own: an ordinary interface sends by itself and when asked, a prepared one never."""

import socket
import subprocess
import time
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import ICMPv6MLQuery, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6NDOptPrefixInfo, IPv6, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from capture import niccounters, routesocket, spanport
from capture.errors import SpanPortError
from capture.niccounters import NicCounters
from tests.capture.private_network import in_private_network, ip, veth

SWITCH = "02:00:00:00:00:99"
ALL_NODES = "33:33:00:00:00:01"
TEMPTATIONS: list[Packet] = [
    Ether(src=SWITCH, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="192.0.2.99", pdst="192.0.2.1"),
    Ether(src=SWITCH, dst=ALL_NODES)
    / IPv6(src="fe80::99", dst="ff02::1")
    / ICMPv6ND_RA()
    / ICMPv6NDOptPrefixInfo(prefix="2001:db8::", prefixlen=64),
    Ether(src=SWITCH, dst=ALL_NODES) / IPv6(src="fe80::99", dst="ff02::1") / ICMPv6ND_NS(tgt="fe80::1"),
    Ether(src=SWITCH, dst=ALL_NODES)
    / IPv6(src="fe80::99", dst="ff02::1", hlim=1)
    / IPv6ExtHdrHopByHop(options=[])
    / ICMPv6MLQuery(mrd=10),
    Ether(src=SWITCH, dst="01:00:5e:00:00:01")
    / IP(src="192.0.2.99", dst="224.0.0.1", ttl=1, proto=2)
    / Raw(bytes([0x11, 1, 0xEE, 0xFE, 0, 0, 0, 0])),
]


def tempt(peer: str) -> None:
    """Everything from the switch that an ordinary interface answers to."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as switch:
        switch.bind((peer, 0))
        for frame in TEMPTATIONS:
            switch.send(bytes(frame))


def until_heard(port: str, peer: str) -> None:
    """The cable carries frames only some time after both its ends were set up."""
    deadline = time.monotonic() + 10
    before = niccounters.read(port).rx_packets
    while niccounters.read(port).rx_packets == before:
        assert time.monotonic() < deadline
        tempt(peer)
        time.sleep(0.05)


def flags(interface: str) -> int:
    return int(Path(f"/sys/class/net/{interface}/flags").read_text(), 16)


def ipv6_of(interface: str) -> Path:
    return Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6")


@in_private_network
def test_a_prepared_port_never_sends_and_an_ordinary_one_does() -> None:
    veth("span0", "sw0")
    veth("plain0", "sw1")
    spanport.prepare("span0")
    assert spanport.check("span0") == []
    ip("link set dev plain0 up")
    for interface, peer in (("span0", "sw0"), ("plain0", "sw1")):
        ip(f"link set dev {interface} promisc on")
        until_heard(interface, peer)
    heard = niccounters.read("span0").rx_packets
    for peer in ("sw0", "sw1") * 5:
        tempt(peer)
        time.sleep(0.25)
    assert flags("span0") & 0x1
    assert spanport.transmitted("plain0") > 2
    assert spanport.transmitted("span0") == 0
    assert niccounters.read("sw0").rx_packets == 0
    assert niccounters.read("span0").rx_packets - heard >= 5 * len(TEMPTATIONS)


@in_private_network
def test_a_port_that_was_in_use_is_silenced() -> None:
    """It has configured itself from what the mirror showed it: that is no address that somebody gave it."""
    veth("span0", "sw0")
    ip("link set dev span0 up")
    deadline = time.monotonic() + 10
    while not any(address.address.startswith("2001:db8:") for address in routesocket.addresses()):
        assert time.monotonic() < deadline
        tempt("sw0")
        time.sleep(0.1)
    spanport.prepare("span0")
    assert spanport.check("span0") == []
    sent = spanport.transmitted("span0")
    assert sent > 0
    for _ in range(4):
        tempt("sw0")
        time.sleep(0.1)
    assert spanport.transmitted("span0") == sent


@in_private_network
def test_each_problem_is_named_with_its_remedy() -> None:
    veth("span0", "sw0")
    arp = "span0: ARP is on: ip link set dev span0 arp off"
    ipv6 = "span0: IPv6 is on: sysctl -w net/ipv6/conf/span0/disable_ipv6=1"
    assert spanport.check("span0") == [arp, ipv6]
    for address in ("192.0.2.1/24", "192.0.2.2/24", "198.51.100.1/32", "2001:db8::1/64"):
        ip(f"address add {address} dev span0")
    held = [
        f"span0: has address {address}, a mirror port has none: ip address del {address} dev span0"
        for address in ("192.0.2.1/24", "198.51.100.1/32", "192.0.2.2/24", "2001:db8::1/64")
    ]
    assert sorted(spanport.check("span0")) == sorted([*held, arp, ipv6])
    ip("link add br0 type bridge")
    ip("link set dev span0 master br0")
    bridge = "span0: br0 stands on it and can send through it: remove br0, or take span0 out of it"
    assert spanport.check("span0")[-1] == bridge


@in_private_network
def test_every_remedy_is_one() -> None:
    veth("span0", "sw0")
    ip("address add 192.0.2.1/24 dev span0")
    ip("address add 2001:db8::1/64 dev span0")
    for problem in spanport.check("span0"):
        subprocess.run(problem.rpartition(": ")[2].split(), check=True, stdout=subprocess.DEVNULL)
    assert spanport.check("span0") == []


@pytest.mark.parametrize("address", ["192.0.2.1/24", "2001:db8::1/64"])
@in_private_network
def test_an_interface_with_an_address_is_not_touched(address: str) -> None:
    veth("eth0", "sw0")
    ip(f"address add {address} dev eth0")
    before = flags("eth0")
    spanport.prepare("eth0")
    assert flags("eth0") == before
    assert ipv6_of("eth0").read_text() == "0\n"


@in_private_network
def test_a_port_that_would_send_is_not_set_up() -> None:
    veth("span0", "sw0")
    ip("link add br0 type bridge")
    ip("link set dev span0 master br0")
    spanport.prepare("span0")
    assert not flags("span0") & 0x1
    assert len(spanport.check("span0")) == 1


@in_private_network
def test_where_ipv6_cannot_be_switched_off_the_port_stays_down() -> None:
    """As in a container whose /proc/sys is read-only."""
    veth("span0", "sw0")
    subprocess.run(["mount", "--bind", "-o", "ro", "/proc/sys", "/proc/sys"], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", "/proc/sys"], check=True)
    spanport.prepare("span0")
    assert not flags("span0") & 0x1
    assert [problem.split(": ")[1] for problem in spanport.check("span0")] == ["IPv6 is on"]


@in_private_network
def test_merging_of_packets_is_switched_off() -> None:
    veth("span0", "sw0")
    subprocess.run(["ethtool", "-K", "span0", "gro", "on"], check=True)
    spanport.prepare("span0")
    shown = subprocess.run(["ethtool", "-k", "span0"], check=True, capture_output=True, text=True).stdout
    assert "generic-receive-offload: off" in shown
    assert "large-receive-offload: off" in shown


@in_private_network
def test_the_mtu_is_left_alone_and_preparing_twice_changes_nothing() -> None:
    veth("span0", "sw0")
    ip("link set dev span0 mtu 4000")
    spanport.prepare("span0")
    once = flags("span0")
    spanport.prepare("span0")
    assert flags("span0") == once
    assert Path("/sys/class/net/span0/mtu").read_text() == "4000\n"


@pytest.mark.parametrize("name", ["nosuch0", "", "a-name-of-more-than-fifteen", "span\0", ".."])
def test_no_such_interface(name: str) -> None:
    for ask in (spanport.prepare, spanport.check, spanport.transmitted):
        with pytest.raises(SpanPortError, match="there is no interface of this name"):
            ask(name)


@in_private_network
def test_counters_count_frames_and_begin_anew_with_the_interface() -> None:
    veth("span0", "sw0")
    spanport.prepare("span0")
    until_heard("span0", "sw0")
    before = niccounters.read("span0")
    tempt("sw0")
    change = niccounters.read("span0") - before
    assert change.rx_packets >= len(TEMPTATIONS)
    assert change.rx_bytes >= sum(len(bytes(frame)) for frame in TEMPTATIONS)
    assert change.tx_packets == 0
    ip("link del span0")
    assert niccounters.read("span0") == NicCounters()


def test_a_counter_that_fell_counts_from_zero() -> None:
    earlier = NicCounters(rx_packets=100, rx_bytes=9000, rx_missed=7)
    later = NicCounters(rx_packets=30, rx_bytes=9100, rx_missed=7)
    assert later - earlier == NicCounters(rx_packets=30, rx_bytes=100)
