"""Fuzz target for everything between a capture file and assembly: damaged files cost what is damaged, and nothing
hangs.

The whole chain runs, from the file's bytes to what assembly sees: reader, intake, journal on disk, runs, packets in
sending order, and the signalling. Nothing but `CaptureError` may come out of it.
"""

import random
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture import journal
from capture.errors import CaptureError
from capture.intake import Intake, IntakeCounters
from capture.journal import MAX_SPAN_NS, MediaBlock, SignallingBlock
from capture.journalfile import TransientJournal
from capture.packets import read
from capture.pcapfile import CaptureReader
from capture.runs import INLINE, RunTable
from capture.sequence import put_in_order
from capture.signalling import Signalling
from tests.capture.batches import HERE, HERE_6, START_NS, THERE, THERE_6, rtp
from tests.capture.capturefiles import enhanced, interface, option, pcap_header, section
from tests.capture.sip_messages import invite
from tests.traffic.mirror import Tunnel, mirrored
from tests.traffic.pcapwriter import Address, Frame, FrameWriter, Link, Packet, Transport, Wire
from tests.traffic.rtcp import sender_report

EXAMPLES = 250
LIMIT_S = 10
WIRES = (
    Wire(),
    Wire(vlans=(5,)),
    Wire(vlans=(1, 2), pppoe_session=7),
    Wire(mtu=500, tcp_segment_bytes=200),
    Wire(link=Link.SLL),
    Wire(link=Link.RAW),
)
TUNNELS = (Tunnel.ERSPAN_2, Tunnel.TZSP)
NUMBERS = (0, 1, 0x0F, 0x45, 0x60, 0x7F, 0x80, 0xC8, 0xFF)
TIMES = (0, 1 << 31, 1 << 63, (1 << 64) - 1)


def small_traffic() -> list[Packet]:
    packets = []
    for number in range(12):
        ts_ns = START_NS + number * 20_000_000
        for here, there in ((HERE, THERE), (THERE, HERE), (HERE_6, THERE_6)):
            packets.append(
                Packet(ts_ns=ts_ns, source=here, destination=there, payload=rtp(65_530 + number, 160 * number))
            )
    report = sender_report(START_NS, 0x1234ABCD, 1, 2, 3)
    packets.append(Packet(ts_ns=START_NS, source=HERE, destination=THERE, payload=report))
    for here, there, transport in ((HERE, THERE, Transport.UDP), (THERE_6, HERE_6, Transport.TCP)):
        ends = Address(here.host, 5070), Address(there.host, 5060)
        message = invite("Subject: " + "x" * 700)
        packets.append(
            Packet(ts_ns=START_NS, source=ends[0], destination=ends[1], payload=message * 2, transport=transport)
        )
    return packets


def frames_by_wire() -> list[tuple[int, list[Frame]]]:
    """(link type, frames) of each way to wrap the same traffic."""
    frames = []
    for wire in WIRES:
        writer = FrameWriter(wire)
        frames.append((int(wire.link), [frame for packet in small_traffic() for frame in writer.frames(packet)]))
    plain = frames[0]
    return [*frames, *((plain[0], mirrored(plain[1], tunnel, wire=Wire(mtu=900))) for tunnel in TUNNELS)]


WRAPPED = frames_by_wire()
NANOSECONDS = option(9, b"\x09")


def capture_file(chance: random.Random) -> bytes:
    """A sound file: pcap of one wrapping, or pcapng of them all."""
    if chance.random() < 0.5:
        link, frames = chance.choice(WRAPPED)
        records = b"".join(
            (ns // 10**9).to_bytes(4, "little")
            + (ns % 10**9).to_bytes(4, "little")
            + len(octets).to_bytes(4, "little") * 2
            + octets
            for ns, octets in frames
        )
        return pcap_header(magic=0xA1B23C4D, link_type=link) + records
    content = section() + b"".join(interface(link_type=link, options=NANOSECONDS) for link, _ in WRAPPED)
    numbered = [(frame, number) for number, (_, frames) in enumerate(WRAPPED) for frame in frames]
    for frame, number in sorted(chance.sample(numbered, 120), key=lambda one: one[0].ts_ns):
        ticks = frame.ts_ns if chance.random() > 0.01 else chance.choice(TIMES)
        content += enhanced(frame.octets, ticks, number=number)
    return content


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Bytes changed, lengths blown up, pieces left out, repeated or moved; sometimes the end cut off."""
    data = bytearray(content)
    for _ in range(chance.choice((0, 1, 3, 20, 200))):
        place = chance.randrange(len(data))
        match chance.randrange(6):
            case 0 | 1:
                data[place] = chance.choice(NUMBERS)
            case 2:
                data[place] ^= 1 << chance.randrange(8)
            case 3:
                data[place : place + 4] = chance.choice(
                    (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\0\0", b"\0\0\x01\0")
                )
            case 4 if chance.random() < 0.1:
                del data[place : place + chance.randrange(1, 40)]
            case 5 if chance.random() < 0.1:
                data[place:place] = data[place : place + chance.randrange(1, 400)]
            case _:
                data[place] = chance.randrange(256)
    return bytes(data[: chance.randrange(len(data))] if chance.random() < 0.1 else data)


@contextmanager
def time_limit() -> Iterator[None]:
    """An endless loop fails the test instead of stopping the run."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def through_the_chain(path: Path, batch_bytes: int) -> tuple[IntakeCounters, Signalling, int]:
    """Counters of intake, the signalling, and how many RTP packets came out in order."""
    intake, runs, signals = Intake(frozenset((5060,))), RunTable(), Signalling()
    with TransientJournal(path.parent) as spool, CaptureReader(path, batch_bytes=batch_bytes) as reader:
        for batch in reader:
            for window in intake.windows(batch):
                assert window.last_ns - window.first_ns <= MAX_SPAN_NS
                if len(window.extents):
                    pieces = journal.serialize_media(window.first_ns, window.last_ns, window.extents, window.rows)
                    block = spool.block(spool.append(pieces))
                    assert isinstance(block, MediaBlock)
                    runs.register(block)
                if window.signalling is not None:
                    block = spool.block(spool.append(journal.serialize_signalling(window.signalling)))
                    assert isinstance(block, SignallingBlock)
                    for _ in signals.receive(block.frames):
                        for loose in signals.loose:
                            key = (loose.source, loose.destination, int.from_bytes(loose.payload[8:12], "big"))
                            runs.add_packet(key, loose.ts_ns, loose.payload)
                        signals.loose.clear()
        signals.finish(START_NS)
        return intake.counters, signals, in_order(runs, spool)


def in_order(runs: RunTable, spool: TransientJournal) -> int:
    def read_into(address: int, target: memoryview) -> None:
        (runs.read_inline if address >= INLINE else spool.read_into)(address, target)

    total = 0
    for run in runs.by_number.values():
        packets = read(run.extents(), read_into)
        assert packets.damaged == ()
        assert len(packets) + packets.invalid == run.rows
        assert (
            packets.payload_start + packets.payload_bytes <= [len(packets.datagram(i)) + 8 for i in range(len(packets))]
        ).all()
        ordered = put_in_order(packets.sequence, packets.rtp_time, packets.arrival_ns)
        assert len(ordered.index) + len(ordered.duplicate) == len(packets)
        total += len(packets)
    return total


@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 1 << 48), batch_bytes=st.sampled_from([4096, 20_000, 1 << 20]))
def test_a_damaged_file(seed, batch_bytes):
    chance = random.Random(seed)
    content = damaged(capture_file(chance), chance)
    with tempfile.TemporaryDirectory() as folder, time_limit():
        path = Path(folder) / "capture"
        path.write_bytes(content)
        try:
            counters, signals, packets = through_the_chain(path, batch_bytes)
        except CaptureError:
            return
    assert packets <= counters.media + counters.signalling
    assert signals.counters.sip <= 4 * counters.signalling
    kept = counters.media + counters.signalling
    left = counters.not_ip + counters.damaged + counters.other_udp + counters.other_tcp + counters.other_ip
    assert kept + left == counters.frames


@pytest.mark.parametrize("number", range(len(WRAPPED)))
@pytest.mark.parametrize("batch_bytes", [4096, 1 << 20])
def test_a_sound_file(tmp_path, number, batch_bytes):
    """The target itself: without damage everything comes out."""
    link, frames = WRAPPED[number]
    path = tmp_path / "capture"
    records = [
        np.array([ns // 10**9, ns % 10**9, len(octets), len(octets)], "<u4").tobytes() + octets for ns, octets in frames
    ]
    path.write_bytes(pcap_header(magic=0xA1B23C4D, link_type=link) + b"".join(records))
    counters, signals, packets = through_the_chain(path, batch_bytes)
    assert (counters.frames, counters.media, packets) == (len(frames), 36, 36)
    assert counters.damaged == counters.not_ip == counters.other_udp == counters.other_ip == 0
    assert (signals.counters.sip, signals.counters.rtcp) == (3, 1)
