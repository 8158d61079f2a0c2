"""A whole site in network namespaces: customer, VPN router, carrier, mirror, and the appliance with both of its ports.

    pbx p0 ─ sw0 ┐                        ┌ sw1 ─ v0 vpn v1 ─ c0 car     10.77.0.254 | 203.0.113.1, .20
    gw  g0 ─ sw3 ┤ br0 (10.77.0.0/24)     │
    rec m0 ─ sw4 ┘    mirror of sw1 ───── sw2 ─ s0 rec

The gateway (10.77.0.1) also is name server, time server and, with TLS, the NOC's broker. Calls of both sides are
put on the wire at p0 and at v0 by whoever plays them; addresses that answer nothing belong to no namespace.
"""

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

NODES = ("pbx", "vpn", "car", "gw", "sw", "rec")
CABLES = (
    ("pbx", "p0", "sw0"),
    ("vpn", "v0", "sw1"),
    ("rec", "s0", "sw2"),
    ("gw", "g0", "sw3"),
    ("rec", "m0", "sw4"),
)
_OFFLOADS = ("rx", "tx", "sg", "tso", "gso", "gro")
_CLONE_NEWNET = 0x40000000
GATEWAY, NEXT_HOP, CARRIER = "10.77.0.1", "10.77.0.254", "203.0.113.20"


@dataclass(slots=True, kw_only=True)
class Site:
    """One site, while it stands."""

    name: str
    processes: list["subprocess.Popen[str]"] = field(default_factory=list)

    def ns(self, node: str) -> str:
        return f"{self.name}-{node}"

    def ip(self, node: str, words: str) -> None:
        run("ip", "-n", self.ns(node), *words.split())

    def run(self, node: str, words: str) -> str:
        return run(*self.within(node, *words.split()))

    def within(self, node: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.ns(node), *command]

    def start(self, node: str, *command: str, **options: object) -> "subprocess.Popen[str]":
        """Start a program that lives until it is stopped, or the site is gone."""
        process = subprocess.Popen(self.within(node, *command), text=True, **options)  # type: ignore[call-overload]
        self.processes.append(process)
        return process

    def stop(self, process: "subprocess.Popen[str]", number: int = signal.SIGTERM) -> None:
        if process.poll() is None:
            process.send_signal(number)
            process.wait(30)

    def raw(self, node: str, interface: str) -> socket.socket:
        """A packet socket at an interface of a namespace."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(_raw, self.ns(node), interface).result()

    def mirror(self, *, ports: tuple[str, ...] = ("sw1",), directions: tuple[str, ...] = ("ingress", "egress")) -> None:
        """Set the mirror session, in place of what it was."""
        for port in ("sw0", "sw1"):
            with contextlib.suppress(subprocess.CalledProcessError):
                self.run("sw", f"tc qdisc del dev {port} clsact")
        for port in ports:
            self.run("sw", f"tc qdisc add dev {port} clsact")
            for direction in directions:
                self.run(
                    "sw",
                    f"tc filter add dev {port} {direction} protocol all u32 match u32 0 0"
                    " action mirred egress mirror dev sw2",
                )


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """Build a site, and take it down whatever happens."""
    built = Site(name=f"rk{secrets.token_hex(2)}")
    try:
        _build(built)
        yield built
    finally:
        for process in built.processes:
            with contextlib.suppress(Exception):
                built.stop(process)
        _demolish(built)


def _build(built: Site) -> None:
    for node in NODES:
        run("ip", "netns", "add", built.ns(node))
        built.ip(node, "link set lo up")
    for node, here, there in CABLES:
        _cable(built, (node, here), ("sw", there))
    _cable(built, ("vpn", "v1"), ("car", "c0"))
    built.ip("sw", "link add br0 type bridge")
    for port in ("br0", "sw0", "sw1", "sw2", "sw3", "sw4"):
        built.run("sw", f"sysctl -qw net.ipv6.conf.{port}.disable_ipv6=1")
        built.ip("sw", f"link set {port} arp off")
    for port in ("sw0", "sw1", "sw3", "sw4"):
        built.ip("sw", f"link set {port} master br0")
    built.run("rec", "sysctl -qw net.ipv6.conf.s0.disable_ipv6=1")
    built.ip("rec", "link set s0 arp off")
    for port in ("br0", "sw0", "sw1", "sw2", "sw3", "sw4"):
        built.ip("sw", f"link set {port} up")
    for node, interface, address in (
        ("pbx", "p0", "10.77.0.10/24"),
        ("vpn", "v0", f"{NEXT_HOP}/24"),
        ("vpn", "v1", "203.0.113.1/24"),
        ("car", "c0", f"{CARRIER}/24"),
        ("gw", "g0", f"{GATEWAY}/24"),
        ("rec", "m0", "10.77.0.9/24"),
    ):
        built.run(node, f"sysctl -qw net.ipv6.conf.{interface}.disable_ipv6=1")
        built.ip(node, f"address add {address} dev {interface}")
        built.ip(node, f"link set {interface} up")
    built.ip("rec", "link set s0 up promisc on")
    for node in ("vpn", "gw"):
        built.run(node, "sysctl -qw net.ipv4.ip_forward=1")
    for node, gateway in (("rec", GATEWAY), ("car", "203.0.113.1"), ("gw", NEXT_HOP), ("pbx", NEXT_HOP)):
        built.ip(node, f"route add default via {gateway}")
    built.run("rec", "sysctl -qw net.ipv4.neigh.m0.base_reachable_time_ms=4000")
    built.run("gw", "sysctl -qw net.ipv4.conf.g0.send_redirects=0")
    built.run("gw", "sysctl -qw net.ipv4.conf.all.send_redirects=0")
    built.mirror()


def _cable(built: Site, here: tuple[str, str], there: tuple[str, str]) -> None:
    run(
        *f"ip link add {here[1]} netns {built.ns(here[0])} mtu 1500 type veth".split(),
        *f"peer name {there[1]} netns {built.ns(there[0])} mtu 1500".split(),
    )
    for node, interface in (here, there):
        built.run(node, f"ethtool -K {interface} {' '.join(f'{each} off' for each in _OFFLOADS)}")


def _demolish(built: Site) -> None:
    existing = run("ip", "netns", "list").split()
    for node in NODES:
        if built.ns(node) in existing:
            for pid in run("ip", "netns", "pids", built.ns(node)).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "delete", built.ns(node))


def _raw(namespace: str, interface: str) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}") as opened:
        if libc.setns(opened.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    out.bind((interface, 0))
    return out


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
