"""A mirror (SPAN) port's interface: made so that it never sends, and asked whether it is so.

A mirror port that sends can upset the switch it is plugged into, and betrays the recorder. An interface sends by itself
when it has an address, resolves others' (ARP), configures IPv6, or when something stands on it. Promiscuous mode is the
ring's business; programs that send (LLDP) are the system's.
"""

import fcntl
import os
import socket
from array import array
from contextlib import suppress
from pathlib import Path
from struct import Struct

from capture import niccounters, routesocket
from capture.errors import SpanPortError
from capture.rtnetlink import IFF_NOARP, IFF_UP

_NET = Path("/sys/class/net")
_IPV6 = Path("/proc/sys/net/ipv6/conf")

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_SIOCETHTOOL = 0x8946
_ETHTOOL_GFLAGS = 0x25
_ETHTOOL_SFLAGS = 0x26
_ETHTOOL_SGRO = 0x2C
_ETH_FLAG_LRO = 1 << 15

_FLAGS_REQUEST = Struct("16sH22x")
_POINTER_REQUEST = Struct("16sP16x")
"""`struct ifreq` (netdevice(7)) with flags and with a pointer, 40 bytes."""


def prepare(interface: str) -> None:
    """Make the interface one that never sends, then set it up, as far as this process is permitted; `check` tells.

    An interface that was given an address is not touched: it is somebody's way to the network and no mirror port.
    Nothing is set up while it would send. An adapter that was plugged in again has to be prepared again.

    Raises:
        SpanPortError: no such interface.
        RtnetlinkError: the kernel does not tell its addresses.
    """
    if _addresses(interface):
        return
    with suppress(OSError):
        _write_ipv6(interface)
    with suppress(OSError):
        _set_flags(interface, IFF_NOARP)
    _keep_packets_apart(interface)
    if not check(interface):
        with suppress(OSError):
            _set_flags(interface, IFF_UP)


def check(interface: str) -> list[str]:
    """What makes this interface send, one line each with the remedy; empty when nothing does. Down is no problem.

    Raises:
        SpanPortError: no such interface.
        RtnetlinkError: the kernel does not tell its addresses.
    """
    problems = [
        f"{interface}: has address {address}, a mirror port has none: ip address del {address} dev {interface}"
        for address in _addresses(interface)
    ]
    if not _flags(interface) & IFF_NOARP:
        problems.append(f"{interface}: ARP is on: ip link set dev {interface} arp off")
    if _has_ipv6(interface):
        problems.append(f"{interface}: IPv6 is on: sysctl -w net/ipv6/conf/{interface}/disable_ipv6=1")
    problems += [
        f"{interface}: {upper} stands on it and can send through it: remove {upper}, or take {interface} out of it"
        for upper in _uppers(interface)
    ]
    return problems


def transmitted(interface: str) -> int:
    """Frames that the interface has sent since it exists.

    Raises:
        SpanPortError: no such interface.
    """
    _ifindex(interface)
    return niccounters.read(interface).tx_packets


def _ifindex(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except (OSError, ValueError) as error:
        raise SpanPortError(f"{interface}: there is no interface of this name") from error


def _flags(interface: str) -> int:
    try:
        answer = _ioctl(_SIOCGIFFLAGS, _FLAGS_REQUEST.pack(os.fsencode(interface), 0))
    except OSError as error:
        raise SpanPortError(f"{interface}: {error.strerror}") from error
    return int(_FLAGS_REQUEST.unpack(answer)[1])


def _set_flags(interface: str, wanted: int) -> None:
    flags = _flags(interface)
    if flags & wanted != wanted:
        _ioctl(_SIOCSIFFLAGS, _FLAGS_REQUEST.pack(os.fsencode(interface), flags | wanted))


def _ioctl(request: int, argument: bytes) -> bytes:
    # Any socket will do, and one of this family is all that a sandbox without a network lets through.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
        return fcntl.ioctl(any_socket, request, argument)


def _addresses(interface: str) -> list[str]:
    """The IP addresses it was given; those that IPv6 gives itself go when IPv6 is switched off."""
    ifindex = _ifindex(interface)
    held = [address for address in routesocket.addresses() if address.ifindex == ifindex]
    return [address.address for address in held if not address.automatic]


def _has_ipv6(interface: str) -> bool:
    try:
        return (_IPV6 / interface / "disable_ipv6").read_text().strip() != "1"
    except OSError:
        return False  # The kernel has no IPv6, or none on this kind of interface.


def _write_ipv6(interface: str) -> None:
    if _has_ipv6(interface):
        (_IPV6 / interface / "disable_ipv6").write_text("1")


def _uppers(interface: str) -> list[str]:
    """Bridges, bonds and VLAN interfaces on top of it."""
    return sorted(entry.name.removeprefix("upper_") for entry in (_NET / interface).glob("upper_*"))


def _keep_packets_apart(interface: str) -> None:
    """Switch off what merges packets before the ring sees them (GRO, LRO), where the driver has such a thing."""
    with suppress(OSError):
        _ethtool(interface, _ETHTOOL_SGRO, 0)
    with suppress(OSError):
        flags = _ethtool(interface, _ETHTOOL_GFLAGS, 0)
        if flags & _ETH_FLAG_LRO:
            _ethtool(interface, _ETHTOOL_SFLAGS, flags & ~_ETH_FLAG_LRO)


def _ethtool(interface: str, command: int, value: int) -> int:
    """One `struct ethtool_value` there and back (linux/ethtool.h)."""
    data = array("I", [command, value])
    _ioctl(_SIOCETHTOOL, _POINTER_REQUEST.pack(os.fsencode(interface), data.buffer_info()[0]))
    return data[1]
