"""Frames as a switch sends them to a recorder that is not at its own ports: each in a packet of its own (ERSPAN, GRE,
VXLAN, TZSP), which is fragmented when the frame was long.

RFC 2784, RFC 7348, draft-foschiano-erspan-03. Written by hand, apart from the product's reader.
"""

import struct
from collections.abc import Iterable
from enum import StrEnum

from tests.traffic.pcapwriter import Address, Frame, FrameWriter, Packet, Wire

SWITCH, RECORDER = "10.99.0.1", "10.99.0.9"
SWITCH_6, RECORDER_6 = "2001:db8:99::1", "2001:db8:99::9"
SESSION = 7


class Tunnel(StrEnum):
    """How a frame travels."""

    ERSPAN_1 = "ERSPAN I"
    ERSPAN_2 = "ERSPAN II"
    ERSPAN_3 = "ERSPAN III"
    ERSPAN_3_PLATFORM = "ERSPAN III with a platform subheader"
    GRE = "GRE"
    VXLAN = "VXLAN"
    VXLAN_LINUX = "VXLAN on the port of Linux"
    TZSP = "TZSP"


_PORTS = {Tunnel.VXLAN: 4789, Tunnel.VXLAN_LINUX: 8472, Tunnel.TZSP: 37008}
_PROTOCOL_GRE = 47


def mirrored(frames: Iterable[Frame], tunnel: Tunnel, *, wire: Wire | None = None, six: bool = False) -> list[Frame]:
    """The Ethernet frames as they reach the recorder, 20 microseconds later; `wire` wraps what carries them."""
    writer = FrameWriter(wire or Wire())
    here, there = (SWITCH_6, RECORDER_6) if six else (SWITCH, RECORDER)
    arrived: list[Frame] = []
    for sequence, (ts_ns, octets) in enumerate(frames):
        packet = Packet(
            ts_ns=ts_ns + 20_000,
            source=Address(here, 49152 + sequence % 1024),
            destination=Address(there, _PORTS.get(tunnel, 0)),
            payload=header(tunnel, sequence) + octets,
        )
        if tunnel in _PORTS:
            arrived += writer.frames(packet)
        else:
            pieces = writer.in_ip(packet, _PROTOCOL_GRE, packet.payload)
            arrived += [Frame(packet.ts_ns + 1000 * place, piece) for place, piece in enumerate(pieces)]
    return sorted(arrived, key=lambda frame: frame.ts_ns)


def header(tunnel: Tunnel, sequence: int) -> bytes:
    """What stands between the carrying packet's IP or UDP header and the frame."""
    match tunnel:
        case Tunnel.ERSPAN_1:
            return struct.pack("!HH", 0, 0x88BE)
        case Tunnel.ERSPAN_2:
            return struct.pack("!HHIHHI", 0x1000, 0x88BE, sequence, 1 << 12 | 10, 3 << 11 | SESSION, 0x1234)
        case Tunnel.ERSPAN_3 | Tunnel.ERSPAN_3_PLATFORM:
            platform = tunnel is Tunnel.ERSPAN_3_PLATFORM
            # The frame type 0 (Ethernet) with the P bit; a direction, a clock in 100 ns, the O bit.
            fields = (2 << 12 | 10, SESSION, sequence * 7919 & 0xFFFFFFFF, 0, 0x8000 | 0x08 | platform)
            gre = struct.pack("!HHI", 0x1000, 0x22EB, sequence)
            return gre + struct.pack("!HHIHH", *fields) + (struct.pack("!II", 3 << 26 | 5, 99) if platform else b"")
        case Tunnel.GRE:
            return struct.pack("!HHI", 0x2000, 0x6558, SESSION)
        case Tunnel.VXLAN | Tunnel.VXLAN_LINUX:
            return struct.pack("!II", 0x08000000, SESSION << 8)
        case Tunnel.TZSP:
            return bytes((1, 0, 0, 1, 0, 10, 1, 0xC4, 18, 1, 6, 0, 1))
