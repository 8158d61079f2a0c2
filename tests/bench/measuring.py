"""A child process run and measured: CPU time and peak memory as the kernel counts them (`wait4`)."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one run of a command cost, its own children included."""

    cpu_s: float
    """User and system time."""
    user_s: float
    wall_s: float
    peak_bytes: int
    """Greatest resident set of one process.

    A child starts as a copy of its parent and the kernel counts from there: whoever measures must be small itself.
    """


class CommandFailed(Exception):
    """A measured command ended with an error."""


def run_measured(command: Sequence[str], output: Path) -> Cost:
    """Run `command` with everything it prints going to `output`. Raises CommandFailed when it does not exit with 0."""
    began = time.monotonic()
    with output.open("wb") as printed:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        tail = output.read_text(errors="replace")[-2000:]
        raise CommandFailed(f"{' '.join(command)} ended with {child.returncode}:\n{tail}")
    return Cost(
        cpu_s=usage.ru_utime + usage.ru_stime,
        user_s=usage.ru_utime,
        wall_s=time.monotonic() - began,
        peak_bytes=usage.ru_maxrss * 1024,
    )
