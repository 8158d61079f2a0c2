"""Frames in every kind of tunnel, made by scapy apart from TZSP, which it does not know."""

from typing import Any

from scapy.contrib.erspan import ERSPAN_I, ERSPAN_II, ERSPAN_III, ERSPAN_PlatformSpecific
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

PAYLOAD = b"payload of a datagram \x00\x01\x02"
OUTER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst="10.0.0.2")
OUTER_6 = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IPv6(src="2001:db8:1::1", dst="2001:db8:1::2")
MAC = Ether(src="02:aa:00:00:00:03", dst="02:aa:00:00:00:04")
SPEECH = UDP(sport=5004, dport=6004) / Raw(PAYLOAD)
INNER = MAC / IP(src="192.0.2.1", dst="192.0.2.2") / SPEECH
INNER_6 = MAC / IPv6(src="2001:db8::1", dst="2001:db8::2") / SPEECH
TZSP_PLAIN = b"\x01\x00\x00\x01\x01"
TZSP_TAGGED = (
    b"\x01\x01\x00\x01" + b"\x00\x0a\x01\xc4\x00\x00\x12\x01\x06\x29\x02\x05\xdc\x3c\x06\x01\x02\x03\x04\x05\x06\x01"
)
"""A packet for transmission; padding, signal strength, channel, original length, a sensor's MAC address."""


def gre(protocol: int, **fields: Any) -> Packet:
    return GRE(proto=protocol, **fields)


def vxlan(port: int = 4789) -> Packet:
    return UDP(sport=49200, dport=port) / VXLAN(flags=0x08, vni=7)


def tzsp(head: bytes) -> Packet:
    return UDP(sport=49200, dport=37008) / Raw(head)


IP_KINDS: dict[str, Packet] = {
    "GRE bridging": gre(0x6558),
    "GRE bridging with a key": gre(0x6558, key_present=1, key=9),
    "GRE bridging with all fields": gre(0x6558, chksum_present=1, key_present=1, seqnum_present=1, key=9),
    "ERSPAN I": gre(0x88BE) / ERSPAN_I(),
    "ERSPAN II": gre(0x88BE, seqnum_present=1, sequence_number=5) / ERSPAN_II(vlan=10, session_id=7, en=3),
    "ERSPAN II with a key": gre(0x88BE, seqnum_present=1, key_present=1, key=3) / ERSPAN_II(session_id=7),
    "ERSPAN III": gre(0x22EB, seqnum_present=1) / ERSPAN_III(vlan=10, session_id=7, p=1, ft=0),
    "ERSPAN III with a platform subheader": gre(0x22EB, seqnum_present=1)
    / ERSPAN_III(session_id=7, p=1, ft=0, hw=63, d=1, gra=3, o=1)
    / ERSPAN_PlatformSpecific(platf_id=3, info1=5, info2=0xFFFFFFFF),
}
"""Headers of tunnels that an IP protocol announces, each for an Ethernet frame."""
UDP_KINDS: dict[str, Packet] = {
    "VXLAN": vxlan(),
    "VXLAN on the port of Linux": vxlan(8472),
    "TZSP": tzsp(TZSP_PLAIN),
    "TZSP with tags": tzsp(TZSP_TAGGED),
}
"""Those that only a UDP port hints at."""
KINDS = IP_KINDS | UDP_KINDS


def in_tunnel(header: Packet, inner: Packet = INNER, outer: Packet = OUTER) -> bytes:
    """A frame that carries another, whose bytes it ends with."""
    return bytes(outer / header / Raw(bytes(inner)))
