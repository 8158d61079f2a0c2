"""The mirror ports of a capture on real veths, in a network namespace of their own."""

import socket
import time

from appliance import clocks
from appliance.capturing.mirrorports import MirrorPorts
from capture import kernelfilter
from capture.bootline import BootLine
from capture.ring import RingSettings
from tests.capture.private_network import in_private_network, ip, veth
from tests.crash.calls import Plan
from tests.live import wait_until

_SPEECH = next(octets for _, octets in Plan(lines=1, seed=1).call(0, 0).frames(0) if len(octets) == 214)


@in_private_network
def test_a_ring_that_is_half_full_does_not_wait() -> None:
    """However little that is beside what all ports may have waiting."""
    for number in range(2):
        veth(f"s{number}", f"p{number}")
        for port in (f"s{number}", f"p{number}"):
            ip(f"link set dev {port} arp off up")
    settings = RingSettings(ring_bytes=1 << 20, block_bytes=1 << 16, timeout_ms=10)
    line = BootLine(clocks.read)
    program = kernelfilter.program(frozenset((5060,)), tunnels=frozenset())
    ports = MirrorPorts(("s0", "s1"), program, settings, line, note=lambda _: None, tell=lambda _: None)
    ports.begin()
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
            wire.bind(("p1", 0))
            wire.send(_SPEECH)
            wait_until(lambda: ports.unread() > 0)
            assert not ports.are_filling()
            deadline = time.monotonic() + 20
            while not ports.are_filling():
                assert time.monotonic() < deadline
                wire.send(_SPEECH)
            assert settings.blocks // 2 < ports.unread() <= settings.blocks
    finally:
        ports.close()
