"""Two ways from the mirror port to an archive, behind one interface: a context manager around the traffic.

`import`: tcpdump writes a capture, which is imported afterwards. `record`: the product records live. Both can watch the
same port at the same time, and must then find the same.
"""

import contextlib
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from tests.lab.network import SPAN_PORT, Network, Node

ROKUBOX = str(Path(sys.executable).with_name("rokubox"))
CAPTURE = "span.pcap"
"""tcpdump's file, beside the archives: also the measure for when packets arrived."""
_LIMIT_S = 30
_SETTLE_S = 0.3

Recorder = Callable[[Network, Path, int], AbstractContextManager[None]]
"""(network, archive, number of calls to come): when the context ends, the archive is complete."""


@contextlib.contextmanager
def dumped(network: Network, archive: Path, _calls: int) -> Iterator[None]:
    """Captures, then imports."""
    capture = archive.with_name(CAPTURE)
    arguments = ["-i", SPAN_PORT, "-w", str(capture), "-B", "32768", "-U", "-Z", "root"]
    command = network.within(Node.RECORDER, "tcpdump", *arguments, "--immediate-mode", "--time-stamp-precision=nano")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tcpdump:
        try:
            assert "listening on" in _first_line(tcpdump.stderr)
            yield
            time.sleep(_SETTLE_S)
        finally:
            tcpdump.send_signal(signal.SIGINT)
            told = tcpdump.communicate(timeout=_LIMIT_S)[1]
    assert "\n0 packets dropped by kernel" in told
    command = [ROKUBOX, "import", str(capture), "--output", str(archive), "--record", "all"]
    subprocess.run(command, check=True, capture_output=True, timeout=_LIMIT_S)


@contextlib.contextmanager
def recorded(network: Network, archive: Path, calls: int) -> Iterator[None]:
    """Records live, and stops once every call has its record."""
    config = archive.with_name("rokubox.toml")
    config.write_text(f'[[span]]\ninterface = "{SPAN_PORT}"\ntunnels = ["erspan", "vxlan"]\n')
    command = [ROKUBOX, "record", "--config", str(config), "--output", str(archive), "--record", "all"]
    with (
        archive.with_name("record.log").open("w") as log,
        subprocess.Popen(
            network.within(Node.RECORDER, *command), stdout=subprocess.PIPE, stderr=log, text=True
        ) as recorder,
    ):
        try:
            assert _first_line(recorder.stdout) == "ready\n", archive.with_name("record.log").read_text()
            yield
            _wait_for_records(archive, calls)
        finally:
            recorder.terminate()
            rest = recorder.communicate(timeout=_LIMIT_S)[0]
    assert (recorder.returncode, rest) == (0, ""), archive.with_name("record.log").read_text()


def _first_line(stream: IO[str] | None) -> str:
    """What a program says once it is ready; nothing when it keeps silent for too long."""
    assert stream is not None
    return stream.readline() if select.select([stream], [], [], _LIMIT_S)[0] else ""


def _wait_for_records(archive: Path, calls: int) -> None:
    """Not longer than would be reasonable: what is missing then, the comparison tells."""
    deadline = time.monotonic() + _LIMIT_S
    while len(list((archive / "calls").rglob("*.json"))) < calls and time.monotonic() < deadline:
        time.sleep(0.1)


RECORDERS: dict[str, Recorder] = {"import": dumped, "record": recorded}
