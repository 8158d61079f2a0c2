"""The real ring on a real interface pair, in a network namespace of its own."""

import contextlib
import ctypes
import os
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

from capture import ringblock
from capture.errors import RingError
from capture.kernelfilter import program
from capture.records import GUARD_BYTES, RecordBatch
from capture.ring import Ring, RingSettings
from tests.capture.ringreader import HEAD

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a ring takes a network namespace of its own, and that takes root"),
    pytest.mark.skipif(shutil.which("ip") is None, reason="iproute2 is not installed"),
]

PROGRAM = program(frozenset((5060,)), tunnels=frozenset())
LET_ALL_PASS = b"\x06\x00\x00\x00\x00\x00\x04\x00"
SMALL = RingSettings(ring_bytes=1 << 20, block_bytes=1 << 16, timeout_ms=20)
PORT, PEER = "mirror0", "peer0"
PATIENCE_S = 10
ENETDOWN = 100
KERNELS_QUEUE = 500
"""Fewer than `net.core.netdev_max_backlog`: a veth hands frames over later when the processor is taken."""
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Two interfaces joined to each other; what is sent on `PEER` is received on `PORT`."""

    namespace: str
    sender: socket.socket

    def ip(self, *arguments: str) -> None:
        run_ip("-n", self.namespace, *arguments)

    def open(self, settings: RingSettings = SMALL, code: bytes = PROGRAM, interface: str = PORT) -> Ring:
        with inside(self.namespace):
            return Ring.open(interface, code, settings)

    def send(self, frames: list[bytes]) -> None:
        for frame in frames:
            self.sender.send(frame)

    def send_all(self, frames: list[bytes], ring: Ring) -> None:
        """More frames than the kernel queues on a busy machine; when all have come to the ring, or found it full."""
        before = ring.statistics().packets
        for low in range(0, len(frames), KERNELS_QUEUE):
            self.send(frames[low : low + KERNELS_QUEUE])
            wait_until_received(ring, before + min(low + KERNELS_QUEUE, len(frames)))


def run_ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=PATIENCE_S)


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Let this thread's sockets belong to a network namespace; they stay in it afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(there, 0):
            raise OSError(ctypes.get_errno(), "setns")
        yield
        if libc.setns(home, 0):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        libc.setns(home, 0)
        os.close(there)
        os.close(home)


@pytest.fixture
def wire() -> Iterator[Wire]:
    namespace = f"ring-{os.getpid()}"
    try:
        run_ip("netns", "add", namespace)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr.decode().strip()}")
    try:
        with inside(namespace):
            # Interfaces with IPv6 talk of their own accord.
            Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
            run_ip("link", "add", PORT, "arp", "off", "type", "veth", "peer", "name", PEER, "arp", "off")
            run_ip("link", "set", PORT, "up")
            run_ip("link", "set", PEER, "up")
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sender.bind((PEER, 0))
        with sender:
            yield Wire(namespace=namespace, sender=sender)
    finally:
        run_ip("netns", "del", namespace)


def rtp_frame(number: int, size: int = 214) -> bytes:
    """An Ethernet frame with RTP whose last bytes are its number."""
    payload = b"\x80\x08" + (number & 0xFFFF).to_bytes(2, "big") + bytes(size - 42 - 8) + number.to_bytes(4, "big")
    datagram = UDP(sport=40000, dport=50000, chksum=0) / Raw(payload)
    return bytes(HEAD_OF_ALL / datagram)


HEAD_OF_ALL = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(
    src="192.0.2.10", dst="198.51.100.20", chksum=0
)


def many_frames(count: int, size: int = 214) -> list[bytes]:
    """Like `rtp_frame`, made from one: scapy takes its time."""
    model = rtp_frame(0, size)
    return [model[:-4] + number.to_bytes(4, "big") for number in range(count)]


def read(ring: Ring, count: int) -> list[tuple[bytes, int]]:
    """`count` frames with their times, handed back to the kernel; the test fails when they do not come."""
    found: list[tuple[bytes, int]] = []
    until = time.monotonic() + PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < until, f"{len(found)} of {count} frames"
        if blocks := min(ring.ready(), 3):
            batch = ringblock.batch(ring.copy(blocks), 4)
            found += zip(frames_of(batch), batch.ts_ns.tolist(), strict=True)
            ring.release(blocks)
        else:
            select.select([ring], [], [], 1)
    return found


def in_order(some: list[bytes], sent: list[bytes]) -> list[bytes]:
    """These frames as they were sent, once each.

    Not just the first ones: the kernel now and then finds no room while it closes a block for its age, and counts that.
    """
    present = set(some)
    return [frame for frame in sent if frame in present]


def frames_of(batch: RecordBatch) -> list[bytes]:
    data = batch.buffer.tobytes()
    return [data[s : s + n] for s, n in zip(batch.start.tolist(), batch.captured.tolist(), strict=True)]


def wait_for(ring: Ring, blocks: int) -> None:
    until = time.monotonic() + PATIENCE_S
    while ring.ready() < blocks:
        assert time.monotonic() < until, f"{ring.ready()} of {blocks} blocks"
        time.sleep(0.002)


def wait_until_received(ring: Ring, count: int) -> None:
    until = time.monotonic() + PATIENCE_S
    while ring.statistics().packets < count:
        assert time.monotonic() < until, f"{ring.statistics().packets} of {count} frames"
        time.sleep(0.002)


def test_frames_come_out_as_they_were_sent(wire: Wire) -> None:
    """More than the ring holds, of sizes that fill blocks in every way."""
    frames = [rtp_frame(number, size) for number, size in enumerate([60, 214, 1514] * 40)] * 20
    with wire.open() as ring:
        before_ns = time.time_ns()
        found = []
        for low in range(0, len(frames), 600):
            wire.send(frames[low : low + 600])
            found += read(ring, len(frames[low : low + 600]))
        after_ns = time.time_ns()
        assert [frame for frame, _ in found] == frames
        times = [ts_ns for _, ts_ns in found]
        assert times == sorted(times)
        assert before_ns <= times[0] <= times[-1] <= after_ns
        assert ring.sequence > SMALL.blocks
        statistics = ring.statistics()
        assert (statistics.packets, statistics.drops) == (len(frames), 0)
        assert ring.statistics() == statistics


def test_tags_come_out(wire: Wire) -> None:
    inner = IP(src="192.0.2.10", dst="198.51.100.20") / UDP(sport=40000, dport=50000) / Raw(b"\x80\x08" + bytes(170))
    head = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    kinds = [
        head / inner,
        head / Dot1Q(vlan=100) / inner,
        head / Dot1Q(vlan=0, prio=5) / inner,
        head / Dot1Q(vlan=0) / inner,
        head / Dot1AD(vlan=200) / Dot1Q(vlan=100) / inner,
        head / Dot1Q(vlan=200) / Dot1Q(vlan=100) / Dot1Q(vlan=10) / inner,
    ]
    frames = [bytes(kind) for kind in kinds]
    frames.append(frames[5][:12] + b"\x91\x00" + frames[5][14:])
    with wire.open() as ring:
        wire.send(frames)
        assert [frame for frame, _ in read(ring, len(frames))] == frames


def test_only_telephony_reaches_the_ring(wire: Wire) -> None:
    wanted = [rtp_frame(1), bytes(HEAD_OF_ALL / UDP(sport=5060, dport=5060) / Raw(b"\r\n\r\n")), rtp_frame(2)]
    unwanted = [
        bytes(HEAD_OF_ALL / UDP(sport=40000, dport=53) / Raw(bytes(40))),
        bytes(HEAD_OF_ALL / TCP(sport=40000, dport=443)),
        bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP()),
    ]
    with wire.open() as ring:
        wire.send([*unwanted, wanted[0], *unwanted * 100, *wanted[1:]])
        assert [frame for frame, _ in read(ring, len(wanted))] == wanted
        assert ring.statistics().packets == len(wanted)


def test_nothing_gets_round_the_filter_while_the_ring_is_opened(wire: Wire) -> None:
    """On a busy wire, with a filter that lets nothing pass."""
    refuse_all = b"\x06\x00\x00\x00\x00\x00\x00\x00"
    code = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1]))\nwhile True: s.send(bytes(214))"
    command = [sys.executable, "-c", code, str(wire.sender.fileno())]
    with subprocess.Popen(command, pass_fds=[wire.sender.fileno()]) as busy:
        try:
            with wire.open(code=LET_ALL_PASS) as ring:
                wait_for(ring, 1)
            for _ in range(50):
                with wire.open(code=refuse_all) as ring:
                    assert ring.statistics().packets == 0
        finally:
            busy.kill()


def test_a_ring_is_given_to_whoever_keeps_it_before_the_first_packet(wire: Wire) -> None:
    """Whoever opened it may be killed at any instant: until it is kept there is nothing in it to lose."""
    kept: list[int] = []

    def keep(fileno: int) -> None:
        wire.send(many_frames(10))
        kept.append(os.dup(fileno))
        with pytest.raises(RingError, match=r"^mirror0: the ring to take over was never begun$"):
            Ring.adopt(os.dup(fileno), PORT, SMALL)

    with inside(wire.namespace), Ring.open(PORT, PROGRAM, SMALL, keep) as ring:
        assert ring.statistics().packets == 0
        wire.send(many_frames(20))
        wait_until_received(ring, 20)
    with Ring.adopt(kept[0], PORT, SMALL) as adopted:
        assert [frame for frame, _ in read(adopted, 20)] == many_frames(20)


def test_what_the_port_itself_sends_is_not_captured(wire: Wire) -> None:
    with inside(wire.namespace), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as own, wire.open() as ring:
        own.bind((PORT, 0))
        own.send(rtp_frame(1))
        wire.send([rtp_frame(2)])
        assert [frame for frame, _ in read(ring, 1)] == [rtp_frame(2)]
        assert ring.statistics().packets == 1


def test_a_port_is_promiscuous_as_long_as_its_ring_is_open(wire: Wire) -> None:
    def promiscuity() -> int:
        shown = subprocess.run(
            ["ip", "-n", wire.namespace, "-d", "link", "show", PORT], check=True, capture_output=True, text=True
        ).stdout.split()
        return int(shown[shown.index("promiscuity") + 1])

    with wire.open():
        assert promiscuity() == 1
    assert promiscuity() == 0


def test_drops_are_counted_and_what_is_in_the_ring_stays(wire: Wire) -> None:
    frames = many_frames(12_000)
    with wire.open() as ring:
        wire.send_all(frames, ring)
        first = ring.statistics()
        kept = first.packets - first.drops
        assert first.packets == len(frames)
        assert first.drops > 0
        assert first.freezes == 1
        found = [frame for frame, _ in read(ring, kept)]
        assert found == in_order(found, frames)
        wire.send(frames[:100])
        assert [frame for frame, _ in read(ring, 100)] == frames[:100]
        second = ring.statistics()
        assert (second.packets, second.drops, second.freezes) == (len(frames) + 100, first.drops, 1)


def test_a_block_holds_the_wire_until_it_is_handed_back(wire: Wire) -> None:
    """Writing into a copy changes nothing in the ring; the next copy is the same block."""
    frames = many_frames(50)
    with wire.open() as ring:
        wire.send(frames)
        wait_for(ring, 1)
        first = ring.copy(ring.ready())
        told = [frames_of(ringblock.batch(first, 0)), first.sequence]
        first.buffer[:] = 0xFF
        again = ring.copy(1)
        assert not again.buffer[-GUARD_BYTES:].any()
        assert [frames_of(ringblock.batch(again, 0)), again.sequence] == told
        assert told[1] == ring.sequence == 1


@pytest.mark.parametrize("frames_before", [0, 1, 3000, 10_000])
def test_a_ring_that_was_read_to_its_end_is_adopted(wire: Wire, frames_before: int) -> None:
    """Never used, used once, nearly full, wrapped round."""
    frames = many_frames(1500)
    with wire.open() as ring:
        for _ in range(frames_before // len(frames)):
            wire.send(frames)
            read(ring, len(frames))
        wire.send(frames[: frames_before % len(frames)])
        read(ring, frames_before % len(frames))
        sequence = ring.sequence
        keeper = os.dup(ring.fileno())
    with Ring.adopt(keeper, PORT, SMALL) as adopted:
        assert adopted.sequence == sequence
        wire.send(frames[:10])
        assert [frame for frame, _ in read(adopted, 10)] == frames[:10]


@pytest.mark.parametrize("handed_back", [0, 1, 7, SMALL.blocks])
@pytest.mark.parametrize("lap_frames", [0, 1500])
def test_a_full_ring_is_adopted(wire: Wire, handed_back: int, lap_frames: int) -> None:
    """The kernel waits for a block that is not handed back; when all are, none of them says that it comes next."""
    frames = many_frames(12_000)
    with wire.open() as ring:
        wire.send(frames[:lap_frames])
        read(ring, lap_frames)
        wire.send_all(frames, ring)
        statistics = ring.statistics()
        kept = statistics.packets - statistics.drops - lap_frames
        whole = frames_of(ringblock.batch(ring.copy(SMALL.blocks), 0))
        assert len(whole) == kept
        assert whole == in_order(whole, frames)
        done = len(ringblock.batch(ring.copy(handed_back), 0))
        ring.release(handed_back)
        sequence = ring.sequence
        adopted = Ring.adopt(os.dup(ring.fileno()), PORT, SMALL)
    with adopted:
        assert adopted.sequence == sequence
        # No more than one a block: the kernel closes a block whenever its time is up.
        more = frames[: min(handed_back, 5)]
        wire.send(more)
        expected = whole[done:] + more
        assert [frame for frame, _ in read(adopted, len(expected))] == expected


def test_readers_are_killed_and_nothing_is_lost(wire: Wire) -> None:
    """One reader after the other takes the ring over and is killed; a keeper holds the socket."""
    settings = RingSettings(ring_bytes=16 << 20, block_bytes=1 << 16, timeout_ms=10)
    frames = many_frames(24_000)
    with wire.open(settings) as ring:
        keeper = os.dup(ring.fileno())
    sending = threading.Thread(target=paced, args=(wire, frames))
    sending.start()
    told: dict[int, list[bytes]] = {}
    kills = 0
    try:
        until = time.monotonic() + 6 * PATIENCE_S
        while sum(map(len, told.values())) < len(frames):
            assert time.monotonic() < until, f"{sum(map(len, told.values()))} of {len(frames)} frames"
            killed = read_and_kill(keeper, settings, told, len(frames))
            kills += killed
    finally:
        sending.join()
        os.close(keeper)
    assert kills >= 4
    assert list(told) == list(range(1, len(told) + 1))
    assert [frame for block in told.values() for frame in block] == frames


def paced(wire: Wire, frames: list[bytes]) -> None:
    for low in range(0, len(frames), 400):
        wire.send(frames[low : low + 400])
        time.sleep(0.01)


def read_and_kill(keeper: int, settings: RingSettings, told: dict[int, list[bytes]], total: int) -> bool:
    """Let a reader run until it has told of some blocks, kill it, and take what it had told before it died.

    A block told twice, because its reader died before handing it back, must be the same both times.
    """
    command = [sys.executable, "-m", "tests.capture.ringreader", str(keeper), PORT]
    command += [str(settings.ring_bytes), str(settings.block_bytes)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, pass_fds=[keeper]) as reader:
        assert reader.stdout is not None
        output = bytearray()
        enough = int(np.random.default_rng(len(told)).integers(1, 1 << 20))
        while len(output) < enough:
            if not select.select([reader.stdout], [], [], 1)[0]:
                break
            piece = os.read(reader.stdout.fileno(), 1 << 16)
            assert piece, f"the reader ended by itself: {reader.wait()}"
            output += piece
        reader.kill()
        output += reader.stdout.read()
    for number, block in blocks_told(bytes(output)):
        assert told.setdefault(number, block) == block
    return sum(map(len, told.values())) < total


def blocks_told(output: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """The whole records in a reader's output; what the kill cut short does not count."""
    at = 0
    while at + HEAD.size <= len(output):
        number, count = HEAD.unpack_from(output, at)
        at += HEAD.size
        sizes = np.frombuffer(output[at : at + 4 * count].ljust(4 * count, b"\xff"), np.uint32).astype(np.int64)
        ends = at + 4 * count + np.cumsum(sizes)
        if count and ends[-1] > len(output):
            return
        yield number, [output[end - size : end] for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)]
        at = int(ends[-1]) if count else at


def test_an_interface_that_goes_down_is_told_and_comes_back(wire: Wire) -> None:
    frames = many_frames(10)
    with wire.open() as ring:
        wire.send(frames)
        wait_until_received(ring, len(frames))
        wire.ip("link", "set", PORT, "down")
        assert [frame for frame, _ in read(ring, 10)] == frames
        assert ring.take_error() == ENETDOWN
        assert ring.take_error() == 0
        wire.ip("link", "set", PORT, "up")
        until = time.monotonic() + PATIENCE_S
        while not ring.ready():  # the sender's side notices the carrier in its own time
            assert time.monotonic() < until
            wire.send(frames[:1])
            time.sleep(0.01)
        assert read(ring, 1)[0][0] == frames[0]


def test_the_ring_of_an_interface_that_is_gone_is_read_to_its_end(wire: Wire) -> None:
    frames = many_frames(500)
    with wire.open() as ring:
        wire.send(frames)
        wait_until_received(ring, len(frames))
        wire.ip("link", "del", PORT)
        keeper = os.dup(ring.fileno())
    with Ring.adopt(keeper, PORT, SMALL) as adopted:
        assert [frame for frame, _ in read(adopted, len(frames))] == frames
        assert adopted.take_error() == ENETDOWN


def test_what_cannot_be_opened_is_told(wire: Wire) -> None:
    with pytest.raises(RingError, match=r"^nothing0: there is no such interface$"):
        wire.open(interface="nothing0")
    with pytest.raises(RingError, match=r"^lo: not an Ethernet interface$"):
        wire.open(interface="lo")
    with pytest.raises(RingError, match=r"^mirror0: the kernel has no memory for a ring of this size$"):
        # The kernel's list of so many blocks is larger than any list it makes: it refuses before it looks for memory.
        wire.open(RingSettings(ring_bytes=4096 << 22, block_bytes=4096))
    with pytest.raises(ValueError, match="whole blocks"):
        RingSettings(ring_bytes=(1 << 20) + 1)


def test_without_the_right_it_says_so(wire: Wire) -> None:
    code = "from capture.ring import *; Ring.open('mirror0', b'', RingSettings())"
    command = ["ip", "netns", "exec", wire.namespace, "setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]
    command += [sys.executable, "-c", code]
    failed = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=PATIENCE_S, check=False)
    assert failed.stderr.endswith("RingError: mirror0: not permitted; capturing takes CAP_NET_RAW\n")


@pytest.mark.parametrize(
    ("ports", "ring_mib", "block_kib"),
    [(1, 256, 512), (2, 128, 256), (3, 64, 128), (4, 64, 128), (8, 32, 64), (9, 32, 64)],
)
def test_ports_share_the_memory_of_one_ring(ports: int, ring_mib: int, block_kib: int) -> None:
    """A quiet port's ring holds as long as ever, for it has as many blocks."""
    share = RingSettings().shared_among(ports)
    assert (share.ring_bytes, share.block_bytes) == (ring_mib << 20, block_kib << 10)
    assert share.blocks == RingSettings().blocks


def test_only_a_ring_of_the_port_is_adopted(wire: Wire) -> None:
    with wire.open() as ring:
        for settings in (
            RingSettings(ring_bytes=2 << 20, block_bytes=1 << 16),
            RingSettings(ring_bytes=1 << 20, block_bytes=1 << 17),
            RingSettings(ring_bytes=1 << 20, block_bytes=1 << 15),
        ):
            wire.send(many_frames(1000))
            wait_for(ring, 3)
            with pytest.raises(RingError, match=r"^mirror0: the ring to take over was opened with other settings$"):
                Ring.adopt(os.dup(ring.fileno()), PORT, settings)
        with pytest.raises(RingError, match=r"^mirror9: the ring to take over is that of mirror0$"):
            Ring.adopt(os.dup(ring.fileno()), "mirror9", SMALL)
    with pytest.raises(RingError, match=r"^mirror0: the socket to take over has no TPACKET_V3 ring$"):
        Ring.adopt(os.dup(wire.sender.fileno()), PORT, SMALL)
    here, there = socket.socketpair()
    with here, there, pytest.raises(RingError, match=r"^mirror0: the socket to take over is no packet socket$"):
        Ring.adopt(os.dup(here.fileno()), PORT, SMALL)
    with pytest.raises(RingError, match=r"^mirror0: Bad file descriptor$"):
        Ring.adopt(987, PORT, SMALL)
