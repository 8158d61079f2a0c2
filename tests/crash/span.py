"""A network namespace with a mirror port `s0` and the switch's end of its cable `p0`; and the sender of calls in it."""

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.crash.calls import Call, Plan

MIRROR_PORT, SWITCH_PORT = "s0", "p0"
_REPOSITORY = Path(__file__).parents[2]
_LIMIT_S = 60


def why_not() -> str:
    """What keeps a namespace from being made here; empty when nothing does."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "network namespaces are made by root with iproute2"
    try:
        with span():
            return ""
    except subprocess.CalledProcessError as error:
        return f"network namespaces can not be made here: {error.stderr.strip()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The namespace, while it stands."""

    name: str

    def within(self, *command: str) -> list[str]:
        """The command line that runs `command` there."""
        return ["ip", "netns", "exec", self.name, *command]

    def processes(self) -> list[int]:
        """All that live there."""
        return [int(pid) for pid in _run("ip", "netns", "pids", self.name).split()]

    def received(self) -> int:
        """Frames that came to the mirror port so far."""
        (port,) = json.loads(_run("ip", "-n", self.name, "-json", "-s", "link", "show", MIRROR_PORT))
        return int(port["stats64"]["rx"]["packets"])

    def sent(self) -> int:
        """Frames that the mirror port has sent so far."""
        (port,) = json.loads(_run("ip", "-n", self.name, "-json", "-s", "link", "show", MIRROR_PORT))
        return int(port["stats64"]["tx"]["packets"])


@contextlib.contextmanager
def span() -> Iterator[Span]:
    """Makes the namespace, and takes it down whatever happens, with every process still running in it."""
    made = Span(name=f"crash{secrets.token_hex(3)}")
    _run("ip", "netns", "add", made.name)
    try:
        _run("ip", "-n", made.name, "link", "add", MIRROR_PORT, "type", "veth", "peer", "name", SWITCH_PORT)
        for port in (MIRROR_PORT, SWITCH_PORT):
            _run(*made.within("sysctl", "-qw", f"net.ipv6.conf.{port}.disable_ipv6=1"))
            _run("ip", "-n", made.name, "link", "set", port, "arp", "off", "up")
        yield made
    finally:
        for pid in made.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _run("ip", "netns", "delete", made.name)


class Sender:
    """The calls of a plan, sent by a process of its own. A context; nothing is sent after it."""

    def __init__(self, where: Span, plan: Plan, folder: Path, limit_s: float = 3600.0) -> None:
        self.plan = plan
        self._log = folder / "sent.json"
        options = ["--lines", str(plan.lines), "--seed", str(plan.seed), "--limit", str(limit_s)]
        options += ["--shortest", str(plan.shortest_s), "--longest", str(plan.longest_s)]
        options += [] if plan.rounds is None else ["--rounds", str(plan.rounds)]
        command = [sys.executable, "-m", "tests.crash.sender", SWITCH_PORT, str(self._log), *options]
        self._process = subprocess.Popen(where.within(*command), cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True)

    def begin(self) -> None:
        """Waits until it sends."""
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], _LIMIT_S)
        assert readable, "the sender does not begin"
        assert self._process.stdout.readline() == "ready\n"

    @property
    def is_over(self) -> bool:
        """Whether all is sent."""
        return self._process.poll() is not None

    def finish(self) -> None:
        """Lets no call begin any more, and waits for those in progress."""
        self._process.terminate()
        self.wait()

    def wait(self) -> None:
        """Waits until all is sent."""
        code = self._process.wait(self.plan.longest_s + _LIMIT_S)
        assert code == 0, "the sender failed"

    def calls(self) -> list[Call]:
        """What was sent."""
        return [self.plan.call(line, number) for line, number in json.loads(self._log.read_bytes())["calls"]]

    @property
    def frames(self) -> int:
        """How many frames that were."""
        return int(json.loads(self._log.read_bytes())["frames"])

    @property
    def latest_ms(self) -> int:
        """How late a frame was sent at most: what a call's sides do not do then looks like a network's doing."""
        return int(json.loads(self._log.read_bytes())["latest_ms"])

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=_LIMIT_S).stdout
