"""Four network namespaces: a PBX and a carrier on a switch, and a recorder on the switch's mirror port.

    pbx p0 ── sw0 ┐                     ┌ tap0 ── tap1 (relay) ┐
                  ├ br0      mirror of ─┤                      ├ sw2 ── s0 rec
    car c0 ── sw1 ┘          sw1        └──────────────────────┘

The mirror is tc's u32 and mirred. With a relay, what is mirrored goes through the veth tap0-tap1 and a program that
reads tap1 and writes to sw2. Names carry a random part: labs beside each other do not meet.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

LINES = 10
"""Telephones at each side, each with addresses of its own: SIP stays on port 5060."""
TOOLS = ("ip", "tc", "ss", "sysctl", "ethtool", "tcpdump", "sipp")
SPAN_PORT = "s0"
_OFFLOADS = ("rx", "tx", "sg", "tso", "gso", "gro")
_MIRROR_MTU = 2000
"""A wrapped or tagged frame is longer than what it carries."""


class Node(StrEnum):
    """The namespaces."""

    PBX = "pbx"
    CARRIER = "car"
    SWITCH = "sw"
    RECORDER = "rec"


class Mirror(StrEnum):
    """What the switch copies to the recorder."""

    BOTH = "both"
    FROM_CARRIER = "from carrier"
    """Only what the carrier sends."""
    DOUBLED = "doubled"
    """Both ports in both directions: every packet comes twice."""


_MIRRORED = {
    Mirror.BOTH: (("sw1", "ingress"), ("sw1", "egress")),
    Mirror.FROM_CARRIER: (("sw1", "ingress"),),
    Mirror.DOUBLED: (("sw0", "ingress"), ("sw0", "egress"), ("sw1", "ingress"), ("sw1", "egress")),
}


@cache
def why_not() -> str:
    """What keeps the lab from running here; empty when nothing does."""
    if os.geteuid() != 0:
        return "the SPAN lab needs root for its network namespaces"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"the SPAN lab needs {', '.join(missing)}"
    try:
        with lab_network():
            return ""
    except subprocess.CalledProcessError as error:
        return f"the SPAN lab can not be built here: {error.stderr.strip()}"


def host(node: Node, line: int, *, ipv6: bool = False) -> str:
    """Address of a telephone at the PBX or at the carrier; `line` counts from 0."""
    place = (100 if node is Node.CARRIER else 10) + line
    return f"fd77::{place}" if ipv6 else f"10.77.0.{place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One lab, while it stands."""

    name: str

    def namespace(self, node: Node) -> str:
        """The namespace's name for `ip netns`."""
        return f"{self.name}-{node}"

    def within(self, node: Node, *command: str) -> list[str]:
        """The command line that runs `command` there."""
        return ["ip", "netns", "exec", self.namespace(node), *command]

    def run(self, node: Node, *command: str) -> str:
        """Runs a command there to its end and returns what it printed."""
        return _run(*self.within(node, *command))

    def sent_by_recorder(self) -> int:
        """Frames that the recorder's port has transmitted so far."""
        (port,) = json.loads(_run("ip", "-n", self.namespace(Node.RECORDER), "-json", "-s", "link", "show", SPAN_PORT))
        return int(port["stats64"]["tx"]["packets"])


@contextlib.contextmanager
def lab_network(mirror: Mirror = Mirror.BOTH, *, relayed: bool = False) -> Iterator[Network]:
    """Builds a lab, and takes it down whatever happens, with every process still running in it."""
    network = Network(name=f"lab{secrets.token_hex(3)}")
    try:
        _build(network, mirror, relayed)
        yield network
    finally:
        _demolish(network)


def _build(network: Network, mirror: Mirror, relayed: bool) -> None:
    for node in Node:
        _run("ip", "netns", "add", network.namespace(node))
        _link(network, node, "lo", "up")
    _cable(network, (Node.PBX, "p0"), (Node.SWITCH, "sw0"))
    _cable(network, (Node.CARRIER, "c0"), (Node.SWITCH, "sw1"))
    _cable(network, (Node.RECORDER, SPAN_PORT), (Node.SWITCH, "sw2"), mtu=_MIRROR_MTU)
    _cable(network, (Node.SWITCH, "tap0"), (Node.SWITCH, "tap1"), mtu=_MIRROR_MTU)
    _bring_up_switch(network)
    _bring_up_party(network, Node.PBX, "p0")
    _bring_up_party(network, Node.CARRIER, "c0")
    _silence(network, Node.RECORDER, SPAN_PORT)
    _link(network, Node.RECORDER, SPAN_PORT, "up", "promisc", "on")
    _mirror(network, mirror, "tap0" if relayed else "sw2")


def _cable(network: Network, here: tuple[Node, str], there: tuple[Node, str], mtu: int = 1500) -> None:
    """A veth pair as a cable would be: whole frames with finished checksums, none longer than the MTU."""
    ends = [["netns", network.namespace(node), "mtu", str(mtu)] for node, _ in (here, there)]
    _run("ip", "link", "add", here[1], *ends[0], "type", "veth", "peer", "name", there[1], *ends[1])
    for node, interface in (here, there):
        network.run(node, "ethtool", "-K", interface, *(word for each in _OFFLOADS for word in (each, "off")))


def _bring_up_switch(network: Network) -> None:
    _run("ip", "-n", network.namespace(Node.SWITCH), "link", "add", "br0", "type", "bridge")
    for port in ("br0", "sw0", "sw1", "sw2", "tap0", "tap1"):
        _silence(network, Node.SWITCH, port)
    for port in ("sw0", "sw1"):
        _link(network, Node.SWITCH, port, "master", "br0")
    for port in ("br0", "sw0", "sw1", "sw2", "tap0", "tap1"):
        _link(network, Node.SWITCH, port, "up")


def _bring_up_party(network: Network, node: Node, interface: str) -> None:
    # No duplicate address detection: it would keep the addresses unusable for a second.
    four = [f"address add {host(node, line)}/24 dev {interface}" for line in range(LINES)]
    six = [f"address add {host(node, line, ipv6=True)}/64 dev {interface} nodad" for line in range(LINES)]
    _run("ip", "-n", network.namespace(node), "-batch", "-", given="\n".join(four + six) + "\n")
    _link(network, node, interface, "up")


def _silence(network: Network, node: Node, interface: str) -> None:
    """Before the interface comes up, or it sends: no IPv6 (router solicitations, listener reports), no ARP."""
    network.run(node, "sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=1")
    _link(network, node, interface, "arp", "off")


def _mirror(network: Network, mirror: Mirror, target: str) -> None:
    for port in dict.fromkeys(port for port, _ in _MIRRORED[mirror]):
        network.run(Node.SWITCH, "tc", "qdisc", "add", "dev", port, "clsact")
    for port, direction in _MIRRORED[mirror]:
        everything = ("protocol", "all", "u32", "match", "u32", "0", "0")
        copied = ("action", "mirred", "egress", "mirror", "dev", target)
        network.run(Node.SWITCH, "tc", "filter", "add", "dev", port, direction, *everything, *copied)


def _demolish(network: Network) -> None:
    existing = _run("ip", "netns", "list").split()
    for namespace in (network.namespace(node) for node in Node):
        if namespace in existing:
            for pid in _run("ip", "netns", "pids", namespace).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            _run("ip", "netns", "delete", namespace)


def _link(network: Network, node: Node, interface: str, *settings: str) -> None:
    _run("ip", "-n", network.namespace(node), "link", "set", interface, *settings)


def _run(*command: str, given: str = "") -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, input=given).stdout
