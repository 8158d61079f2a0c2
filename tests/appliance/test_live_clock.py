"""A clock that is set while the capture daemon records: the journal's times go on, and it is told in time."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from appliance import clocks
from appliance.assembling import journalneeds
from appliance.assembling.journalneeds import Needs
from appliance.capturing.capturedaemon import CaptureDaemon
from appliance.capturing.settings import CaptureSettings
from capture import discipline
from capture.bootline import ClockReading
from capture.discipline import Discipline
from capture.events import EventKind
from capture.journal import Block, Event, EventBlock, MediaBlock
from capture.journalfile import OFFSET_BITS
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

    def __init__(self, *, boot_id: str = "this", real_ahead_ns: int = 0) -> None:
        self.ahead_ns = 0
        self.synchronised = False
        self._boot_id = boot_id
        self._real_ahead_ns = real_ahead_ns

    def read(self) -> ClockReading:
        reading = clocks.read()
        return ClockReading(reading.real_ns + self._real_ahead_ns, reading.boot_ns + self.ahead_ns, self._boot_id)

    def discipline(self) -> Discipline:
        return Discipline(synchronised=self.synchronised)


def blocks(journal: Path) -> list[Block]:
    found: list[Block] = []
    with JournalReader(journal) as reader:
        while (item := reader.next()) is not None:
            found.append(item[1])
    return found


def ticks(journal: Path) -> list[Event]:
    return [event for event in events(blocks(journal)) if event.kind == EventKind.TICK]


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
    with running(settings, machine):
        send_until(settings.journal, 0)
        time.sleep(1.0)  # the packets are in the journal: the step comes behind them
        before = media(settings.journal)
        machine.ahead_ns = HOUR_NS
        send_until(settings.journal, before)
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
def test_a_restart_of_capture_goes_on_with_the_line(tmp_path: Path) -> None:
    """The clock was set back an hour before the restart."""
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
    with running(settings, machine):
        send_until(settings.journal, 0)
        machine.synchronised = True
        machine.ahead_ns = HOUR_NS
        wait_until(lambda: EventKind.CLOCK_STEP in [event.kind for event in events(blocks(settings.journal))])
        send_until(settings.journal, media(settings.journal))
    before = media(settings.journal)
    last_ns = max(block.last_ns for block in blocks(settings.journal))
    with running(settings, machine):
        send_until(settings.journal, before)
    found = blocks(settings.journal)
    first, again = [event for event in events(found) if event.kind == EventKind.START]
    assert [discipline.told(event.detail) for event in (first, again)] == [
        Discipline(synchronised=False),
        Discipline(synchronised=True),
    ]
    told = [discipline.told(event.detail) for event in ticks(settings.journal)]
    assert told.index(Discipline(synchronised=True)) == told.count(Discipline(synchronised=False)) > 0
    assert again.detail["base_ns"] == first.detail["base_ns"]
    assert abs(int(first.detail["shift_ns"])) < NS
    assert abs(int(again.detail["shift_ns"]) + HOUR_NS) < NS
    assert last_ns - NS < again.ts_ns < last_ns + 60 * NS
    later = [block for block in found if isinstance(block, MediaBlock)][before:]
    assert all(again.ts_ns - NS < block.first_ns < again.ts_ns + 60 * NS for block in later)
    assert len([event for event in events(found) if event.kind == EventKind.CLOCK_STEP]) == 1


@contextmanager
def running(settings: CaptureSettings, machine: Clocks) -> Iterator[None]:
    """A capture that runs within the context."""
    woken, waking = socket.socketpair()
    daemon = CaptureDaemon(settings, machine.read, machine.discipline)
    thread = threading.Thread(target=daemon.run, args=(woken,))
    thread.start()
    try:
        yield
    finally:
        daemon.stop()
        waking.send(b"stop")
        thread.join()
        woken.close()
        waking.close()


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
    with running(settings, machine):
        first = settings.journal / "00000000.rkj"
        # What is told of the port's start lies before the step, and a tick behind it.
        wait_until(lambda: first.is_file() and len(ticks(settings.journal)) > 1)
        machine.ahead_ns = HOUR_NS
        wait_until(lambda: not first.exists())
    (kept,) = settings.journal.glob("*.rkj")
    assert kept != first


@in_private_network
def test_age_after_a_wrong_clock_takes_nothing_of_open_calls(tmp_path: Path) -> None:
    """The machine boots with a clock that is years ahead; a call that is to be recorded began before."""
    veth("s0", "p0")
    run = tmp_path / "run"
    run.mkdir()
    settings = CaptureSettings(
        interfaces=("s0",),
        journal=tmp_path / "journal",
        run=run,
        volume=tmp_path,
        sip_ports=frozenset((5060,)),
        ring=RingSettings(ring_bytes=16 << 20, timeout_ms=20),
    )
    numbers = [settings.journal / f"{number:08d}.rkj" for number in range(2)]
    for path in numbers:
        with running(settings, Clocks()):
            wait_until(lambda at=path: at.is_file() and at.stat().st_size > 0)  # type: ignore[misc]
    # The first file's time is nobody's any more, the second holds a call that goes on.
    journalneeds.write(run, Needs(needed=0, wanted=1 << OFFSET_BITS))
    wrong = Clocks(boot_id="another", real_ahead_ns=24 * 365 * HOUR_NS)
    with running(settings, wrong):
        wait_until(lambda: not numbers[0].exists())
        time.sleep(2.5)  # age is looked at each second
    assert numbers[1].exists()
