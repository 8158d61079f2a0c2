"""Sockets that leave by the management port and by no other: a mirror port never sends."""

import ipaddress
import socket
import struct
import time
from contextlib import suppress

Address = tuple[str, int]
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_MR_PROMISC = 263, 1, 1


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def bind_to(opened: socket.socket, interface: str, address: str) -> None:
    """Tie a socket to an interface, but for what stays within the machine."""
    if interface and not is_loopback(address):
        with suppress(PermissionError):  # before Linux 5.7 it takes a capability; the routes decide then
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")


def listen_to_all(interface: str, seconds: float) -> None:
    """Have the adapter take frames to others too for a moment, so that the kernel counts them; none is read."""
    with suppress(OSError), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as opened:
        index = socket.if_nametoindex(interface)
        opened.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, struct.pack("=iHH8x", index, _PACKET_MR_PROMISC, 0))
        time.sleep(seconds)


def resolve(host: str, port: int, kind: socket.SocketKind) -> tuple[socket.AddressFamily, Address]:
    """Return the first address of a host. Raises OSError (`gaierror`) when it has none."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=kind)[0]
    return family, (str(address[0]), int(address[1]))


def connect(host: str, port: int, interface: str, timeout_s: float) -> tuple[socket.socket, str]:
    """Connect by TCP; the socket and the address that it went to. Raises OSError."""
    family, address = resolve(host, port, socket.SOCK_STREAM)
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.settimeout(timeout_s)
        bind_to(opened, interface, address[0])
        opened.connect(address)
    except OSError:
        opened.close()
        raise
    return opened, address[0]
