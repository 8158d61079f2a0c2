"""Processes that record without a supervisor, because theirs was killed: noticing to be one, and finding one."""

import os
import time
from pathlib import Path

ORPHAN_S = 60.0
"""How long recording goes on for a supervisor that is gone; a new one takes over in this time."""
COMMAND = b"appliance.daemons"
"""What the command line of our daemons holds."""


class Parent:
    """The parent process. One that is gone has not taken its children with it: they decide what to do."""

    def __init__(self, supervisor: int = 0) -> None:
        """`supervisor`: the process that started this one, which may be gone by now; 0 when nobody has said."""
        self._pid = supervisor or os.getppid()
        self._lost_s: float | None = None

    def gone_for_s(self) -> float:
        """Return how long ago it was found to be gone; 0 while it is there."""
        if os.getppid() == self._pid:
            return 0.0
        if self._lost_s is None:
            self._lost_s = time.monotonic()
        return max(time.monotonic() - self._lost_s, 1e-9)


def find(run_directory: Path, name: str) -> int:
    """Return the process number of a daemon that is left over from a supervisor that was killed, 0 when there is
    none."""
    try:
        pid = int((run_directory / f"{name}.pid").read_text("ascii"))
    except (OSError, ValueError):
        return 0
    return pid if is_daemon(pid, name) else 0


def is_daemon(pid: int, name: str) -> bool:
    """Whether a process is one of our daemons: a number may have passed to somebody else."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return COMMAND in words and name.encode() in words
