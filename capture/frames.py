"""Where the transport payload lies in each frame of a batch: link layers, VLAN tags, IPv4, IPv6, tunnels. Whole batches
at once.

IEEE 802.3, 802.1Q, 802.1ad, RFC 791, RFC 8200, RFC 2516 (PPPoE), RFC 2003 (IP in IP), RFC 2784/2890 (GRE). Headers are
located by masked gathers; a frame that does not parse is marked, never raised. Checksums are not looked at: offloading
leaves them unfinished on a mirror. Fragments are marked for reassembly, not reassembled here.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from capture.records import (
    LINK_ETHERNET,
    LINK_IPV4,
    LINK_IPV6,
    LINK_LINUX_SLL,
    LINK_LINUX_SLL2,
    LINK_LOOP,
    LINK_NULL,
    LINK_PPP,
    LINK_PPP_ETHER,
    LINK_RAW,
    RecordBatch,
)

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
ETHERTYPE_PPPOE_SESSION = 0x8864
ETHERTYPE_PPP = 0x880B
VLAN_ETHERTYPES = (0x8100, 0x88A8, 0x9100)
PPP_IPV4 = 0x0021
PPP_IPV6 = 0x0057
PROTOCOL_TCP = 6
PROTOCOL_UDP = 17
PROTOCOL_GRE = 47
IPV6_FRAGMENT = 44
IPV6_FRAGMENT_BYTES = 8
IPV6_AUTHENTICATION = 51
IPV6_EXTENSIONS = (0, 43, IPV6_FRAGMENT, IPV6_AUTHENTICATION, 60, 135)
MAX_VLAN_TAGS = 4
MAX_EXTENSION_HEADERS = 8
MAX_TUNNEL_DEPTH = 4
VLAN_PRESENT = 0x1000
"""Set in `vlan_outer` and `vlan_inner` when there is a tag, so that VLAN 0 differs from no tag."""

IntArray = npt.NDArray[np.int64]


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
    """The layers of `n` frames, arrays of length `n` in the batch's order; offsets count in the batch's buffer."""

    kind: npt.NDArray[np.uint8]
    """`FrameKind` of each frame."""
    mac_start: IntArray
    """Offset of the outermost Ethernet header, -1 when the link layer has none."""
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
    """`VLAN_PRESENT | VID` of the outer tag, 0 without one."""
    vlan_inner: npt.NDArray[np.uint16]
    """Likewise of the second tag."""
    tunnel: npt.NDArray[np.uint8]
    """Number of tunnel headers removed."""

    def select(self, kind: FrameKind) -> IntArray:
        """Return the row numbers of one kind."""
        return np.flatnonzero(self.kind == kind)


def gather(buffer: npt.NDArray[np.uint8], start: IntArray, size: int) -> npt.NDArray[np.uint8]:
    """Copy `size` bytes at each offset: shape `(n, size)`. Offsets must leave `size` bytes in the buffer."""
    windows = np.lib.stride_tricks.as_strided(
        buffer[:size].view(f"V{size}"), shape=(len(buffer) - size + 1,), strides=(1,), writeable=False
    )
    return windows[start].view(np.uint8).reshape(-1, size)


def be16(buffer: npt.NDArray[np.uint8], start: IntArray) -> IntArray:
    """Read a big-endian 16-bit field at each offset."""
    return gather(buffer, start, 2).view(">u2")[:, 0].astype(np.int64)


def parse(batch: RecordBatch) -> Frames:
    """Locate the transport layer of every frame of the batch."""
    return _Parser(batch).run()


class _Parser:
    """Columns under construction. `end` is where each frame's present bytes end; `layer` is the offset being looked
    at."""

    def __init__(self, batch: RecordBatch) -> None:
        n = len(batch)
        self.batch = batch
        self.buffer = batch.buffer
        self.end = batch.start + batch.captured
        self.last = len(batch.buffer) - 64
        self.layer = batch.start.copy()
        self.ethertype = np.zeros(n, np.int64)
        self.mac_start = np.full(n, -1, np.int64)
        self.vlan_outer = np.zeros(n, np.uint16)
        self.vlan_inner = np.zeros(n, np.uint16)
        self.tunnel = np.zeros(n, np.uint8)
        self.kind = np.zeros(n, np.uint8)
        self.ip_start = np.full(n, -1, np.int64)
        self.ip_version = np.zeros(n, np.uint8)
        self.protocol = np.zeros(n, np.uint8)
        self.transport_start = np.zeros(n, np.int64)
        self.transport_end = np.zeros(n, np.int64)
        self.transport_wire = np.zeros(n, np.int64)

    def run(self) -> Frames:
        self._link_layer()
        self.ethertype[self.layer >= self.end] = 0
        rows = self._internet_layer(np.arange(len(self.batch)))
        for _ in range(MAX_TUNNEL_DEPTH):
            rows = self._leave_tunnel(rows)
            if not len(rows):
                break
            rows = self._internet_layer(rows)
        return Frames(
            kind=self.kind,
            mac_start=self.mac_start,
            ip_start=self.ip_start,
            ip_version=self.ip_version,
            protocol=self.protocol,
            transport_start=self.transport_start,
            transport_end=self.transport_end,
            transport_wire=self.transport_wire,
            vlan_outer=self.vlan_outer,
            vlan_inner=self.vlan_inner,
            tunnel=self.tunnel,
        )

    def _at(self, rows: IntArray, offset: int = 0) -> IntArray:
        """Offsets for reading, kept inside the buffer; what lies behind a frame's end is found out by the length
        checks."""
        return np.minimum(self.layer[rows] + offset, self.last)

    def _link_layer(self) -> None:
        links = self.batch.link_type
        if len(links) and (links == LINK_ETHERNET).all():
            self._ethernet(np.arange(len(links)))
            return
        for link in np.unique(links):
            self._link(int(link), np.flatnonzero(links == link))

    def _link(self, link: int, rows: IntArray) -> None:
        match link:
            case _ if link == LINK_ETHERNET:
                self._ethernet(rows)
            case _ if link == LINK_LINUX_SLL:
                self._typed(rows, type_offset=14, header=16)
            case _ if link == LINK_LINUX_SLL2:
                self._typed(rows, type_offset=0, header=20)
            case _ if link in (LINK_NULL, LINK_LOOP):
                self.layer[rows] += 4
                self._by_version(rows)
            case _ if link in (LINK_RAW, LINK_IPV4, LINK_IPV6):
                self._by_version(rows)
            case _ if link == LINK_PPP:
                self._flexible_ppp(rows)
            case _ if link == LINK_PPP_ETHER:
                self._ppp(rows, header=8)

    def _ethernet(self, rows: IntArray) -> None:
        whole = len(rows) == len(self.batch)
        if whole:
            self.mac_start[:] = self.layer
        else:
            self.mac_start[rows] = self.layer[rows]
        self._typed(rows, type_offset=12, header=14)

    def _typed(self, rows: IntArray, *, type_offset: int, header: int) -> None:
        """Take the EtherType, remove VLAN tags and PPPoE."""
        ethertype = be16(self.buffer, self._at(rows, type_offset))
        self.ethertype[rows] = ethertype
        self.layer[rows] += header
        if ((ethertype == ETHERTYPE_IPV4) | (ethertype == ETHERTYPE_IPV6)).all():
            return
        for _ in range(MAX_VLAN_TAGS):
            rows = rows[np.isin(self.ethertype[rows], VLAN_ETHERTYPES)]
            if not len(rows):
                break
            self._remove_tag(rows)
        pppoe = np.flatnonzero(self.ethertype == ETHERTYPE_PPPOE_SESSION)
        if len(pppoe):
            self._ppp(pppoe, header=8)

    def _remove_tag(self, rows: IntArray) -> None:
        tag = VLAN_PRESENT | (be16(self.buffer, self._at(rows)) & 0x0FFF)
        first = self.vlan_outer[rows] == 0
        self.vlan_outer[rows[first]] = tag[first]
        second = rows[~first]
        fresh = self.vlan_inner[second] == 0
        self.vlan_inner[second[fresh]] = tag[~first][fresh]
        self.ethertype[rows] = be16(self.buffer, self._at(rows, 2))
        self.layer[rows] += 4

    def _ppp(self, rows: IntArray, *, header: int) -> None:
        """Read the PPP protocol field in the last two bytes of a `header` bytes long header."""
        protocol = be16(self.buffer, self._at(rows, header - 2))
        known = np.select([protocol == PPP_IPV4, protocol == PPP_IPV6], [ETHERTYPE_IPV4, ETHERTYPE_IPV6], 0)
        self.ethertype[rows] = known
        self.layer[rows] += header

    def _by_version(self, rows: IntArray) -> None:
        version = self.buffer[self._at(rows)] >> 4
        self.ethertype[rows] = np.select([version == 4, version == 6], [ETHERTYPE_IPV4, ETHERTYPE_IPV6], 0)

    def _internet_layer(self, rows: IntArray) -> IntArray:
        """Parse the IP header at `layer`; return the rows that have one that is whole."""
        ethertype = self.ethertype[rows]
        v4 = rows[ethertype == ETHERTYPE_IPV4]
        parsed = self._ipv4(v4) if len(v4) else v4
        if len(v4) == len(rows):
            return parsed
        v6 = rows[ethertype == ETHERTYPE_IPV6]
        return np.concatenate((parsed, self._ipv6(v6))) if len(v6) else parsed

    def _ipv4(self, rows: IntArray) -> IntArray:
        layer = self._at(rows)
        header = gather(self.buffer, layer, 20)
        header_bytes = (header[:, 0] & 0x0F).astype(np.int64) * 4
        words = header.view(">u2")
        total = words[:, 1].astype(np.int64)
        present = self.end[rows] - self.layer[rows]
        # A sender that offloads segmentation leaves the total length zero: the frame's own length holds then.
        zero = total == 0
        if zero.any():
            total[zero] = (self.batch.wire + self.batch.start)[rows[zero]] - self.layer[rows[zero]]
        good = (header[:, 0] >> 4 == 4) & (header_bytes >= 20) & (total >= header_bytes) & (present >= header_bytes)
        if not good.all():
            self.kind[rows[~good]] = FrameKind.DAMAGED
            rows, header, words, header_bytes, total = (a[good] for a in (rows, header, words, header_bytes, total))
        fragment = (words[:, 3] & 0x3FFF) != 0
        self._place(rows, 4, header[:, 9], header_bytes, total, fragment)
        return rows[~fragment] if fragment.any() else rows

    def _ipv6(self, rows: IntArray) -> IntArray:
        header = gather(self.buffer, self._at(rows), 40)
        total = header.view(">u2")[:, 2].astype(np.int64) + 40
        good = (header[:, 0] >> 4 == 6) & (self.end[rows] - self.layer[rows] >= 40)
        self.kind[rows[~good]] = FrameKind.DAMAGED
        rows, total, protocol = rows[good], total[good], header[good, 6]
        header_bytes = np.full(len(rows), 40, np.int64)
        fragment = np.zeros(len(rows), bool)
        for _ in range(MAX_EXTENSION_HEADERS):
            extended = np.flatnonzero(np.isin(protocol, IPV6_EXTENSIONS) & ~fragment)
            if not len(extended):
                break
            at = np.minimum(self.layer[rows[extended]] + header_bytes[extended], self.last)
            header, size = protocol[extended], self.buffer[at + 1].astype(np.int64)
            # A fragment header with offset 0 and no more fragments is an atomic fragment (RFC 6946): a whole packet.
            part = (header == IPV6_FRAGMENT) & (be16(self.buffer, at + 2) & 0xFFF9 != 0)
            fragment[extended] = part
            kinds = [part, header == IPV6_FRAGMENT, header == IPV6_AUTHENTICATION]
            header_bytes[extended] += np.select(kinds, [0, IPV6_FRAGMENT_BYTES, (size + 2) * 4], (size + 1) * 8)
            protocol[extended] = self.buffer[at]
        needed = header_bytes + IPV6_FRAGMENT_BYTES * fragment
        fits = (needed <= total) & (needed <= self.end[rows] - self.layer[rows])
        self.kind[rows[~fits]] = FrameKind.DAMAGED
        self._place(rows[fits], 6, protocol[fits], header_bytes[fits], total[fits], fragment[fits])
        kept: IntArray = rows[fits & ~fragment]
        return kept

    def _place(
        self,
        rows: IntArray,
        version: int,
        protocol: npt.NDArray[np.uint8],
        header_bytes: IntArray,
        total: IntArray,
        fragment: npt.NDArray[np.bool_],
    ) -> None:
        layer = self.layer[rows]
        self.ip_start[rows] = layer
        self.ip_version[rows] = version
        self.protocol[rows] = protocol
        self.transport_start[rows] = layer + header_bytes
        self.transport_end[rows] = np.minimum(self.end[rows], layer + total)
        self.transport_wire[rows] = total - header_bytes
        kind = np.full(len(rows), FrameKind.OTHER_IP, np.uint8)
        kind[protocol == PROTOCOL_UDP] = FrameKind.UDP
        kind[protocol == PROTOCOL_TCP] = FrameKind.TCP
        kind[fragment] = FrameKind.FRAGMENT
        self.kind[rows] = kind

    def _leave_tunnel(self, rows: IntArray) -> IntArray:
        """Step into IP in IP and GRE; return the rows whose inner packet is to be parsed."""
        rows = rows[self.kind[rows] == FrameKind.OTHER_IP]
        if not len(rows):
            return rows
        protocol = self.protocol[rows]
        self.ethertype[rows] = np.select([protocol == 4, protocol == 41], [ETHERTYPE_IPV4, ETHERTYPE_IPV6], 0)
        self.layer[rows] = self.transport_start[rows]
        self._gre(rows[protocol == PROTOCOL_GRE])
        whole = self.layer[rows] <= self.end[rows]
        inner = rows[np.isin(self.ethertype[rows], (ETHERTYPE_IPV4, ETHERTYPE_IPV6)) & whole]
        self.tunnel[inner] += 1
        return inner

    def _gre(self, rows: IntArray) -> None:
        """RFC 2784 and 2890: optional checksum, key and sequence fields; version 1 (PPTP) has an acknowledgement
        too."""
        if not len(rows):
            return
        flags = be16(self.buffer, self._at(rows))
        header = 4 + 4 * sum(((flags & bit) != 0).astype(np.int64) for bit in (0x8000, 0x2000, 0x1000))
        header += 4 * (((flags & 0x7) == 1) & ((flags & 0x0080) != 0))
        ethertype = be16(self.buffer, self._at(rows, 2))
        self.layer[rows] += header
        ppp = ethertype == ETHERTYPE_PPP
        self.ethertype[rows] = ethertype
        self._flexible_ppp(rows[ppp])

    def _flexible_ppp(self, rows: IntArray) -> None:
        """PPP that may have its address and control bytes and a one-byte protocol field (RFC 1661, RFC 1662, RFC
        2637)."""
        if not len(rows):
            return
        framed = be16(self.buffer, self._at(rows)) == 0xFF03
        self.layer[rows[framed]] += 2
        short = (self.buffer[self._at(rows)] & 1) == 1
        protocol = np.where(short, self.buffer[self._at(rows)], be16(self.buffer, self._at(rows)))
        self.layer[rows] += np.where(short, 1, 2)
        self.ethertype[rows] = np.select(
            [protocol == PPP_IPV4, protocol == PPP_IPV6], [ETHERTYPE_IPV4, ETHERTYPE_IPV6], 0
        )
