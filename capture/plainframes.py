"""The frames that nearly all are: Ethernet, untagged, IPv4 without options, not a fragment, UDP. Found with whole
columns and no picking of rows, most of the cost of reading headers; what is different is for `frames` to read.

A *head* is what identifies a packet, at fixed places: 2 bytes to align the rest, Ethernet header (14), IPv4 header
(20), UDP header (8) and the first 12 bytes of payload.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capture.octets import IntArray, Octets, gather
from capture.records import LINK_ETHERNET, RecordBatch
from capture.tunnels import UDP_TUNNEL_PORTS

HEAD_BYTES = 56
HEAD_MAC, HEAD_IP, HEAD_UDP = 2, 16, 36
"""Offsets in a head."""
ETHERNET_BYTES, IPV4_BYTES, UDP_BYTES = 14, 20, 8
_WORD_IP, _WORD_TTL = 2, 3
"""64-bit words of a head: the first eight bytes of the IPv4 header, the eight from TTL on."""
_HALF_ETHERTYPE, _HALF_TOTAL, _HALF_PORT = 7, 9, 19
"""16-bit words: EtherType, total length, destination port."""
_IPV4_ETHERTYPE = np.array([0x0800], ">u2").view(np.uint16)[0]
_VERSION_AND_FRAGMENT = np.uint64(0xFF3F_0000_0000_00FF)
"""Of the header's first eight bytes: version and length, the more-fragments bit, fragment offset."""
_PLAIN_HEADER = np.uint64(0x45)
_PROTOCOL, _UDP = np.uint64(0xFF00), np.uint64(17 << 8)
_TUNNEL_PORTS = np.array(UDP_TUNNEL_PORTS, ">u2").view(np.uint16)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainFrames:
    """What was found in `n` frames, arrays of length `n`."""

    head: Octets
    """Heads, shape `(n, HEAD_BYTES)`; of a frame that is not plain, whatever lies there."""
    total: IntArray
    """Bytes of the IP packet as its header announces."""
    plain: npt.NDArray[np.bool_]
    """Which frames are plain."""


def find(batch: RecordBatch) -> PlainFrames:
    """Take the heads of a batch's frames and tell which are plain. What is announced may be missing from the capture;
    the UDP header is there."""
    head = gather(batch.buffer, np.maximum(batch.start - HEAD_MAC, 0), HEAD_BYTES)
    words, halves = head.view("<u8"), head.view(np.uint16)
    port = halves[:, _HALF_PORT]
    total = head.view(">u2")[:, _HALF_TOTAL].astype(np.int64)
    plain = words[:, _WORD_IP] & _VERSION_AND_FRAGMENT == _PLAIN_HEADER
    plain &= words[:, _WORD_TTL] & _PROTOCOL == _UDP
    plain &= halves[:, _HALF_ETHERTYPE] == _IPV4_ETHERTYPE
    plain &= total >= IPV4_BYTES + UDP_BYTES
    plain &= batch.captured >= ETHERNET_BYTES + IPV4_BYTES + UDP_BYTES
    plain &= batch.start >= HEAD_MAC
    plain &= batch.link_type == LINK_ETHERNET
    for tunnel in _TUNNEL_PORTS:
        plain &= port != tunnel
    return PlainFrames(head=head, total=total, plain=plain)
