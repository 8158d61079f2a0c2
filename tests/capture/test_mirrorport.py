"""A mirror port's rings on a real veth: adopted with the filter in force, read to their end, in order of time."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance import clocks
from capture import kernelfilter
from capture.bootline import BootLine
from capture.errors import RingError
from capture.intake import Intake
from capture.journal import MediaBlock
from capture.journalstore import JournalStore
from capture.livejournal import LiveJournal
from capture.mirrorport import MAX_RINGS, MirrorPort
from capture.records import RecordBatch
from capture.ring import Ring, RingSettings
from tests.capture.private_network import in_private_network, ip, veth
from tests.journal_reading import blocks
from tests.scenario import call
from tests.traffic.calls import play
from tests.traffic.pcapwriter import frames_of

SMALL = RingSettings(ring_bytes=4 << 20, timeout_ms=10)
SPEECH = [frame.octets for frame in frames_of(play(call(talk_s=4.0)).packets) if len(frame.octets) == 214]


def cable(port: str, peer: str) -> None:
    """A mirror port whose other end sends nothing of its own accord."""
    veth(port, peer)
    Path(f"/proc/sys/net/ipv6/conf/{peer}/disable_ipv6").write_text("1")


def program(*sip_ports: int) -> bytes:
    return kernelfilter.program(frozenset(sip_ports), tunnels=frozenset())


@contextmanager
def wire(name: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind((name, 0))
        yield out


def keepalive(port: int) -> bytes:
    """A SIP keep-alive (RFC 5626 3.5.1), known for one by its port alone."""
    header = bytes.fromhex(
        "020000000001 020000000002 0800 4500 0020 0001 0000 40 11 0000 c0000201 c0000202".replace(" ", "")
    )
    ports = port.to_bytes(2, "big") * 2
    return (header + ports + b"\0\x0c\0\0" + b"\r\n\r\n").ljust(60, b"\0")


def passed(port: MirrorPort) -> int:
    """Packets that came through since the last time."""
    time.sleep(0.1)
    return port.counted("span0")["packets"]


@in_private_network
def test_an_adopted_ring_has_the_filter_of_the_configuration_in_force() -> None:
    cable("span0", "switch0")
    before = MirrorPort(0, "span0", program(5060), SMALL)
    copies: list[int] = []
    before.open("span0", "ring", lambda fileno: copies.append(os.dup(fileno)))
    (kept,) = copies
    with wire("switch0") as out:
        out.send(keepalive(5060))
        out.send(keepalive(5090))
        assert passed(before) == 1
        before.close()
        after = MirrorPort(0, "span0", program(5090), SMALL)
        after.adopt(kept, "span0", "ring", SMALL)
        out.send(keepalive(5060))
        out.send(keepalive(5090))
        out.send(keepalive(5090))
        assert passed(after) == 2
    after.close()


def frames(batch: RecordBatch | None) -> list[bytes]:
    assert batch is not None
    return [batch.buffer[s : s + n].tobytes() for s, n in zip(batch.start, batch.captured, strict=True)]


@in_private_network
def test_the_ring_of_an_adapter_that_is_gone_is_read_first_and_then_left() -> None:
    cable("span0", "switch0")
    port = MirrorPort(0, "span0", program(5060), SMALL)
    port.open("span0", "first")
    with wire("switch0") as out:
        out.send(SPEECH[0])
    ip("link del span0")
    cable("span0", "switch0")
    assert port.interface_number() == 0
    port.open("span0", "second")
    assert port.interface_number() == socket.if_nametoindex("span0")
    with wire("switch0") as out:
        out.send(SPEECH[1])
    time.sleep(0.2)
    assert port.let_go() == port.let_go() == []
    read = []
    while port.unread():
        read += frames(port.read(len(port.begun_ns(10)))[0])
        port.release()
    assert read == SPEECH[:2]
    assert [port.let_go(), port.let_go(), port.let_go()] == [[], ["first"], []]
    assert port.counted("span0")["packets"] == 2
    port.close()


@in_private_network
def test_an_adapter_that_comes_and_goes_does_not_take_all_memory() -> None:
    port = MirrorPort(0, "span0", program(5060), SMALL)
    for _ in range(MAX_RINGS):
        cable("span0", "switch0")
        port.open("span0", "ring")
        with wire("switch0") as out:
            out.send(SPEECH[0])
        ip("link del span0")
    cable("span0", "switch0")
    with pytest.raises(RingError, match="rings of earlier adapters are not written yet"):
        port.open("span0", "ring")
    time.sleep(0.1)
    while port.unread():
        port.read(1)
        port.release()
    for _ in range(2):
        port.let_go()
    port.open("span0", "ring")
    port.close()


@in_private_network
def test_a_quiet_port_does_not_run_ahead_of_a_busy_one(tmp_path: Path) -> None:
    """What waited in the rings goes into the journal in order of time, however unevenly the ports are filled."""
    cable("span0", "switch0")
    cable("span1", "switch1")
    tiny = RingSettings(ring_bytes=8 << 20, block_bytes=1 << 13, timeout_ms=10)
    ports = [MirrorPort(number, f"span{number}", program(5060), tiny) for number in range(2)]
    for port in ports:
        port.open(port.name, "ring")
    with wire("switch0") as busy, wire("switch1") as quiet:
        for number in range(40):
            for _ in range(100):
                busy.send(SPEECH[number])
            quiet.send(SPEECH[number])
            time.sleep(0.02)
    time.sleep(0.1)
    with JournalStore(tmp_path / "journal") as store:
        journal = LiveJournal(ports, Intake(frozenset({5060})), store, BootLine(clocks.read))
        ready = True
        while ready:
            ready = journal.read()
            journal.write()
            assert journal.wait(10)
            assert journal.settle()
        journal.close()
    for port in ports:
        port.close()
    latest = 0
    for block in blocks(tmp_path / "journal"):
        if isinstance(block, MediaBlock):
            assert block.first_ns > latest - 100_000_000
            latest = max(latest, block.last_ns)


@in_private_network
def test_a_filter_that_the_kernel_refuses_is_told() -> None:
    cable("span0", "switch0")
    with Ring.open("span0", program(5060), SMALL) as ring, pytest.raises(RingError, match="does not take the filter"):
        ring.attach(b"\xff" * 8)
