"""What a capture finds of the one before in its manager's store."""

import os
import socket
import sys

import pytest

from appliance.capturing import keptrings
from appliance.capturing.keptrings import RingKey
from appliance.supervision.notifysocket import NotifySocket
from appliance.supervision.spawn import spawn
from tests.appliance.supervised import REPOSITORY

_TAKES = "from appliance.capturing import keptrings; keptrings.take()"


@pytest.mark.parametrize("port", ["enp2s0", "span-0-1"])
@pytest.mark.parametrize("mac", ["02:00:00:00:00:01", ""])
def test_a_name_holds_what_is_known_of_a_ring(port: str, mac: str) -> None:
    key = RingKey(port=port, ifindex=7, mac=mac, ring_bytes=1 << 28, block_bytes=1 << 19)
    assert keptrings.parse(key.serialize()) == key


@pytest.mark.parametrize("name", ["recording", "ring-enp2s0-7-020000000001", "untold-5-ring-s0-7--1-1", "ring-----"])
def test_other_names_are_no_rings(name: str) -> None:
    assert keptrings.parse(name) is None


def test_a_ring_of_another_version_is_let_go() -> None:
    """Its name says less, and nobody could go on with it."""
    manager = NotifySocket()
    here, there = socket.socketpair()
    environment = {**os.environ, "NOTIFY_SOCKET": manager.address, "PYTHONPATH": str(REPOSITORY)}
    stored = {"ring-s0-7-020000000001": there.fileno(), "recording": there.fileno()}
    with here, there:
        pid, pidfd = spawn([sys.executable, "-c", _TAKES], environment, stored)
        assert os.waitpid(pid, 0)[1] == 0
    said = [message.assignments for message in manager.receive(pid)]
    assert said == [{"FDSTOREREMOVE": "1", "FDNAME": "ring-s0-7-020000000001"}]
    os.close(pidfd)
    manager.close()
