"""A clock that is set while the capture daemon records: the journal's times go on, and it is told in time."""

import socket
import threading
import time
from itertools import pairwise
from pathlib import Path

from appliance import clocks, journalneeds
from appliance.capturedaemon import CaptureDaemon, CaptureSettings
from appliance.journalneeds import Needs
from capture.bootline import ClockReading
from capture.events import EventKind
from capture.journal import Block, Event, EventBlock, MediaBlock
from capture.journalreader import JournalReader
from capture.ring import RingSettings
from tests.capture.private_network import in_private_network, ip, veth
from tests.crash.calls import Plan
from tests.live import wait_until

NS = 1_000_000_000
HOUR_NS = 3600 * NS
_FRAMES = [octets for _, octets in Plan(lines=1, seed=1).call(0, 0).frames(0)][:50]
_PATIENCE_S = 10


class Clocks:
    """The machine's clocks; boot time can be put forward, as if real time had been set back an hour later."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def read(self) -> ClockReading:
        reading = clocks.read()
        return ClockReading(reading.real_ns, reading.boot_ns + self.ahead_ns)


def blocks(journal: Path) -> list[Block]:
    found: list[Block] = []
    with JournalReader(journal) as reader:
        while (item := reader.next()) is not None:
            found.append(item[1])
    return found


def media(journal: Path) -> int:
    return sum(isinstance(block, MediaBlock) for block in blocks(journal))


def send_until(journal: Path, more_than: int) -> None:
    """Send packets, and again, until the journal has taken some in."""
    deadline = time.monotonic() + _PATIENCE_S
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        wire.bind(("p0", 0))
        while media(journal) <= more_than and time.monotonic() < deadline:
            for octets in _FRAMES:
                wire.send(octets)
            time.sleep(0.2)


def events(found: list[Block]) -> list[Event]:
    return [event for block in found if isinstance(block, EventBlock) for event in block.events]


@in_private_network
def test_the_journal_goes_on_in_boot_time(tmp_path: Path) -> None:
    veth("s0", "p0")
    for port in ("s0", "p0"):
        ip(f"link set dev {port} arp off up")
    settings = CaptureSettings(
        interfaces=("s0",),
        journal=tmp_path / "journal",
        run=tmp_path / "run",
        volume=tmp_path,
        sip_ports=frozenset((5060,)),
        ring=RingSettings(ring_bytes=16 << 20, timeout_ms=20),
    )
    machine = Clocks()
    woken, waking = socket.socketpair()
    daemon = CaptureDaemon(settings, machine.read)
    thread = threading.Thread(target=daemon.run, args=(woken,))
    thread.start()
    try:
        send_until(settings.journal, 0)
        time.sleep(1.0)  # the packets are in the journal: the step comes behind them
        before = media(settings.journal)
        machine.ahead_ns = HOUR_NS
        send_until(settings.journal, before)
    finally:
        daemon.stop()
        waking.send(b"stop")
        thread.join()
        woken.close()
        waking.close()
    found = blocks(settings.journal)
    traffic = [n for n, block in enumerate(found) if isinstance(block, MediaBlock)]
    leaps = [later for earlier, later in pairwise(traffic) if found[later].first_ns - found[earlier].last_ns > NS * 60]
    (leap,) = leaps
    place = next(n for n, block in enumerate(found) if EventKind.CLOCK_STEP in [e.kind for e in events([block])])
    assert place < leap
    (step,) = [event for event in events(found) if event.kind == EventKind.CLOCK_STEP]
    assert abs(int(step.detail["step_ns"]) + HOUR_NS) < NS
    # All that is told from then on has its time on the same line.
    told = [*events(found[place + 1 :]), step]
    times = [int(event.detail.get("at_ns", event.ts_ns)) for event in told]
    assert EventKind.STOP in [event.kind for event in told]
    assert all(abs(ns - found[leap].first_ns) < HOUR_NS // 2 for ns in times)


@in_private_network
def test_a_quiet_journal_is_forgotten_by_age(tmp_path: Path) -> None:
    """All was read and nobody wants it: age takes the oldest, and a new file begins with time alone."""
    veth("s0", "p0")
    (tmp_path / "run").mkdir()
    journalneeds.write(tmp_path / "run", Needs(needed=0, wanted=1 << 60))
    settings = CaptureSettings(
        interfaces=("s0",),
        journal=tmp_path / "journal",
        run=tmp_path / "run",
        volume=tmp_path,
        sip_ports=frozenset((5060,)),
        ring=RingSettings(ring_bytes=16 << 20, timeout_ms=20),
        journal_max_age_s=1800,
    )
    machine = Clocks()
    woken, waking = socket.socketpair()
    daemon = CaptureDaemon(settings, machine.read)
    thread = threading.Thread(target=daemon.run, args=(woken,))
    thread.start()
    try:
        first = settings.journal / "00000000.rkj"
        wait_until(lambda: first.is_file() and first.stat().st_size > 0)
        machine.ahead_ns = HOUR_NS
        wait_until(lambda: not first.exists())
    finally:
        daemon.stop()
        waking.send(b"stop")
        thread.join()
        woken.close()
        waking.close()
    (kept,) = settings.journal.glob("*.rkj")
    assert kept != first
