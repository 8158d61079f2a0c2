"""ICMP echo (RFC 792, RFC 4443): whether a host answers, how fast, and how large a packet gets there in one piece.

By a datagram socket, which needs no privilege where `net.ipv4.ping_group_range` allows it, else a raw one.
"""

import os
import socket
import struct
import time
from dataclasses import dataclass

from appliance.diagnosis.probes import sockets

TRIES = 3
WAIT_S = 0.8
_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
_PROTOCOL = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
_HEADERS = {socket.AF_INET: 28, socket.AF_INET6: 48}
_MTU_DISCOVER, _PMTUDISC_PROBE = 10, 3  # <linux/in.h>
MTUS = (1500, 1480, 1420, 1400, 1280)
"""Full Ethernet, and what PPPoE, IPsec and WireGuard usually leave of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """What came back."""

    sent: int
    answered: int
    round_trip_ms: float | None
    """The fastest; None without an answer."""
    path_mtu: int | None
    """Largest of `MTUS` that got there and back unfragmented; None when it was not tried or none did."""


def ask(address: str, interface: str, *, with_mtu: bool = False) -> Echo | None:
    """Ask up to `TRIES` times, once when it answers; None when that is not permitted. Raises OSError without a way."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = _open(family)
    if opened is None:
        return None
    with opened:
        sockets.bind_to(opened, interface, address)
        sent, fastest = 0, None
        while sent < TRIES and fastest is None:
            sent += 1
            fastest = _once(opened, family, address, sent, 56)
        mtu = _path_mtu(opened, family, address) if with_mtu and fastest is not None else None
    return Echo(sent=sent, answered=int(fastest is not None), round_trip_ms=fastest, path_mtu=mtu)


def _open(family: socket.AddressFamily) -> socket.socket | None:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return socket.socket(family, kind, _PROTOCOL[family])
        except PermissionError:
            continue
    return None


def _path_mtu(opened: socket.socket, family: socket.AddressFamily, address: str) -> int | None:
    if family == socket.AF_INET:
        opened.setsockopt(socket.IPPROTO_IP, _MTU_DISCOVER, _PMTUDISC_PROBE)
    for number, mtu in enumerate(MTUS, 100):
        try:
            if _once(opened, family, address, number, mtu - _HEADERS[family]) is not None:
                return mtu
        except OSError:  # larger than the interface itself takes
            continue
    return None


def _once(opened: socket.socket, family: socket.AddressFamily, address: str, number: int, size: int) -> float | None:
    """Send one request; milliseconds until its answer, None without one."""
    token = os.urandom(8)
    payload = token + bytes(size - len(token))
    head = struct.pack("!BBHHH", _REQUEST[family], 0, 0, os.getpid() & 0xFFFF, number)
    if family == socket.AF_INET:
        head = head[:2] + struct.pack("!H", _checksum(head + payload)) + head[4:]
    began = time.monotonic()
    opened.sendto(head + payload, (address, 0))
    while (left_s := began + WAIT_S - time.monotonic()) > 0:
        opened.settimeout(left_s)
        try:
            answer = opened.recv(65_536)
        except TimeoutError:
            return None
        if token in answer[8:100] and _REPLY[family] in (answer[0], answer[20] if len(answer) > 20 else -1):
            return (time.monotonic() - began) * 1000
    return None


def _checksum(octets: bytes) -> int:
    padded = octets + bytes(len(octets) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
