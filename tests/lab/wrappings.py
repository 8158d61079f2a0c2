"""How a switch sends mirrored frames to somewhere else: 802.1Q tags, ERSPAN type II, VXLAN.

Written by the standards (IEEE 802.1Q and 802.1ad, draft-foschiano-erspan-03, RFC 2784, RFC 7348), and by nothing of the
product's own.
"""

import struct
from collections.abc import Callable

from tests.traffic.pcapwriter import checksum, packed

Wrapper = Callable[[bytes, int], bytes]
"""(frame, its number from 0 on) -> what is sent instead."""

VLAN = 77
_SERVICE_VLAN = 100
_OUTER_MACS = bytes.fromhex("02000000fe02 02000000fe01")
_SWITCH, _COLLECTOR = packed("192.0.2.1"), packed("192.0.2.2")


def plain(frame: bytes, _number: int) -> bytes:
    """As it is."""
    return frame


def tagged(frame: bytes, _number: int) -> bytes:
    """With a VLAN tag."""
    return frame[:12] + struct.pack("!HH", 0x8100, VLAN) + frame[12:]


def double_tagged(frame: bytes, number: int) -> bytes:
    """With a service tag before the VLAN tag."""
    return frame[:12] + struct.pack("!HH", 0x88A8, _SERVICE_VLAN) + tagged(frame, number)[12:]


def erspan(frame: bytes, number: int) -> bytes:
    """In GRE with a sequence number, under the 8 bytes of ERSPAN type II (session 5, port index 1)."""
    gre = struct.pack("!HHI", 0x1000, 0x88BE, number)
    return _in_ipv4(47, gre + struct.pack("!HHI", 1 << 12, 5, 1) + frame)


def vxlan(frame: bytes, _number: int) -> bytes:
    """In UDP to port 4789, in network 42; without a checksum, as is usual."""
    inner = struct.pack("!II", 0x08 << 24, 42 << 8) + frame
    return _in_ipv4(17, struct.pack("!HHHH", 49152, 4789, 8 + len(inner), 0) + inner)


def _in_ipv4(protocol: int, payload: bytes) -> bytes:
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0, _SWITCH, _COLLECTOR)
    summed = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return _OUTER_MACS + struct.pack("!H", 0x0800) + summed + payload


WRAPPINGS: dict[str, Wrapper] = {
    "plain": plain,
    "vlan": tagged,
    "qinq": double_tagged,
    "erspan": erspan,
    "vxlan": vxlan,
}
