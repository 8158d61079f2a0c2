"""Where the transport payload lies in each frame of a batch: IPv4, IPv6, tunnels. Whole batches at once.

RFC 791, RFC 8200. Headers are located by masked gathers; a frame that does not parse is marked, never raised. Checksums
are not looked at: offloading leaves them unfinished on a mirror. Fragments are marked for reassembly, not reassembled
here. Link layers are read by `linklayer`, tunnel headers by `tunnels`; what a tunnel carries is a frame like any other.
"""

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from capture import plainframes, tunnels
from capture.linklayer import ETHERTYPE_IPV4, ETHERTYPE_IPV6, LinkLayer
from capture.octets import IntArray, Octets, be16, gather
from capture.plainframes import (
    ETHERNET_BYTES,
    HEAD_BYTES,
    HEAD_IP,
    HEAD_MAC,
    HEAD_UDP,
    IPV4_BYTES,
    PlainFrames,
)
from capture.records import RecordBatch

PROTOCOL_TCP = 6
PROTOCOL_UDP = tunnels.PROTOCOL_UDP
IPV6_FRAGMENT = 44
IPV6_FRAGMENT_BYTES = 8
IPV6_AUTHENTICATION = 51
IPV6_EXTENSIONS = (0, 43, IPV6_FRAGMENT, IPV6_AUTHENTICATION, 60, 135)
MAX_EXTENSION_HEADERS = 8
MAX_TUNNEL_DEPTH = 4


class FrameKind(IntEnum):
    """What a frame turned out to be."""

    NOT_IP = 0
    UDP = 1
    TCP = 2
    FRAGMENT = 3
    OTHER_IP = 4
    DAMAGED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """The layers of `n` frames, arrays of length `n` in the batch's order; offsets count in the batch's buffer.

    Of a frame in a tunnel all of it is the innermost frame's, except `tunnel` itself.
    """

    kind: npt.NDArray[np.uint8]
    """`FrameKind` of each frame."""
    mac_start: IntArray
    """Offset of the innermost Ethernet header, -1 when there is none."""
    ip_start: IntArray
    """Offset of the innermost IP header, -1 when there is none."""
    ip_version: npt.NDArray[np.uint8]
    """4, 6, or 0."""
    protocol: npt.NDArray[np.uint8]
    """Protocol above IP, after IPv6 extension headers."""
    transport_start: IntArray
    """Offset of the UDP or TCP header, of an IPv4 fragment's data, or of the IPv6 fragment header."""
    transport_end: IntArray
    """Offset behind the last byte that is present of what the IP header announces."""
    transport_wire: IntArray
    """Bytes of transport header and payload that the IP header announces."""
    vlan_outer: npt.NDArray[np.uint16]
    """`VLAN_PRESENT | VID` of the innermost Ethernet header's outer tag, 0 without one."""
    vlan_inner: npt.NDArray[np.uint16]
    """Likewise of its second tag."""
    tunnel: npt.NDArray[np.uint8]
    """Number of tunnel headers removed."""

    head: Octets
    """Of UDP, the headers as they would be without tags, tunnels and options, shape `(n, HEAD_BYTES)`; see
    `plainframes`. Without an Ethernet header, and in place of an IPv6 header, zeros."""

    def select(self, kind: FrameKind) -> IntArray:
        """Return the row numbers of one kind."""
        return np.flatnonzero(self.kind == kind)


_TUNNEL_PORTS = np.array(tunnels.UDP_TUNNEL_PORTS, ">u2").view(np.uint16)
"""As they lie in a header, so that whole columns are compared without turning bytes round."""
_LINK_COLUMNS = ("mac_start", "vlan_outer", "vlan_inner")
_IP_COLUMNS = ("kind", "ip_start", "ip_version", "protocol", "transport_start", "transport_end", "transport_wire")


def parse(batch: RecordBatch) -> Frames:
    """Locate the transport layer of every frame of the batch."""
    found = plainframes.find(batch)
    frames = _plain(batch, found)
    if not found.plain.all():
        rows = np.flatnonzero(~found.plain)
        start = batch.start[rows]
        end, wire = start + batch.captured[rows], batch.wire[rows]
        others = _parse(batch.buffer, start, end, wire, batch.link_type[rows], 0)
        _fill_heads(batch.buffer, others)
        for column in fields(Frames):
            getattr(frames, column.name)[rows] = getattr(others, column.name)
    return frames


def _plain(batch: RecordBatch, found: PlainFrames) -> Frames:
    """Return the columns as they are if all frames are plain."""
    n, ip_start = len(batch), batch.start + ETHERNET_BYTES
    return Frames(
        kind=np.full(n, FrameKind.UDP, np.uint8),
        mac_start=batch.start.copy(),
        ip_start=ip_start,
        ip_version=np.full(n, 4, np.uint8),
        protocol=np.full(n, PROTOCOL_UDP, np.uint8),
        transport_start=ip_start + IPV4_BYTES,
        transport_end=np.minimum(batch.start + batch.captured, ip_start + found.total),
        transport_wire=found.total - IPV4_BYTES,
        vlan_outer=np.zeros(n, np.uint16),
        vlan_inner=np.zeros(n, np.uint16),
        tunnel=np.zeros(n, np.uint8),
        head=found.head,
    )


def _fill_heads(buffer: Octets, frames: Frames) -> None:
    """Put the heads of UDP packets together from where their headers are."""
    udp = frames.select(FrameKind.UDP)
    last = len(buffer) - 64
    with_mac, v4 = udp[frames.mac_start[udp] >= 0], udp[frames.ip_version[udp] == 4]
    for rows, place, start, size in (
        (with_mac, HEAD_MAC, frames.mac_start, ETHERNET_BYTES),
        (v4, HEAD_IP, frames.ip_start, IPV4_BYTES),
        (udp, HEAD_UDP, frames.transport_start, HEAD_BYTES - HEAD_UDP),
    ):
        frames.head[rows, place : place + size] = gather(buffer, np.minimum(start[rows], last), size)


def _parse(
    buffer: Octets, start: IntArray, end: IntArray, wire: IntArray, link_type: npt.NDArray[np.uint16], depth: int
) -> Frames:
    """Parse frames that lie in `depth` tunnels."""
    link = LinkLayer(buffer, start, end, link_type)
    internet = _InternetLayer(buffer, link, start, end, wire)
    frames = Frames(
        kind=internet.kind,
        mac_start=link.mac_start,
        ip_start=internet.ip_start,
        ip_version=internet.ip_version,
        protocol=internet.protocol,
        transport_start=internet.transport_start,
        transport_end=internet.transport_end,
        transport_wire=internet.transport_wire,
        vlan_outer=link.vlan_outer,
        vlan_inner=link.vlan_inner,
        tunnel=np.zeros(len(start), np.uint8),
        head=np.zeros((len(start), HEAD_BYTES), np.uint8),
    )
    if depth < MAX_TUNNEL_DEPTH:
        _leave_tunnels(buffer, frames, np.flatnonzero(internet.may_carry), depth)
    return frames


def _leave_tunnels(buffer: Octets, frames: Frames, rows: IntArray, depth: int) -> None:
    """Put what tunnels carry in the place of what carries it, in `rows`, which may be tunnels."""
    if not len(rows):
        return
    start, end = frames.transport_start[rows], frames.transport_end[rows]
    at, link_type = tunnels.inside(buffer, frames.protocol[rows], start, end)
    held = link_type != tunnels.NOTHING
    rows, at, end, link_type = rows[held], at[held], end[held], link_type[held]
    wire = frames.transport_start[rows] + frames.transport_wire[rows] - at
    inner = _parse(buffer, at, end, wire, link_type, depth + 1)
    # What only looked like a tunnel stays the UDP packet it was; other tunnels cannot be anything else.
    lost = (inner.kind == FrameKind.NOT_IP) | (inner.kind == FrameKind.DAMAGED) & (frames.kind[rows] == FrameKind.UDP)
    _replace(frames, rows[~lost], inner, np.flatnonzero(~lost))


def _replace(frames: Frames, rows: IntArray, inner: Frames, inner_rows: IntArray) -> None:
    for name in _IP_COLUMNS:
        getattr(frames, name)[rows] = getattr(inner, name)[inner_rows]
    frames.tunnel[rows] = 1 + inner.tunnel[inner_rows]
    own_link = inner.mac_start[inner_rows] >= 0
    for name in _LINK_COLUMNS:
        getattr(frames, name)[rows[own_link]] = getattr(inner, name)[inner_rows[own_link]]


class _InternetLayer:
    """The IP headers that follow link layers, read when the object is made; the columns are those of `Frames`.

    Frames lie from `start` to `end` and had `wire` bytes on the wire.
    """

    def __init__(self, buffer: Octets, link: LinkLayer, start: IntArray, end: IntArray, wire: IntArray) -> None:
        n = len(end)
        self._buffer = buffer
        self._last = len(buffer) - 64
        self._layer, self._start, self._end, self._wire = link.layer, start, end, wire
        self.kind = np.zeros(n, np.uint8)
        self.ip_start = np.full(n, -1, np.int64)
        self.ip_version = np.zeros(n, np.uint8)
        self.protocol = np.zeros(n, np.uint8)
        self.transport_start = np.zeros(n, np.int64)
        self.transport_end = np.zeros(n, np.int64)
        self.transport_wire = np.zeros(n, np.int64)
        self.may_carry = np.zeros(n, bool)
        is_v4 = link.ethertype == ETHERTYPE_IPV4
        if is_v4.all():
            self._ipv4(slice(None))
            return
        v4 = np.flatnonzero(is_v4)
        if len(v4):
            self._ipv4(v4)
        v6 = np.flatnonzero(link.ethertype == ETHERTYPE_IPV6)
        if len(v6):
            self._ipv6(v6)

    def _ipv4(self, rows: IntArray | slice) -> None:
        layer, end = self._layer[rows], self._end[rows]
        header = gather(self._buffer, layer, 24)
        header_bytes = (header[:, 0] & 0x0F).astype(np.int64) * 4
        words = header.view(">u2")
        total = words[:, 1].astype(np.int64)
        # A sender that offloads segmentation leaves the total length zero: the frame's own length holds then.
        zero = total == 0
        if zero.any():
            total[zero] = (self._start[rows] + self._wire[rows] - layer)[zero]
        good = (header[:, 0] >> 4 == 4) & (header_bytes >= 20) & (total >= header_bytes) & (end - layer >= header_bytes)
        if not good.all():
            numbers = np.arange(len(self.kind))[rows]
            self.kind[numbers[~good]] = FrameKind.DAMAGED
            rows = numbers[good]
            header, words, header_bytes, total = (a[good] for a in (header, words, header_bytes, total))
        fragment = (words[:, 3] & 0x3FFF) != 0
        self._place(rows, 4, header[:, 9], header_bytes, total, fragment)
        # Without options the port was gathered with the header.
        self._suspect(rows, header.view(np.uint16)[:, 11] if (header_bytes == 20).all() else None)

    def _ipv6(self, rows: IntArray) -> None:
        header = gather(self._buffer, self._layer[rows], 40)
        total = header.view(">u2")[:, 2].astype(np.int64) + 40
        good = (header[:, 0] >> 4 == 6) & (self._end[rows] - self._layer[rows] >= 40)
        self.kind[rows[~good]] = FrameKind.DAMAGED
        rows, total, protocol = rows[good], total[good], header[good, 6]
        header_bytes = np.full(len(rows), 40, np.int64)
        fragment = np.zeros(len(rows), bool)
        for _ in range(MAX_EXTENSION_HEADERS):
            extended = np.flatnonzero(np.isin(protocol, IPV6_EXTENSIONS) & ~fragment)
            if not len(extended):
                break
            at = np.minimum(self._layer[rows[extended]] + header_bytes[extended], self._last)
            header, size = protocol[extended], self._buffer[at + 1].astype(np.int64)
            # A fragment header with offset 0 and no more fragments is an atomic fragment (RFC 6946): a whole packet.
            part = (header == IPV6_FRAGMENT) & (be16(self._buffer, at + 2) & 0xFFF9 != 0)
            fragment[extended] = part
            kinds = [part, header == IPV6_FRAGMENT, header == IPV6_AUTHENTICATION]
            header_bytes[extended] += np.select(kinds, [0, IPV6_FRAGMENT_BYTES, (size + 2) * 4], (size + 1) * 8)
            protocol[extended] = self._buffer[at]
        needed = header_bytes + IPV6_FRAGMENT_BYTES * fragment
        fits = (needed <= total) & (needed <= self._end[rows] - self._layer[rows])
        self.kind[rows[~fits]] = FrameKind.DAMAGED
        self._place(rows[fits], 6, protocol[fits], header_bytes[fits], total[fits], fragment[fits])
        self._suspect(rows[fits], None)

    def _place(
        self,
        rows: IntArray | slice,
        version: int,
        protocol: npt.NDArray[np.uint8],
        header_bytes: IntArray,
        total: IntArray,
        fragment: npt.NDArray[np.bool_],
    ) -> None:
        layer = self._layer[rows]
        self.ip_start[rows] = layer
        self.ip_version[rows] = version
        self.protocol[rows] = protocol
        self.transport_start[rows] = layer + header_bytes
        self.transport_end[rows] = np.minimum(self._end[rows], layer + total)
        self.transport_wire[rows] = total - header_bytes
        kind = np.full(len(total), FrameKind.OTHER_IP, np.uint8)
        kind[protocol == PROTOCOL_UDP] = FrameKind.UDP
        kind[protocol == PROTOCOL_TCP] = FrameKind.TCP
        kind[fragment] = FrameKind.FRAGMENT
        self.kind[rows] = kind

    def _suspect(self, rows: IntArray | slice, port: npt.NDArray[np.uint16] | None) -> None:
        """Say which rows may be tunnels; `port` is UDP's destination port as it lies in the header, if known."""
        if port is None:
            port = gather(self._buffer, self.transport_start[rows] + 2, 2).view(np.uint16)[:, 0]
        suspect = port == _TUNNEL_PORTS[0]
        for number in _TUNNEL_PORTS[1:]:
            suspect |= port == number
        kind = self.kind[rows]
        self.may_carry[rows] = (kind == FrameKind.OTHER_IP) | (kind == FrameKind.UDP) & suspect
