"""Who is asked for and does not answer: frames by a table, and a real port."""

import ipaddress
import socket
from contextlib import closing

import pytest

from capture.arptable import ArpTable
from capture.arpwatch import ArpWatch
from tests.capture.private_network import in_private_network, ip, veth
from tests.live import wait_until

PBX, ROUTER = "10.77.0.10", "10.77.0.254"


def arp(operation: int, sender: str, target: str) -> bytes:
    packed = [ipaddress.IPv4Address(each).packed for each in (sender, target)]
    head = b"\xff" * 6 + b"\x02" + bytes(5) + b"\x08\x06" + bytes.fromhex("0001080006 04".replace(" ", ""))
    return head + operation.to_bytes(2, "big") + bytes(6) + packed[0] + bytes(6) + packed[1]


ASK, ANSWER, GRATUITOUS = arp(1, PBX, ROUTER), arp(2, ROUTER, PBX), arp(1, ROUTER, ROUTER)


@pytest.mark.parametrize(
    ("told", "now_s", "unanswered"),
    [
        ([(0, ASK), (1, ASK), (2, ASK)], 2.5, [ROUTER]),
        ([(0, ASK), (1, ASK)], 2.5, []),
        ([(0, ASK), (1, ASK), (2, ASK), (2.1, ANSWER)], 2.5, []),
        ([(0, ASK), (1, ASK), (2, ASK), (2.1, GRATUITOUS)], 2.5, []),
        ([(0, ASK), (1, ASK), (2, ASK)], 13.0, []),
        ([(0, ASK), (60, ASK), (120, ASK)], 121.0, []),
        ([(0, ASK), (1, arp(1, "10.77.0.11", ROUTER)), (2, ASK)], 2.5, []),
        ([(0, GRATUITOUS), (1, GRATUITOUS), (2, GRATUITOUS)], 2.5, []),
        ([(0, ASK[:30]), (1, b""), (2, b"\x00" * 60)], 2.5, []),
    ],
)
def test_what_is_unanswered(told, now_s, unanswered):
    table = ArpTable()
    for at_s, frame in told:
        table.take(frame, at_s)
    assert table.unanswered(now_s) == unanswered


def test_a_storm_is_bounded():
    table = ArpTable()
    for number in range(5000):
        table.take(arp(1, PBX, f"10.{number >> 8}.{number & 255}.1"), 0.0)
    assert len(table._asked) == 1024


@in_private_network
def test_a_port_that_hears_arp() -> None:
    veth("span0", "switch0")
    ip("link set dev span0 up")
    with closing(ArpWatch()) as watch:
        assert watch.unanswered("span0") == []
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
            out.bind(("switch0", 0))
            for _ in range(3):
                out.send(ASK)
            wait_until(lambda: watch.unanswered("span0") == [ROUTER])
            out.send(ANSWER)
            wait_until(lambda: watch.unanswered("span0") == [])
    assert ArpWatch().unanswered("nosuch0") == []
