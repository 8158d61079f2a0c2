"""The lab itself: it mirrors what it should, and leaves nothing behind."""

import subprocess
import sys
import time

import pytest

from tests.lab.network import Mirror, Network, Node, host, lab_network, why_not

_DATAGRAMS = 200
_SEND = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for _ in range(int(sys.argv[2])):
        sender.sendto(b"datagram", (sys.argv[1], 9))
        time.sleep(0.001)
"""
_RECEIVED = "/sys/class/net/s0/statistics/rx_packets"


@pytest.fixture(autouse=True)
def _possible() -> None:
    if reason := why_not():
        pytest.skip(reason)


def left_of(network: Network) -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.split()
    return [name for name in listed if name.startswith(network.name)]


def seen_of_datagrams(mirror: Mirror) -> int:
    """Frames that reach the recorder's port while the PBX sends `_DATAGRAMS` to the carrier."""
    with lab_network(mirror) as network:
        before = int(network.run(Node.RECORDER, "cat", _RECEIVED))
        network.run(Node.PBX, sys.executable, "-c", _SEND, host(Node.CARRIER, 0), str(_DATAGRAMS))
        time.sleep(0.2)
        assert network.sent_by_recorder() == 0
        return int(network.run(Node.RECORDER, "cat", _RECEIVED)) - before


def test_the_mirror_shows_what_was_asked() -> None:
    """Address resolution, and the carrier's few complaints that nobody listens there, come on top."""
    assert 0 < seen_of_datagrams(Mirror.FROM_CARRIER) < 100
    assert 200 <= seen_of_datagrams(Mirror.BOTH) < 300
    assert 400 <= seen_of_datagrams(Mirror.DOUBLED) < 600


def test_nothing_is_left_even_after_a_failure() -> None:
    built: list[Network] = []
    forgotten: list[subprocess.Popen[bytes]] = []

    def fail() -> None:
        with lab_network() as network:
            built.append(network)
            assert len(left_of(network)) == len(Node)
            forgotten.append(subprocess.Popen(network.within(Node.SWITCH, "sleep", "60")))
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail()
    assert left_of(built[0]) == []
    assert forgotten[0].wait(5) < 0


def test_labs_beside_each_other_do_not_meet() -> None:
    with lab_network() as one, lab_network() as other:
        assert one.name != other.name
        assert one.run(Node.PBX, "ip", "route") == other.run(Node.PBX, "ip", "route") != ""
    assert left_of(one) == left_of(other) == []
