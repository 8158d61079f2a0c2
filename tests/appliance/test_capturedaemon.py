"""The capture daemon on a real mirror port, in a network namespace of its own."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from appliance.assembling import journalneeds
from appliance.assembling.journalneeds import Needs
from appliance.assembly.outages import Outages
from appliance.capturing.capturedaemon import CaptureDaemon
from appliance.capturing.settings import CaptureSettings
from capture import journalend, journallock
from capture.events import EventKind
from capture.journal import Block, Event, EventBlock, MediaBlock, serialize_events
from capture.journalfile import OFFSET_BITS
from capture.journalreader import JournalReader
from capture.journalstore import JournalStore
from capture.ring import RingSettings
from tests import journal_reading
from tests.capture.private_network import in_private_network, ip, veth
from tests.crash.calls import Plan
from tests.journal_reading import events
from tests.live import recording, wait_until

SECOND_NS = 1_000_000_000
_FRAMES = [octets for _, octets in Plan(lines=1, seed=1).call(0, 0).frames(0)]


@in_private_network
def test_what_was_missed_between_two_captures_is_an_outage(tmp_path: Path) -> None:
    """The end of the outage is told before the packets that came after it."""
    make_port()
    with traffic():
        record(tmp_path)
        record(tmp_path)
    outages, found = Outages(), blocks(tmp_path)
    _, again = starts(found)
    for block in found[:again]:
        outages.see(block.last_ns)
    block = found[again]
    assert isinstance(block, EventBlock)
    before_ns = outages.seen_ns
    for event in block.events:
        outages.note(event)
    ((low, high),) = outages.spans
    assert low == before_ns
    assert low < high


@in_private_network
def test_a_torn_tail_is_told(tmp_path: Path) -> None:
    make_port()
    with traffic():
        record(tmp_path)
        (path,) = (tmp_path / "journal").glob("*.rkj")
        with path.open("ab") as file:
            file.write(b"RKBJ and no more")
        record(tmp_path)
    told = [event for block in blocks(tmp_path) if isinstance(block, EventBlock) for event in block.events]
    (torn,) = [event.detail for event in told if event.kind == EventKind.TORN_TAIL]
    assert torn["bytes"] == len(b"RKBJ and no more")


@in_private_network
def test_a_start_does_not_pass_over_what_the_ring_still_holds(tmp_path: Path) -> None:
    """Assembly's time goes with the events: what a killed capture left is journalled before the start of the next."""
    make_port()
    archive = tmp_path / "archive"
    with traffic(), recording(archive, "--interface", "s0") as recorder:
        wait_until(lambda: any(isinstance(block, MediaBlock) for block in blocks(archive)))
        os.kill(recorder.pid("capture"), signal.SIGKILL)
        wait_until(lambda: len(starts(blocks(archive))) == 2)
        found = blocks(archive)
    _, again = starts(found)
    start = next(event for event in found[again].events if event.kind == EventKind.START)  # type: ignore[union-attr]
    assert start.detail["continued"] == 1
    assert not events(archive / "journal", EventKind.UNSYNCED)
    assert start.ts_ns < found[again - 1].last_ns


@in_private_network
def test_an_end_of_the_journal_that_the_disk_has_lost_is_told(tmp_path: Path) -> None:
    """While nobody recorded; the ring went on, and nothing else says that there was something before it."""
    make_port()
    archive = tmp_path / "archive"
    with traffic(), recording(archive, "--interface", "s0") as recorder:
        file = archive / "journal" / "00000000.rkj"
        wait_until(lambda: covered_ns(archive) > 3 * SECOND_NS)
        recorder.process.send_signal(signal.SIGSTOP)
        os.kill(recorder.pid("capture"), signal.SIGKILL)
        end_ns = max(block.last_ns for block in blocks(archive))
        left = cut_back(file, end_ns - 2 * SECOND_NS)
        recorder.process.send_signal(signal.SIGCONT)
        wait_until(lambda: bool(events(archive / "journal", EventKind.UNSYNCED)))
        (told,) = events(archive / "journal", EventKind.UNSYNCED)
    assert told.detail["since_ns"] == left
    assert left + SECOND_NS < int(told.detail["until_ns"]) < end_ns + SECOND_NS


@in_private_network
def test_age_is_for_what_was_read_and_nobody_wants(tmp_path: Path) -> None:
    make_port()
    with JournalStore(tmp_path / "journal") as store:
        store.append(serialize_events([Event(ts_ns=5, kind="tick", detail={})]))
    (old,) = (tmp_path / "journal").glob("*.rkj")
    three_days_ago = time.time() - 3 * 24 * 3600
    os.utime(old, (three_days_ago, three_days_ago))
    (tmp_path / "run").mkdir()
    with traffic():
        record(tmp_path)
        assert old.exists(), "nobody has read it yet"
        journalneeds.write(tmp_path / "run", Needs(needed=0, wanted=0))
        os.utime(old, (three_days_ago, three_days_ago))
        record(tmp_path)
        assert old.exists(), "a recording is going to be made of it"
        journalneeds.write(tmp_path / "run", Needs(needed=0, wanted=1 << OFFSET_BITS))
        record(tmp_path)
        assert not old.exists(), "only for what no rule wants"


@in_private_network
def test_what_is_set_aside_is_told(tmp_path: Path) -> None:
    make_port()
    (tmp_path / "quarantine").mkdir()
    for name in (f"{5:016x}.rkj", f"{'ab' * 32}-77.rkj", "notes.txt", ".0000000000000006.tmp"):
        (tmp_path / "quarantine" / name).touch()
    with traffic():
        record(tmp_path)
    told = [event for block in blocks(tmp_path) if isinstance(block, EventBlock) for event in block.events]
    details = [event.detail for event in told if event.kind == EventKind.QUARANTINE]
    assert details == [{"block": f"{5:016x}"}, {"call": "ab" * 32}]


@in_private_network
def test_a_ring_that_nobody_has_told_of_is_told_of_by_the_next_capture(tmp_path: Path) -> None:
    """Killed after it opened the ring, before its start was written: the gap before that is nobody else's to tell."""
    make_port()
    archive = tmp_path / "archive"
    archive.mkdir()
    with traffic():
        record(archive)
    before_ns = max(block.last_ns for block in blocks(archive))
    journal_lock = journallock.take(archive / "journal", 0)
    with traffic(), ThreadPoolExecutor(1) as beside:
        killed = beside.submit(kill_and_unlock, archive, journal_lock)
        with recording(archive, "--interface", "s0") as recorder:
            killed_ns = killed.result()
            wait_until(lambda: len(starts(blocks(archive))) == 2)
            wait_until(
                lambda: any(isinstance(block, MediaBlock) for block in blocks(archive)[starts(blocks(archive))[1] :])
            )
            found = blocks(archive)
            after_ns = min(
                block.first_ns for block in found if isinstance(block, MediaBlock) and block.first_ns > before_ns
            )
            wait_until(lambda: not untold(recorder.pid("keeper")))
            os.kill(recorder.pid("capture"), signal.SIGKILL)
            wait_until(lambda: len(starts(blocks(archive))) == 3)
            found = blocks(archive)
    _, told, again = (
        next(event for event in found[at].events if event.kind == EventKind.START)  # type: ignore[union-attr]
        for at in starts(found)
    )
    assert (told.detail["continued"], again.detail["continued"]) == (0, 1)
    assert before_ns < told.ts_ns <= after_ns < killed_ns


@in_private_network
def test_a_port_whose_new_ring_nobody_has_told_of_was_deaf_before_it(tmp_path: Path) -> None:
    """Beside a port that went on: the first capture that has both is killed before it says so."""
    make_port()
    archive = tmp_path / "archive"
    with recording(archive, "--interface", "s0", "--interface", "s1") as recorder:
        keeper, first = recorder.pid("keeper"), recorder.pid("capture")
        wait_until(lambda: bool(events(archive / "journal", EventKind.TICK)))  # its own ring is told of, for certain
        recorder.process.send_signal(signal.SIGSTOP)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
        journal_lock = journallock.take(archive / "journal", 1)
        veth("s1", "p1")
        recorder.process.send_signal(signal.SIGCONT)
        wait_until(lambda: any("-ring-s1-" in mark for mark in untold(keeper)))
        second = recorder.pid("capture")
        wait_until(lambda: waits_for_journal(second))
        second_ns = time.time_ns()
        os.kill(second, signal.SIGKILL)
        os.close(journal_lock)
        wait_until(lambda: len(starts(blocks(archive))) == 2)
        told = events(archive / "journal", EventKind.INTERFACE)
    of_third = [each.detail for each in told if each.ts_ns > second_ns and each.detail["change"] in ("missed", "start")]
    assert [(each["interface"], each["change"]) for each in of_third] == [(0, "start"), (1, "missed"), (1, "start")]
    assert int(of_third[1]["at_ns"]) < int(of_third[2]["at_ns"]) < second_ns


def kill_and_unlock(archive: Path, journal_lock: int) -> int:
    """Kill the capture that waits for the journal with its ring, and let the next one have it; when that was, in real
    time."""
    run = archive / "run"
    try:
        wait_until(lambda: (run / "keeper.pid").exists())
        keeper = int((run / "keeper.pid").read_text())
        wait_until(lambda: bool(untold(keeper)))
        capture = int((run / "capture.pid").read_text())
        wait_until(lambda: waits_for_journal(capture))
        killed_ns = time.time_ns()
        os.kill(capture, signal.SIGKILL)
    finally:
        os.close(journal_lock)
    return killed_ns


def untold(keeper: int) -> list[str]:
    """The marks that the keeper holds, of rings that nothing tells of."""
    return [link for link in held_files(keeper) if "untold" in link]


def waits_for_journal(capture: int) -> bool:
    """Whether a capture asks for the journal's lock: it has its rings by then."""
    return any(link.endswith("/journal/lock") for link in held_files(capture))


def held_files(pid: int) -> list[str]:
    """What a process has open, which it may close meanwhile."""
    links = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(os.readlink(path))
    return links


def starts(found: list[Block]) -> list[int]:
    """Which blocks tell of a start."""
    return [
        number
        for number, block in enumerate(found)
        if isinstance(block, EventBlock) and any(event.kind == EventKind.START for event in block.events)
    ]


def covered_ns(archive: Path) -> int:
    """How much time the journal covers."""
    times = [(block.first_ns, block.last_ns) for block in blocks(archive)] or [(0, 0)]
    return max(last for _, last in times) - min(first for first, _ in times)


def cut_back(file: Path, until_ns: int) -> int:
    """Take away all blocks from the first on that ends later; return the latest time that is left."""
    with JournalReader(file.parent) as reader:
        found = []
        while (item := reader.next()) is not None:
            found.append((item[0], item[1].last_ns))
    first = next(number for number, (_, last_ns) in enumerate(found) if last_ns > until_ns)
    with file.open("r+b") as journal_file:
        journal_file.truncate(found[first][0])
    return journalend.read(file.parent).last_ns


def make_port() -> None:
    veth("s0", "p0")
    for port in ("s0", "p0"):
        ip(f"link set dev {port} arp off up")


@contextmanager
def traffic() -> Iterator[None]:
    """Packets of a call again and again, as fast as makes no difference."""
    ended = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
            wire.bind(("p0", 0))
            while not ended.wait(0.01):
                for octets in _FRAMES[:50]:
                    wire.send(octets)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def record(archive: Path) -> None:
    """One capture, from its start until packets are in its journal file."""
    settings = CaptureSettings(
        interfaces=("s0",),
        journal=archive / "journal",
        run=archive / "run",
        volume=archive,
        quarantine=archive / "quarantine",
        sip_ports=frozenset((5060,)),
        ring=RingSettings(ring_bytes=16 << 20, timeout_ms=20),
    )
    known = sum(isinstance(block, MediaBlock) for block in blocks(archive))
    woken, waking = socket.socketpair()
    daemon = CaptureDaemon(settings)
    thread = threading.Thread(target=daemon.run, args=(woken,))
    thread.start()
    try:
        wait_until(lambda: sum(isinstance(block, MediaBlock) for block in blocks(archive)) > known)
    finally:
        daemon.stop()
        waking.send(b"stop")
        thread.join()
        for end in (woken, waking):
            end.close()


def blocks(archive: Path) -> list[Block]:
    """All that is in the journal."""
    return journal_reading.blocks(archive / "journal")
