"""Programs at the mirror port while traffic comes: `rokubox record`, tcpdump, and the sender."""

import contextlib
import json
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.bench.bench_import import NotMeasurable, rokubox
from tests.bench.live.plan import Plan
from tests.bench.live.probe import cpu_s
from tests.bench.live.span import SENDER_PORT, SPAN_PORT, Span

SUPERVISOR = "record"
"""Name of the supervisor's pid file; its children's are their own."""
_START_S = 60.0
STOP_S = 120.0


@contextlib.contextmanager
def recording(span: Span, archive: Path) -> Iterator[Mapping[str, int]]:
    """Record all calls into an archive; yields the process numbers by name."""
    log = archive.with_suffix(".log")
    command = [*rokubox(), "record", "--interface", SPAN_PORT, "--output", str(archive), "--record", "all"]
    with (
        log.open("w") as told,
        subprocess.Popen(span.within(command), stdout=subprocess.PIPE, stderr=told, text=True) as process,
    ):
        try:
            if _first_line(process.stdout) != "ready\n":
                raise NotMeasurable(f"the recorder did not start: {log.read_text()[-2000:]}")
            yield pids(archive / "run")
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                # The second request ends it at once: what it left undone does not matter any more.
                process.terminate()
                process.wait(_START_S)


def pids(run: Path) -> dict[str, int]:
    """All processes of a recorder by name: none may be left out of what it costs."""
    return {path.stem.replace(SUPERVISOR, "supervisor"): int(path.read_text()) for path in sorted(run.glob("*.pid"))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the sender says it did."""

    frames: int
    latest_s: float
    """How far behind its time it was at worst."""
    cpu_s: float
    bye_ns: Mapping[int, int]
    """Per call, when its BYE was sent."""


class Sending:
    """The sender, ready to begin."""

    def __init__(self, span: Span, plan: Plan, folder: Path) -> None:
        self._log = folder / "sent.json"
        self._log.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.bench.live.sender", "--interface", SENDER_PORT, "--log", str(self._log)]
        command += ["--lines", str(plan.lines), "--seconds", str(plan.seconds), "--talk", str(plan.talk_s)]
        self._process = subprocess.Popen(
            span.within(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_until_ready(self) -> None:
        if _first_line(self._process.stdout) != "ready\n":
            self._process.kill()
            raise NotMeasurable(f"the sender did not start: {self._process.communicate()[1][-2000:]}")

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def sent(self) -> Sent:
        """Its account, once it has ended."""
        _, told = self._process.communicate()
        if self._process.returncode:
            raise NotMeasurable(f"the sender failed: {told[-2000:]}")
        account = json.loads(self._log.read_bytes())
        return Sent(
            frames=account["frames"],
            latest_s=account["latest_s"],
            cpu_s=account["cpu_s"],
            bye_ns={int(call): ns for call, ns in account["bye_ns"].items()},
        )

    def close(self) -> None:
        """End it, if it has not."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.communicate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dumped:
    """What tcpdump did in its interval."""

    packets: int
    dropped: int
    cpu_s: float


class Tcpdump:
    """The reference: the same port at the same time into a plain file, with as much buffer as our ring has."""

    def __init__(self, span: Span, folder: Path) -> None:
        self._file = folder / "reference.pcap"
        command = ["tcpdump", "-i", SPAN_PORT, "-w", str(self._file), "-B", "262144", "-Z", "root"]
        # Not through `ip netns exec`, which becomes tcpdump: its process number is then tcpdump's own.
        self._process = subprocess.Popen(span.within(command), stderr=subprocess.PIPE, text=True)
        if "listening on" not in _first_line(self._process.stderr):
            self._process.kill()
            raise NotMeasurable(f"tcpdump did not start: {self._process.communicate()[1]}")

    def stop(self) -> Dumped:
        used_s = cpu_s(self._process.pid)
        self._process.send_signal(signal.SIGINT)
        _, told = self._process.communicate(timeout=_START_S)
        self._file.unlink()
        received, dropped = (
            int(found[1]) if (found := re.search(pattern, told)) else 0
            for pattern in (r"(\d+) packets captured", r"(\d+) packets dropped by kernel")
        )
        if not received:
            raise NotMeasurable(f"tcpdump captured nothing: {told}")
        return Dumped(packets=received, dropped=dropped, cpu_s=used_s)

    def close(self) -> None:
        """End it, if it has not."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.communicate()


def _first_line(stream: IO[str] | None) -> str:
    """What a program says once it is ready; nothing when it keeps silent for too long."""
    assert stream is not None
    return stream.readline() if select.select([stream], [], [], _START_S)[0] else ""
