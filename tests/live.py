"""`rokubox record` in a test's private network: started, fed with generated calls in real time, stopped."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.archive_reading import call_records
from tests.traffic.pcapwriter import Frame, Packet, frames_of

ROKUBOX = Path(sys.executable).with_name("rokubox")
_LIMIT_S = 40


class Recorder:
    """A running `rokubox record`."""

    def __init__(self, process: "subprocess.Popen[str]", archive: Path, log: Path) -> None:
        self.process = process
        self.archive = archive
        self.log = log

    def pid(self, name: str) -> int:
        """Process number of a child."""
        return int((self.archive / "run" / f"{name}.pid").read_text())

    def wait_for_records(self, count: int) -> None:
        """Until so many calls are accounted for; not longer than would be reasonable."""
        wait_until(lambda: len(call_records(self.archive)) >= count)

    def stop(self) -> int:
        """End it as a service manager would."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=_LIMIT_S)
        return self.process.returncode


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; an AssertionError when it never is."""
    deadline = time.monotonic() + _LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@contextmanager
def recording(archive: Path, *arguments: str) -> Iterator[Recorder]:
    """Record into `archive` with these arguments; ready when the context is entered, killed when it is left."""
    log = archive.with_name(f"{archive.name}.log")
    with log.open("a") as told:
        process = subprocess.Popen(
            [ROKUBOX, "record", "--output", archive, *arguments], stdout=subprocess.PIPE, stderr=told, text=True
        )
    assert process.stdout is not None
    recorder = Recorder(process, archive, log)
    try:
        assert process.stdout.readline() == "ready\n", log.read_text()
        yield recorder
    finally:
        if process.poll() is None:
            recorder.stop()
        process.stdout.close()


@contextmanager
def sending(interface: str, packets: Iterable[Packet | Frame]) -> Iterator[threading.Thread]:
    """Send packets from an interface in their own time, while the context's body runs; waits for the last one."""
    every = list(packets)
    frames = [each for each in every if isinstance(each, Frame)]
    frames += frames_of(each for each in every if isinstance(each, Packet))
    frames.sort(key=lambda frame: frame.ts_ns)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind((interface, 0))
        thread = threading.Thread(target=_send, args=(out, interface, frames))
        thread.start()
        try:
            yield thread
        finally:
            thread.join()


def _send(out: socket.socket, interface: str, frames: Sequence[Frame]) -> None:
    begun_ns, first_ns = time.monotonic_ns(), frames[0].ts_ns
    for frame in frames:
        ahead_ns = (frame.ts_ns - first_ns) - (time.monotonic_ns() - begun_ns)
        if ahead_ns > 0:
            time.sleep(ahead_ns / 1e9)
        try:
            out.send(frame.octets)
        except OSError:  # the cable is out; another one may be in by now
            with suppress(OSError):
                out.bind((interface, 0))
