"""`rokubox record` on the mirror port, and its processes, to be killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from tests.crash.span import MIRROR_PORT, Span

ROKUBOX = str(Path(sys.executable).with_name("rokubox"))
_LIMIT_S = 90.0


class Role(StrEnum):
    """The processes."""

    CAPTURE = "capture"
    ASSEMBLE = "assemble"
    SUPERVISOR = "supervisor"
    KEEPER = "keeper"


_COMMANDS = {
    Role.CAPTURE: b"appliance.daemons",
    Role.ASSEMBLE: b"appliance.daemons",
    Role.KEEPER: b"appliance.supervision.keeper",
}
"""What the command line of a role's process holds."""


class Recorder:
    """The recorder of one archive. A context: at its end it is stopped in good order, if it was not stopped before."""

    def __init__(self, where: Span, archive: Path, *, options: tuple[str, ...] = ()) -> None:
        self.archive = archive
        self.log = archive.with_name(f"{archive.name}.log")
        """What it says on stderr."""
        self._stdout = archive.with_name(f"{archive.name}.out")
        command = [ROKUBOX, "record", "--interface", MIRROR_PORT, "--output", str(archive), "--record", "all", *options]
        self._command = where.within(*command)
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._said_ready = 0
        self._orphans: set[int] = set()

    def start(self) -> None:
        """Starts a supervisor; what the one before has left running is left alone."""
        if self._process is not None:
            self._orphans.update(pid for role in _COMMANDS if (pid := self.pid(role)))
        self._said_ready = self._ready_lines()
        with self.log.open("ab") as log, self._stdout.open("ab") as out:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=out, stderr=log)

    def wait_ready(self) -> None:
        """Waits for the `ready` of the supervisor that was started last."""
        wait_until(lambda: self._ready_lines() > self._said_ready, "the recorder does not become ready")

    def pid(self, role: Role) -> int:
        """The process of a role, 0 when there is none just now."""
        if role is Role.SUPERVISOR:
            return self._process.pid if self._process is not None and self._process.poll() is None else 0
        try:
            pid = int((self.archive / "run" / f"{role}.pid").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return 0
        return pid if _COMMANDS[role] in words else 0

    def is_orphan(self, pid: int) -> bool:
        """Whether it was left over from a supervisor that was killed."""
        return pid in self._orphans

    def kill(self, role: Role) -> bool:
        """Kills the process of a role with SIGKILL; False when there is none just now."""
        pid = self.pid(role)
        if not pid:
            return False
        os.kill(pid, signal.SIGKILL)
        if role is Role.SUPERVISOR and self._process is not None:
            self._process.wait()
        wait_until(lambda: self.pid(role) != pid, "a process that was killed goes on")
        return True

    def kill_all(self) -> None:
        """Kills all four at once: first who would start the others again."""
        for role in (Role.SUPERVISOR, Role.KEEPER, Role.CAPTURE, Role.ASSEMBLE):
            self.kill(role)

    def stop(self) -> int:
        """Asks it to end, and returns its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(_LIMIT_S)

    def _ready_lines(self) -> int:
        return self._stdout.read_bytes().count(b"ready\n") if self._stdout.exists() else 0

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        if self.pid(Role.SUPERVISOR):
            self.stop()


def wait_until(happened: Callable[[], bool], otherwise: str, limit_s: float = _LIMIT_S) -> None:
    """Waits for something that has to happen."""
    deadline = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
