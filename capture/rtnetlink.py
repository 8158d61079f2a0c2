"""rtnetlink messages about links and addresses (RFC 3549, rtnetlink(7)): bytes in, records out; and asking for all.

Only what a mirror port needs is read: the link's name, flags, MTU and MAC, and interface addresses. Attributes and
message types that are not known are stepped over. No socket here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address
from struct import Struct

from capture.errors import RtnetlinkError

IFF_UP = 0x1
IFF_NOARP = 0x80
IFF_LOWER_UP = 0x10000

GROUPS = 0x1 | 0x10 | 0x100
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR: the multicast groups that tell what is parsed here."""

_HEADER = Struct("=IHHII")
_ATTRIBUTE = Struct("=HH")
_LINK = Struct("=BxHiII")
_ADDRESS = Struct("=BBBBi")
_UINT32 = Struct("=I")
_INT32 = Struct("=i")

_NLM_F_REQUEST = 0x1
_NLM_F_DUMP = 0x300
_NLM_F_DUMP_INTERRUPTED = 0x10
_ATTRIBUTE_TYPE = 0x3FFF
"""The two bits above are flags (nested, byte order)."""

_IFLA_ADDRESS = 1
_IFLA_IFNAME = 3
_IFLA_MTU = 4
_IFLA_PERM_ADDRESS = 54
_IFA_ADDRESS = 1
_IFA_LOCAL = 2

_AF_INET = 2
_AF_INET6 = 10
_IFA_F_PERMANENT = 0x80
_RT_SCOPE_LINK = 253
_ADDRESS_BYTES = {_AF_INET: 4, _AF_INET6: 16}
"""Bytes of an address by family; other families do not make an interface speak by itself."""


class MessageType(IntEnum):
    """Types of messages that are understood (linux/netlink.h, linux/rtnetlink.h)."""

    ERROR = 2
    DONE = 3
    NEW_LINK = 16
    DELETE_LINK = 17
    GET_LINK = 18
    NEW_ADDRESS = 20
    DELETE_ADDRESS = 21
    GET_ADDRESS = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface as it is now."""

    ifindex: int
    """Its number, never used again for another interface while the system runs."""
    name: str
    """Its name."""
    flags: int
    """IFF_ flags (netdevice(7))."""
    mtu: int
    """Largest payload of a frame, bytes; 0 when not told."""
    mac: str
    """The adapter's permanent MAC, or else the present one, `00:11:...`; empty without one."""

    @property
    def set_up(self) -> bool:
        """Set up by the administrator, with or without a carrier."""
        return bool(self.flags & IFF_UP)

    @property
    def up(self) -> bool:
        """Set up and with a carrier: frames can arrive."""
        return self.set_up and bool(self.flags & IFF_LOWER_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkGone:
    """The interface exists no more, or no more in this network namespace."""

    ifindex: int
    """Its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An IP address of an interface."""

    ifindex: int
    """The interface."""
    address: str
    """Address and prefix length, `192.0.2.1/24`."""
    gone: bool
    """It was taken away."""
    automatic: bool
    """IPv6 gave it to itself: link-local, or told by a router and of limited life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpEnd:
    """End of the answer to a request."""

    error: int
    """errno of a refusal, else 0."""
    interrupted: bool
    """Something changed meanwhile: the dump may not be consistent and has to be asked for again."""


Message = Link | LinkGone | Address | DumpEnd


def dump_request(message_type: MessageType, sequence: int) -> bytes:
    """Ask for all links (GET_LINK) or all addresses (GET_ADDRESS)."""
    body = (_LINK if message_type is MessageType.GET_LINK else _ADDRESS).size
    header = _HEADER.pack(_HEADER.size + body, message_type, _NLM_F_REQUEST | _NLM_F_DUMP, sequence, 0)
    return header + bytes(body)


def parse(datagram: bytes) -> list[Message]:
    """The messages of a datagram, in order.

    Raises `RtnetlinkError`, and nothing else, when lengths contradict each other or a field cannot be what it claims.
    """
    messages: list[Message] = []
    start = 0
    while start < len(datagram):
        if len(datagram) - start < _HEADER.size:
            raise RtnetlinkError(f"{len(datagram) - start} bytes after the last message")
        size, message_type, flags, _, _ = _HEADER.unpack_from(datagram, start)
        if not _HEADER.size <= size <= len(datagram) - start:
            raise RtnetlinkError(f"message at byte {start} is {size} bytes long, {len(datagram) - start} are there")
        message = _message(message_type, flags, datagram[start + _HEADER.size : start + size])
        if message is not None:
            messages.append(message)
        start += _aligned(size)
    return messages


def _message(message_type: int, flags: int, body: bytes) -> Message | None:
    match message_type:
        case MessageType.NEW_LINK | MessageType.DELETE_LINK:
            return _link(body, gone=message_type == MessageType.DELETE_LINK)
        case MessageType.NEW_ADDRESS | MessageType.DELETE_ADDRESS:
            return _address(body, gone=message_type == MessageType.DELETE_ADDRESS)
        case MessageType.DONE | MessageType.ERROR:
            # Both begin with the negative errno; a DONE without one is an old kernel's.
            error = -_INT32.unpack_from(body)[0] if len(body) >= _INT32.size else 0
            return DumpEnd(error=error, interrupted=bool(flags & _NLM_F_DUMP_INTERRUPTED))
    return None


def _link(body: bytes, *, gone: bool) -> Link | LinkGone | None:
    if len(body) < _LINK.size:
        raise RtnetlinkError(f"a link message of {len(body)} bytes")
    family, _, ifindex, flags, _ = _LINK.unpack_from(body)
    if family:
        return None  # What a bridge says of its port: "deleted" there means that the port left the bridge.
    if gone:
        return LinkGone(ifindex=ifindex)
    attributes = dict(_attributes(body, _LINK.size))
    mac = attributes.get(_IFLA_PERM_ADDRESS) or attributes.get(_IFLA_ADDRESS, b"")
    mtu = attributes.get(_IFLA_MTU, b"")
    return Link(
        ifindex=ifindex,
        # As Python's own functions write file names, so that a name of any bytes can be used with them.
        name=attributes.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "surrogateescape"),
        flags=flags,
        mtu=_UINT32.unpack(mtu)[0] if len(mtu) == _UINT32.size else 0,
        mac=mac.hex(":") if any(mac) else "",
    )


def _address(body: bytes, *, gone: bool) -> Address | None:
    if len(body) < _ADDRESS.size:
        raise RtnetlinkError(f"an address message of {len(body)} bytes")
    family, prefix_length, flags, scope, ifindex = _ADDRESS.unpack_from(body)
    if family not in _ADDRESS_BYTES:
        return None
    attributes = dict(_attributes(body, _ADDRESS.size))
    # On a point-to-point link ADDRESS is the peer's and LOCAL our own.
    packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS, b"")
    if len(packed) != _ADDRESS_BYTES[family]:
        raise RtnetlinkError(f"an address of {len(packed)} bytes")
    automatic = family == _AF_INET6 and (scope == _RT_SCOPE_LINK or not flags & _IFA_F_PERMANENT)
    return Address(ifindex=ifindex, address=f"{ip_address(packed)}/{prefix_length}", gone=gone, automatic=automatic)


def _attributes(body: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    while len(body) - start >= _ATTRIBUTE.size:
        size, attribute_type = _ATTRIBUTE.unpack_from(body, start)
        if not _ATTRIBUTE.size <= size <= len(body) - start:
            raise RtnetlinkError(f"attribute of {size} bytes where {len(body) - start} are left")
        yield attribute_type & _ATTRIBUTE_TYPE, body[start + _ATTRIBUTE.size : start + size]
        start += _aligned(size)


def _aligned(size: int) -> int:
    return (size + 3) & ~3
