"""Capture while its disk answers nothing: a file system that is frozen lets every write to it wait."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.capturing.capturedaemon import CaptureDaemon
from appliance.capturing.settings import CaptureSettings
from capture.events import Counted, EventKind
from capture.journal import MediaBlock
from capture.ring import RingSettings
from tests.appliance.supervised import REPOSITORY, SUPERVISOR
from tests.capture.private_network import in_private_network, ip, veth
from tests.crash.calls import Plan
from tests.journal_reading import blocks, events
from tests.live import wait_until

_FRAMES = [octets for _, octets in Plan(lines=1, seed=1).call(0, 0).frames(0) if len(octets) == 214]
"""Speech alone: each is a row of the journal."""
_MIB = 1 << 20


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def disk(tmp_path: Path, mounted_at: Path) -> None:
    """A small disk of its own; it goes with the test's mount namespace."""
    if shutil.which("mkfs.ext4") is None or shutil.which("fsfreeze") is None:
        pytest.skip("a disk that stalls takes mkfs.ext4 and fsfreeze")
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 * _MIB)
    run("mkfs.ext4", "-q", "-F", image)
    mounted_at.mkdir(parents=True)
    if subprocess.run(["mount", "-o", "loop", image, mounted_at], check=False).returncode:
        pytest.skip("no loop devices here")


@contextmanager
def frozen(mounted_at: Path) -> Iterator[None]:
    run("fsfreeze", "-f", mounted_at)
    try:
        yield
    finally:
        run("fsfreeze", "-u", mounted_at)


def make_port() -> None:
    veth("s0", "p0")
    Path("/proc/sys/net/ipv6/conf/p0/disable_ipv6").write_text("1")  # its own packets may pass the filter
    for port in ("s0", "p0"):
        ip(f"link set dev {port} arp off up")


def send(count: int) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        wire.bind(("p0", 0))
        for number in range(count):
            wire.send(_FRAMES[number % 50])


def rows(journal: Path) -> int:
    return sum(int(b.extents["rows"].sum()) for b in blocks(journal) if isinstance(b, MediaBlock))


def ticks(journal: Path) -> int:
    return len(events(journal, EventKind.TICK))


@in_private_network
def test_capture_is_not_taken_for_hung(tmp_path: Path) -> None:
    make_port()
    archive = tmp_path / "archive"
    journal = archive / "journal"
    disk(tmp_path, journal)
    argv = [sys.executable, "-P", "-m", "appliance.daemons", "capture", "--archive", str(archive), "--interface", "s0"]
    patience = {"watchdog_s": 3, "abort_s": 1, "stop_s": 10}
    argument = {"children": [["capture", argv, 1]], "run": str(archive / "run"), "patience": patience}
    with (tmp_path / "log").open("w") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, json.dumps(argument)],
            stdout=subprocess.DEVNULL,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
    try:
        wait_until(lambda: journal.is_dir() and ticks(journal) > 3)
        before = (archive / "run" / "capture.pid").read_text()
        with frozen(journal):
            send(100)
            time.sleep(5)  # longer than the watchdog and the time to say where it hangs
        seen = ticks(journal)
        wait_until(lambda: ticks(journal) > seen + 2)
        assert (archive / "run" / "capture.pid").read_text() == before
        wait_until(lambda: rows(journal) > 0)
    finally:
        supervisor.terminate()
        supervisor.wait(30)
    assert "watchdog" not in (tmp_path / "log").read_text()


@in_private_network
def test_what_finds_no_room_meanwhile_is_counted_and_ports_are_seen_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_port()
    journal = tmp_path / "archive" / "journal"
    disk(tmp_path, journal)
    settings = CaptureSettings(
        interfaces=("s0",),
        journal=journal,
        run=tmp_path,
        volume=tmp_path,
        sip_ports=frozenset((5060,)),
        ring=RingSettings(ring_bytes=4 * _MIB, timeout_ms=20),
    )
    with running(settings):
        wait_until(lambda: ticks(journal) > 2)
        with frozen(journal):
            time.sleep(1.5)  # what was read before is with the disk now
            send(60_000)
            ip("link set dev p0 down")
            time.sleep(1)
            ip("link set dev p0 up")
            time.sleep(0.5)
        seen = ticks(journal)
        wait_until(lambda: ticks(journal) > seen + 4)
    counted = [event.detail for event in events(journal, EventKind.COUNTERS)]
    drops = sum(int(detail[Counted.DROPS]) for detail in counted)
    assert drops > 0
    told = capsys.readouterr().err
    assert told.count("alarm: s0: no room in the ring or the adapter, packets are lost (capture loss)\n") == 1
    assert f"s0: no packets are lost any more, {drops} were\n" in told
    assert rows(journal) + drops == 60_000
    assert sum(int(detail[Counted.PACKETS]) for detail in counted) >= 60_000
    port = [(event.detail["change"], event.detail["up"]) for event in events(journal, EventKind.INTERFACE)]
    assert port[-2:] == [("down", 0), ("up", 1)]


@contextmanager
def running(settings: CaptureSettings) -> Iterator[None]:
    """A capture in a thread."""
    woken, waking = socket.socketpair()
    daemon = CaptureDaemon(settings)
    thread = threading.Thread(target=daemon.run, args=(woken,))
    thread.start()
    try:
        yield
    finally:
        daemon.stop()
        with contextlib.suppress(OSError):
            waking.send(b"stop")
        thread.join()
        woken.close()
        waking.close()
