"""Datagrams and TCP messages -> frames -> a classic pcap file, with every length and checksum right.

Small and separate from the product's readers on purpose: what this writes and they read agree only if both follow the
standards (RFC 791, 768, 9293, 8200; the link types of tcpdump.org's registry).
"""

import ipaddress
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Address(NamedTuple):
    """Where a packet comes from or goes to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Transport(StrEnum):
    UDP = "udp"
    TCP = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One UDP datagram, or one message on a TCP connection."""

    ts_ns: int
    source: Address
    destination: Address
    payload: bytes
    transport: Transport = Transport.UDP


class Frame(NamedTuple):
    """What the capture shows of it."""

    ts_ns: int
    octets: bytes


class Link(IntEnum):
    """Link types, by their numbers in the pcap file header."""

    NULL = 0
    ETHERNET = 1
    RAW = 101
    SLL = 113
    SLL2 = 276


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How packets are wrapped."""

    link: Link = Link.ETHERNET
    vlans: tuple[int, ...] = ()
    """802.1Q tags, outermost first; two make QinQ."""
    pppoe_session: int | None = None
    mtu: int = 1500
    """A larger IP packet is fragmented."""
    tcp_segment_bytes: int = 1400
    ttl: int = 64
    mac_seed: int = 0
    """Changes all MAC addresses, as another switch port would show them."""


@dataclass(slots=True)
class _Connection:
    """Next sequence number of each end of a TCP connection."""

    following: dict[Address, int]


@dataclass(slots=True)
class FrameWriter:
    """Wraps packets in the order given; keeps IP identifications and TCP sequence numbers."""

    wire: Wire = field(default_factory=Wire)
    _identification: int = 0
    _connections: dict[frozenset[Address], _Connection] = field(default_factory=dict)

    def frames(self, packet: Packet) -> Iterator[Frame]:
        """The frames of one packet, a microsecond apart: more than one when it is fragmented or goes by TCP."""
        for place, octets in enumerate(self._octets(packet)):
            yield Frame(packet.ts_ns + 1000 * place, octets)

    def _octets(self, packet: Packet) -> Iterator[bytes]:
        if packet.transport is Transport.UDP:
            yield from self.in_ip(packet, 17, udp(packet))
            return
        for source, destination, flags, sequence, acknowledged, chunk in self._tcp_exchange(packet):
            part = Packet(ts_ns=packet.ts_ns, source=source, destination=destination, payload=chunk)
            yield from self.in_ip(part, 6, tcp(part, sequence, acknowledged, flags))

    def _tcp_exchange(self, packet: Packet) -> Iterator[tuple[Address, Address, int, int, int, bytes]]:
        """(source, destination, flags, sequence, acknowledgement, data) of each segment that one message causes."""
        here, there = packet.source, packet.destination
        connection = self._connections.get(frozenset((here, there)))
        if connection is None:
            # Starting near the wrap, so that a long exchange crosses it.
            connection = _Connection({here: 0xFFFFF000, there: 0x10000000})
            self._connections[frozenset((here, there))] = connection
            ours, theirs = connection.following[here], connection.following[there]
            yield here, there, 0x02, ours - 1, 0, b""
            yield there, here, 0x12, theirs - 1, ours, b""
            yield here, there, 0x10, ours, theirs, b""
        step = self.wire.tcp_segment_bytes
        for at in range(0, len(packet.payload), step):
            chunk = packet.payload[at : at + step]
            ours, theirs = connection.following[here], connection.following[there]
            yield here, there, 0x18, ours, theirs, chunk
            connection.following[here] = ours + len(chunk) & 0xFFFFFFFF
            yield there, here, 0x10, theirs, connection.following[here], b""

    def in_ip(self, packet: Packet, protocol: int, segment: bytes) -> Iterator[bytes]:
        """The frames of one IP payload between the packet's addresses, whatever protocol it is of."""
        self._identification = (self._identification + 1) & 0xFFFF
        six = ":" in packet.source.host
        build = self._ipv6 if six else self._ipv4
        for part in build(packet, protocol, segment):
            yield link_header(self.wire, packet, 0x86DD if six else 0x0800, len(part)) + part

    def _ipv4(self, packet: Packet, protocol: int, segment: bytes) -> Iterator[bytes]:
        room = self.wire.mtu - 20 & ~7 if len(segment) > self.wire.mtu - 20 else len(segment)
        for at in range(0, len(segment), room):
            chunk, more = segment[at : at + room], at + room < len(segment)
            header = struct.pack(
                "!BBHHHBBH4s4s", 0x45, 0xB8, 20 + len(chunk), self._identification, more << 13 | at >> 3,
                self.wire.ttl, protocol, 0, packed(packet.source.host), packed(packet.destination.host),
            )  # fmt: skip
            yield header[:10] + struct.pack("!H", checksum(header)) + header[12:] + chunk

    def _ipv6(self, packet: Packet, protocol: int, segment: bytes) -> Iterator[bytes]:
        addresses = packed(packet.source.host) + packed(packet.destination.host)
        start = struct.pack("!I", 6 << 28 | 0xB8 << 20)
        if len(segment) <= self.wire.mtu - 40:
            yield start + struct.pack("!HBB", len(segment), protocol, self.wire.ttl) + addresses + segment
            return
        room = self.wire.mtu - 48 & ~7
        for at in range(0, len(segment), room):
            chunk, more = segment[at : at + room], at + room < len(segment)
            fragment = struct.pack("!BBHI", protocol, 0, at | more, self._identification)
            yield start + struct.pack("!HBB", 8 + len(chunk), 44, self.wire.ttl) + addresses + fragment + chunk


def udp(packet: Packet) -> bytes:
    """The UDP datagram with its header."""
    header = struct.pack("!HHHH", packet.source.port, packet.destination.port, 8 + len(packet.payload), 0)
    total = checksum(_pseudo_header(packet, 17, 8 + len(packet.payload)) + header + packet.payload) or 0xFFFF
    return header[:6] + struct.pack("!H", total) + packet.payload


def tcp(packet: Packet, sequence: int, acknowledged: int, flags: int) -> bytes:
    """The TCP segment with its header (no options)."""
    ports = (packet.source.port, packet.destination.port)
    header = struct.pack(
        "!HHIIBBHHH", *ports, sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF, 5 << 4, flags, 64240, 0, 0
    )
    total = checksum(_pseudo_header(packet, 6, len(header) + len(packet.payload)) + header + packet.payload)
    return header[:16] + struct.pack("!H", total) + header[18:] + packet.payload


def _pseudo_header(packet: Packet, protocol: int, length: int) -> bytes:
    return packed(packet.source.host) + packed(packet.destination.host) + struct.pack("!II", length, protocol)


def checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(octets) % 2:
        octets += b"\0"
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@cache
def packed(host: str) -> bytes:
    """4 or 16 bytes."""
    return ipaddress.ip_address(host).packed


@cache
def mac(host: str, seed: int = 0) -> bytes:
    """A locally administered MAC address made of the IP address."""
    return bytes([0x02, seed & 0xFF]) + packed(host)[-4:]


def link_header(wire: Wire, packet: Packet, ether_type: int, length: int) -> bytes:
    """What comes before an IP packet of `length` bytes."""
    source, destination = mac(packet.source.host, wire.mac_seed), mac(packet.destination.host, wire.mac_seed)
    match wire.link:
        case Link.RAW:
            return b""
        case Link.NULL:
            return struct.pack("<I", 2 if ether_type == 0x0800 else 30)
        case Link.SLL:
            return struct.pack("!HHH6sHH", 0, 1, 6, source, 0, ether_type)
        case Link.SLL2:
            return struct.pack("!HHIHBB6sH", ether_type, 0, 2, 1, 0, 6, source, 0)
    tags = b""
    for depth, vlan in enumerate(wire.vlans):
        outer = depth < len(wire.vlans) - 1
        tags += struct.pack("!HH", 0x88A8 if outer else 0x8100, 5 << 13 | vlan)
    if wire.pppoe_session is None:
        return destination + source + tags + struct.pack("!H", ether_type)
    ppp = struct.pack(
        "!HBBHHH", 0x8864, 0x11, 0, wire.pppoe_session, length + 2, 0x21 if ether_type == 0x0800 else 0x57
    )
    return destination + source + tags + ppp


def write_pcap(
    path: Path,
    frames: Iterable[Frame],
    *,
    link: Link = Link.ETHERNET,
    nanosecond: bool = True,
    big_endian: bool = False,
    snap_length: int = 262144,
) -> int:
    """Writes the frames in the order given and returns their number; longer ones are cut at `snap_length`."""
    order = ">" if big_endian else "<"
    magic, divisor = (0xA1B23C4D, 1) if nanosecond else (0xA1B2C3D4, 1000)
    written = 0
    with path.open("wb") as file:
        file.write(struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap_length, link))
        for ts_ns, octets in frames:
            seconds, fraction_ns = divmod(ts_ns, 1_000_000_000)
            kept = octets[:snap_length]
            file.write(struct.pack(order + "IIII", seconds, fraction_ns // divisor, len(kept), len(octets)) + kept)
            written += 1
    return written


def frames_of(packets: Iterable[Packet], wire: Wire | None = None) -> list[Frame]:
    """All frames of `packets`, in order of time."""
    writer = FrameWriter(wire or Wire())
    in_order = sorted(packets, key=lambda packet: packet.ts_ns)
    return sorted((frame for packet in in_order for frame in writer.frames(packet)), key=lambda frame: frame.ts_ns)


def seen_twice(packets: Sequence[Packet], wire: Wire, *, after_ns: int = 40_000) -> list[Frame]:
    """The frames as a mirror of two ports shows them: each again a moment later, routed on (lower TTL, other MACs)."""
    again = replace(wire, ttl=wire.ttl - 1, mac_seed=wire.mac_seed + 1)
    copies = [Frame(ts_ns + after_ns, octets) for ts_ns, octets in frames_of(packets, again)]
    return sorted(frames_of(packets, wire) + copies, key=lambda frame: frame.ts_ns)
