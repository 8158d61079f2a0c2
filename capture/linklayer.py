"""Where the network layer begins in each frame of a batch: link-layer headers, VLAN tags, PPPoE and PPP. Whole batches
at once.

IEEE 802.3, 802.1Q, 802.1ad, RFC 2516 (PPPoE), RFC 1661, 1662 and 2637 (PPP); the link types of tcpdump.org's registry.
"""

import numpy as np
import numpy.typing as npt

from capture.octets import IntArray, Octets, be16
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
)

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
VLAN_PRESENT = 0x1000
"""Set in `vlan_outer` and `vlan_inner` when there is a tag, so that VLAN 0 differs from no tag."""
MAX_VLAN_TAGS = 4
_ETHERTYPE_PPPOE_SESSION = 0x8864
_VLAN_ETHERTYPES = (0x8100, 0x88A8, 0x9100)
_PPP_IPV4 = 0x0021
_PPP_IPV6 = 0x0057


class LinkLayer:
    """The link layers of `n` frames, read when the object is made; arrays of length `n`."""

    layer: IntArray
    """Offset of what follows the link layer."""
    ethertype: IntArray
    """What that is: `ETHERTYPE_IPV4`, `ETHERTYPE_IPV6`, or any other number when it is not IP."""
    mac_start: IntArray
    """Offset of the Ethernet header, -1 without one."""
    vlan_outer: npt.NDArray[np.uint16]
    """`VLAN_PRESENT | VID` of the outer tag, 0 without one."""
    vlan_inner: npt.NDArray[np.uint16]
    """Likewise of the second tag."""

    def __init__(self, buffer: Octets, start: IntArray, end: IntArray, link_type: npt.NDArray[np.uint16]) -> None:
        n = len(start)
        self._buffer = buffer
        self.layer = start.copy()
        self.ethertype = np.zeros(n, np.int64)
        self.mac_start = np.full(n, -1, np.int64)
        self.vlan_outer = np.zeros(n, np.uint16)
        self.vlan_inner = np.zeros(n, np.uint16)
        self._read(link_type)
        beyond = self.layer >= end
        if beyond.any():  # what was read of these is not all their own
            self.ethertype[beyond] = self.vlan_outer[beyond] = self.vlan_inner[beyond] = 0

    def _read(self, links: npt.NDArray[np.uint16]) -> None:
        if (links == LINK_ETHERNET).all():
            self._ethernet(slice(None))
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

    def _ethernet(self, rows: IntArray | slice) -> None:
        self.mac_start[rows] = self.layer[rows]
        self._typed(rows, type_offset=12, header=14)

    def _typed(self, rows: IntArray | slice, *, type_offset: int, header: int) -> None:
        """Take the EtherType, remove VLAN tags and PPPoE."""
        ethertype = be16(self._buffer, self.layer[rows] + type_offset)
        self.ethertype[rows] = ethertype
        self.layer[rows] += header
        if ((ethertype == ETHERTYPE_IPV4) | (ethertype == ETHERTYPE_IPV6)).all():
            return
        tagged = np.arange(len(self.layer))[rows]
        for _ in range(MAX_VLAN_TAGS):
            tagged = tagged[np.isin(self.ethertype[tagged], _VLAN_ETHERTYPES)]
            if not len(tagged):
                break
            self._remove_tag(tagged)
        pppoe = np.flatnonzero(self.ethertype == _ETHERTYPE_PPPOE_SESSION)
        if len(pppoe):
            self._ppp(pppoe, header=8)

    def _remove_tag(self, rows: IntArray) -> None:
        tag = VLAN_PRESENT | (be16(self._buffer, self.layer[rows]) & 0x0FFF)
        first = self.vlan_outer[rows] == 0
        self.vlan_outer[rows[first]] = tag[first]
        second = rows[~first]
        fresh = self.vlan_inner[second] == 0
        self.vlan_inner[second[fresh]] = tag[~first][fresh]
        self.ethertype[rows] = be16(self._buffer, self.layer[rows] + 2)
        self.layer[rows] += 4

    def _ppp(self, rows: IntArray, *, header: int) -> None:
        """Read the PPP protocol field in the last two bytes of a `header` bytes long header."""
        self.ethertype[rows] = _ethertype_of_ppp(be16(self._buffer, self.layer[rows] + header - 2))
        self.layer[rows] += header

    def _flexible_ppp(self, rows: IntArray) -> None:
        """PPP that may have its address and control bytes and a one-byte protocol field (RFC 1661, RFC 1662, RFC
        2637)."""
        framed = be16(self._buffer, self.layer[rows]) == 0xFF03
        self.layer[rows[framed]] += 2
        short = (self._buffer[self.layer[rows]] & 1) == 1
        protocol = np.where(short, self._buffer[self.layer[rows]], be16(self._buffer, self.layer[rows]))
        self.layer[rows] += np.where(short, 1, 2)
        self.ethertype[rows] = _ethertype_of_ppp(protocol)

    def _by_version(self, rows: IntArray) -> None:
        version = self._buffer[self.layer[rows]] >> 4
        self.ethertype[rows] = np.select([version == 4, version == 6], [ETHERTYPE_IPV4, ETHERTYPE_IPV6], 0)


def _ethertype_of_ppp(protocol: IntArray) -> IntArray:
    return np.select([protocol == _PPP_IPV4, protocol == _PPP_IPV6], [ETHERTYPE_IPV4, ETHERTYPE_IPV6], 0)
