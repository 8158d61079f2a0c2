"""What lies inside a tunnel: where in a packet the carried one begins, and how to read it. Whole batches at once.

| carried by                 | header                                  | inside                             |
|----------------------------|-----------------------------------------|------------------------------------|
| IP protocols 4 and 41      | none (RFC 2003, RFC 2473)               | IP                                 |
| GRE (RFC 2784, 2890, 2637) | 4 to 20 bytes, by its flags             | IP, PPP, Ethernet (0x6558), ERSPAN |
| ERSPAN I: GRE 0x88BE       | none; GRE has no sequence number        | Ethernet                           |
| ERSPAN II: GRE 0x88BE      | 8 bytes; GRE has a sequence number      | Ethernet                           |
| ERSPAN III: GRE 0x22EB     | 12 bytes, 8 more with the O bit         | Ethernet or IP, by its frame type  |
| VXLAN (RFC 7348): UDP      | 8 bytes                                 | Ethernet                           |
| TZSP: UDP                  | 4 bytes and tagged fields up to TAG_END | Ethernet                           |

ERSPAN is described by draft-foschiano-erspan-03. UDP has no field that says what it carries: a port is a hint, and a
header in which all that is constant fits (VXLAN: I flag alone, reserved bits zero) is believed. Whether the inside then
parses is found out by the caller.
"""

import numpy as np
import numpy.typing as npt

from capture.octets import IntArray, Octets, be16, gather
from capture.records import LINK_ETHERNET, LINK_PPP, LINK_RAW

PROTOCOL_UDP = 17
PROTOCOL_GRE = 47
IP_TUNNELS = (4, 41, PROTOCOL_GRE)
"""IP protocols that carry packets."""
VXLAN_PORTS = (4789, 8472)
"""The assigned one, and what Linux uses unless told otherwise."""
TZSP_PORT = 37008
UDP_TUNNEL_PORTS = (*VXLAN_PORTS, TZSP_PORT)
"""UDP destination ports behind which a tunnel may be."""
NOTHING = 0xFFFF
"""Link type of a packet in which there is no other."""
MAX_TZSP_TAGS = 32
_UDP_HEADER_BYTES = 8
_VXLAN_HEADER_BYTES = 8
_VXLAN_I_FLAG = 0x0800_0000
_TZSP_HEADERS = (0x0100_0001, 0x0101_0001)
"""Version 1; a packet received, or one for transmission; Ethernet."""
_TAG_PADDING, _TAG_END = 0, 1
_GRE_CHECKSUM, _GRE_KEY, _GRE_SEQUENCE, _GRE_ACKNOWLEDGEMENT = 0x8000, 0x2000, 0x1000, 0x0080
_IPV4, _IPV6, _PPP, _ETHERNET, _ERSPAN, _ERSPAN_3 = 0x0800, 0x86DD, 0x880B, 0x6558, 0x88BE, 0x22EB
_FRAME_TYPES = {0: LINK_ETHERNET, 2: LINK_RAW}

Entrance = tuple[IntArray, npt.NDArray[np.uint16]]
"""Per packet: offset of the carried packet's first byte, and its link type (`LINK_` of `capture.records`) or
`NOTHING`."""


def inside(buffer: Octets, protocol: npt.NDArray[np.uint8], start: IntArray, end: IntArray) -> Entrance:
    """Find what IP packets carry.

    Args:
        buffer: the bytes; at least 64 follow the last `end`.
        protocol: protocol above IP, shape `(n,)`.
        start: offset of the IP payload, at most `end`.
        end: offset behind its last byte.
    """
    at = start.copy()
    link = np.where((protocol == 4) | (protocol == 41), LINK_RAW, NOTHING).astype(np.uint16)
    for number, read in ((PROTOCOL_GRE, _gre), (PROTOCOL_UDP, _udp)):
        rows = np.flatnonzero(protocol == number)
        if len(rows):
            at[rows], link[rows] = read(buffer, start[rows], end[rows])
    link[at >= end] = NOTHING
    return at, link


def _gre(buffer: Octets, start: IntArray, _end: IntArray) -> Entrance:
    """Optional checksum, key and sequence fields; version 1 (PPTP) has an acknowledgement too."""
    flags, carried = be16(buffer, start), be16(buffer, start + 2)
    fields = sum(((flags & bit) != 0).astype(np.int64) for bit in (_GRE_CHECKSUM, _GRE_KEY, _GRE_SEQUENCE))
    fields += ((flags & 0x7) == 1) & ((flags & _GRE_ACKNOWLEDGEMENT) != 0)
    at = start + 4 + 4 * fields
    kinds = [(carried == _IPV4) | (carried == _IPV6), carried == _PPP, carried == _ETHERNET]
    link = np.select(kinds, [LINK_RAW, LINK_PPP, LINK_ETHERNET], NOTHING).astype(np.uint16)
    mirrored = np.flatnonzero((carried == _ERSPAN) | (carried == _ERSPAN_3))
    if len(mirrored):
        second = (flags[mirrored] & _GRE_SEQUENCE) != 0
        kind = np.where(carried[mirrored] == _ERSPAN_3, 3, np.where(second, 2, 1))
        at[mirrored], link[mirrored] = _erspan(buffer, at[mirrored], kind)
    return at, link


def _erspan(buffer: Octets, start: IntArray, kind: IntArray) -> Entrance:
    """`kind` is the type, 1 to 3; the version in the header is one less."""
    header = gather(buffer, start, 12)
    fits = (kind == 1) | (header[:, 0] >> 4 == kind - 1)
    third, subheader = kind == 3, header[:, 11] & 1
    frame_type = np.where(third, header[:, 10] >> 2 & 0x1F, 0)
    link = np.select([fits & (frame_type == number) for number in _FRAME_TYPES], list(_FRAME_TYPES.values()), NOTHING)
    at = start + np.select([third, kind == 2], [12 + 8 * subheader.astype(np.int64), 8], 0)
    return at, link.astype(np.uint16)


def _udp(buffer: Octets, start: IntArray, end: IntArray) -> Entrance:
    port, payload = be16(buffer, start + 2), start + _UDP_HEADER_BYTES
    head = gather(buffer, payload, 8).view(">u4")
    # The last byte is reserved; the three before it are the network's number.
    vxlan = np.isin(port, VXLAN_PORTS) & (head[:, 0] == _VXLAN_I_FLAG) & (head[:, 1] & 0xFF == 0)
    tzsp = np.flatnonzero((port == TZSP_PORT) & np.isin(head[:, 0], _TZSP_HEADERS))
    at = payload + _VXLAN_HEADER_BYTES
    link = np.where(vxlan, LINK_ETHERNET, NOTHING).astype(np.uint16)
    if len(tzsp):
        at[tzsp], link[tzsp] = _tzsp_tags(buffer, payload[tzsp] + 4, end[tzsp])
    return at, link


def _tzsp_tags(buffer: Octets, start: IntArray, end: IntArray) -> Entrance:
    """Step over tagged fields: TAG_PADDING and TAG_END are a byte, all others have a length byte and that many more."""
    at = start.copy()
    link = np.full(len(start), NOTHING, np.uint16)
    walking = np.arange(len(start))
    for _ in range(MAX_TZSP_TAGS):
        walking = walking[at[walking] < end[walking]]
        if not len(walking):
            break
        place = at[walking]
        tag, length = buffer[place], buffer[place + 1].astype(np.int64)
        at[walking] += np.where((tag == _TAG_PADDING) | (tag == _TAG_END), 1, 2 + length)
        link[walking[tag == _TAG_END]] = LINK_ETHERNET
        walking = walking[tag != _TAG_END]
    return at, link
