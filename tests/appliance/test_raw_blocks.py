"""What capture could not read is kept as it was, and assembly tries again."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from appliance import clocks
from appliance.assembly.fold import Assembly
from appliance.assembly.publish import Publisher
from appliance.assembly.settings import AssemblySettings
from capture import kernelfilter
from capture.bootline import BootLine
from capture.events import EventKind
from capture.intake import Intake, Window
from capture.journal import Event, EventBlock, RawBlock
from capture.journalreader import JournalReader
from capture.journalstore import JournalStore
from capture.livejournal import LiveJournal
from capture.mirrorport import MirrorPort
from capture.records import RecordBatch
from capture.ring import RingSettings
from storage.archive import Archive
from storage.writer import ArchiveWriter
from tests.capture.private_network import in_private_network, veth
from tests.capture.ringblocks import block, packet
from tests.recorded_truth import differences
from tests.scenario import call
from tests.traffic.calls import play
from tests.traffic.pcapwriter import frames_of

SIP_PORTS = frozenset({5060})


def journal_must_not_be_read(_address: int, _target: memoryview) -> None:
    raise AssertionError("all packets were in raw blocks")


def end(ts_ns: int) -> EventBlock:
    event = Event(ts_ns=ts_ns, kind=EventKind.END_OF_INPUT, detail={})
    return EventBlock(first_ns=ts_ns, last_ns=ts_ns, events=(event,))


def test_a_call_in_raw_blocks_is_recorded(tmp_path: Path) -> None:
    played = play(call())
    frames = frames_of(played.packets)
    with ArchiveWriter(Archive(tmp_path)) as writer:
        settings = AssemblySettings()
        assembly = Assembly(settings, Publisher(settings=settings, writer=writer), journal_must_not_be_read)
        for share in (frames[n : n + 100] for n in range(0, len(frames), 100)):
            data = np.frombuffer(block([packet(each.octets, ts_ns=each.ts_ns) for each in share]), np.uint8)
            ts_ns = share[0].ts_ns
            assembly.step(RawBlock(first_ns=ts_ns, last_ns=ts_ns, interface=0, data=data))
        assembly.step(end(frames[-1].ts_ns + 1_000_000_000))
    assert assembly.state.counters.unread_blocks == 0
    assert differences(tmp_path, [played]) == []


def test_what_cannot_be_read_at_all_is_an_outage(tmp_path: Path) -> None:
    with ArchiveWriter(Archive(tmp_path)) as writer:
        settings = AssemblySettings()
        assembly = Assembly(settings, Publisher(settings=settings, writer=writer), journal_must_not_be_read)
        assembly.step(RawBlock(first_ns=5_000, last_ns=6_000, interface=0, data=np.full(4096, 0xA5, np.uint8)))
    assert assembly.state.counters.unread_blocks == 1
    (outage,) = assembly.state.outages.drops[0]
    assert outage[0] == 5_000 < outage[1]


class StumblingIntake(Intake):
    """Fails on every batch, after it has written into it."""

    def windows(self, batch: RecordBatch) -> Iterator[Window]:
        batch.buffer[batch.start[0] : batch.start[0] + 60] = 0
        raise IndexError("a bug")


@in_private_network
def test_what_capture_stumbles_over_is_journalled_as_the_kernel_wrote_it(tmp_path: Path) -> None:
    veth("span0", "switch0")
    program = kernelfilter.program(SIP_PORTS, tunnels=frozenset())
    port = MirrorPort(3, "span0", program, RingSettings(ring_bytes=4 << 20, timeout_ms=10))
    begun_ns = time.time_ns()
    port.open("span0", "ring")
    played = play(call(talk_s=2.0))
    frames = frames_of(played.packets)
    with JournalStore(tmp_path / "journal") as store, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind(("switch0", 0))
        for frame in frames:
            out.send(frame.octets)
        time.sleep(0.2)
        journal = LiveJournal([port], StumblingIntake(SIP_PORTS), store, BootLine(clocks.read))
        ready = True
        while ready:
            ready = journal.read()
            journal.write()
            assert journal.wait(10)
            assert journal.settle()
        journal.close()
        assert journal.counters.raw_blocks == journal.counters.blocks > 0
        assert port.unread() == 0
    port.close()
    found = []
    with JournalReader(tmp_path / "journal") as reader:
        while (item := reader.next()) is not None:
            if isinstance(item[1], RawBlock):
                assert item[1].interface == 3
                # The first block after a start, too: it has no packets before it to go by.
                assert begun_ns <= item[1].first_ns <= item[1].last_ns <= time.time_ns()
                found.append(item[1].data.tobytes())
    held = b"".join(found)
    assert all(frame.octets in held for frame in frames)
