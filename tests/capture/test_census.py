"""Frames on a port on which nothing passes the filter, counted by whom they are for, on a real veth."""

import socket
from contextlib import closing

from capture.census import Census
from capture.events import Counted
from tests.capture.private_network import in_private_network, ip, veth

UNICAST = bytes.fromhex("020000000001") + bytes.fromhex("020000000002") + b"\x08\x00" + bytes(50)
BROADCAST = b"\xff" * 6 + UNICAST[6:]


@in_private_network
def test_frames_are_counted_by_whom_they_are_for() -> None:
    veth("span0", "switch0")
    ip("link set dev span0 up")
    with closing(Census()) as census:
        assert census.count("span0", is_wanted=True) == {}  # it listens from now on
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
            out.bind(("switch0", 0))
            for frame in (UNICAST, BROADCAST, BROADCAST):
                out.send(frame)
        counted = census.count("span0", is_wanted=True)
        assert counted[Counted.UNICAST] == 1
        assert counted[Counted.GROUP] >= 2
        assert census.count("span0", is_wanted=True)[Counted.UNICAST] == 0
        assert census.count("span0", is_wanted=False) == {}
        assert census.count("span0", is_wanted=True) == {}


@in_private_network
def test_a_port_that_is_gone_is_no_trouble() -> None:
    assert Census().count("span0", is_wanted=True) == {}
