"""Frames of a batch one by one: what each says of its IP packet; fragments put together and taken out of their tunnels.

Reassembly is RFC 791 and RFC 8200 (`fragments`). A tunnel makes packets longer, so that a full-size one inside comes in
fragments outside: only when these are together can be seen what it carries, which may be a fragment again.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from capture import frames as layers
from capture.fragments import FragmentReassembler
from capture.frames import MAX_TUNNEL_DEPTH, PROTOCOL_TCP, PROTOCOL_UDP, FrameKind
from capture.records import GUARD_BYTES, LINK_RAW, RecordBatch
from capture.tunnels import IP_TUNNELS, UDP_TUNNEL_PORTS

_IPV4_ADDRESSES_BYTES = 8
_FRAGMENT_HEADER_BYTES = 8
_TTL = 64


class Datagram(NamedTuple):
    """What the layers of one frame say, or of a packet put together."""

    kind: int
    """A `FrameKind`."""
    addresses: bytes
    """Source and destination."""
    protocol: int
    ip_head: bytes
    """The first eight bytes of the IP header."""
    data: bytes
    """Transport header and payload, as far as present."""
    truncated: bool
    """The IP header announces more."""


def datagrams(batch: RecordBatch) -> Iterator[tuple[int, bool, Datagram]]:
    """Take a batch apart: capture time, whether the frame was cut, and what it holds."""
    layered = layers.parse(batch)
    octets = batch.buffer.tobytes()
    columns = zip(
        batch.ts_ns.tolist(),
        (batch.captured < batch.wire).tolist(),
        layered.kind.tolist(),
        layered.ip_version.tolist(),
        layered.ip_start.tolist(),
        layered.protocol.tolist(),
        layered.transport_start.tolist(),
        layered.transport_end.tolist(),
        layered.transport_wire.tolist(),
        strict=True,
    )
    for ts_ns, cut, kind, version, ip, protocol, start, end, wire in columns:
        addresses = octets[ip + 12 : ip + 20] if version == 4 else octets[ip + 8 : ip + 40]
        data = octets[start:end]
        yield ts_ns, cut, Datagram(kind, addresses, protocol, octets[ip : ip + 8], data, len(data) < wire)


def reassemble(fragments: FragmentReassembler, ts_ns: int, fragment: Datagram) -> Datagram | None:
    """Take a fragment; the whole packet, out of its tunnels, when it was the one that was missing."""
    for _ in range(MAX_TUNNEL_DEPTH):
        whole = _add(fragments, ts_ns, fragment)
        if whole is None:
            return None
        inner = _out_of_tunnels(fragment.addresses, *whole)
        if inner.kind != FrameKind.FRAGMENT:
            return inner
        fragment = inner
    return None


def _add(fragments: FragmentReassembler, ts_ns: int, fragment: Datagram) -> tuple[int, bytes] | None:
    """(protocol, payload) of the packet that this fragment completes."""
    _, addresses, protocol, header, data, truncated = fragment
    if truncated:
        return None
    if len(addresses) == _IPV4_ADDRESSES_BYTES:
        flags = int.from_bytes(header[6:8], "big")
        offset, more, identification = (flags & 0x1FFF) * 8, bool(flags & 0x2000), header[4:6]
    elif len(data) >= _FRAGMENT_HEADER_BYTES:
        field_2 = int.from_bytes(data[2:4], "big")
        offset, more, identification = field_2 & 0xFFF8, bool(field_2 & 1), data[4:8]
        protocol, data = data[0], data[_FRAGMENT_HEADER_BYTES:]
    else:
        return None
    whole = fragments.add(ts_ns, addresses + bytes((protocol,)) + identification, offset, more, data)
    return None if whole is None else (protocol, whole)


def _out_of_tunnels(addresses: bytes, protocol: int, data: bytes) -> Datagram:
    port = int.from_bytes(data[2:4], "big")
    if protocol in IP_TUNNELS or (protocol == PROTOCOL_UDP and port in UDP_TUNNEL_PORTS):
        ((_, _, inner),) = datagrams(_alone(_ip_packet(addresses, protocol, data)))
        return inner
    kind = {PROTOCOL_UDP: FrameKind.UDP, PROTOCOL_TCP: FrameKind.TCP}.get(protocol, FrameKind.OTHER_IP)
    return Datagram(kind, addresses, protocol, b"", data, truncated=False)


def _ip_packet(addresses: bytes, protocol: int, data: bytes) -> bytes:
    """The packet as it was before it was fragmented, as far as matters."""
    if len(addresses) == _IPV4_ADDRESSES_BYTES:
        # Total length zero stands for all there is: a whole payload may be longer than the field can say.
        header = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, _TTL, protocol, 0)
    else:
        header = struct.pack("!IHBB", 6 << 28, len(data), protocol, _TTL)
    return header + addresses + data


def _alone(packet: bytes) -> RecordBatch:
    """A batch of one IP packet."""
    size = np.array([len(packet)], np.int64)
    return RecordBatch(
        buffer=np.frombuffer(packet + bytes(GUARD_BYTES), np.uint8),
        start=np.zeros(1, np.int64),
        captured=size,
        wire=size,
        ts_ns=np.zeros(1, np.int64),
        interface=np.zeros(1, np.uint16),
        link_type=np.full(1, LINK_RAW, np.uint16),
    )
