"""A command that the archive's owner has done by a process of its own, one at a time of each.

`OwnErrand` starts the process itself. `UnitErrand` has the service manager start it, with a sandbox and a share of the
machine of its own, by two files in a folder that only the owner and what it asks for may write:

| file         | written by                    | gone                                          |
|--------------|-------------------------------|-----------------------------------------------|
| `NAME.begin` | the owner: `MORE=` arguments  | when the process has ended (`ExecStopPost=`)  |
| `NAME.ended` | the manager: the exit code    | when the owner has read it                    |

So an errand goes on when its owner was killed, and the next one learns of its end.
"""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

END_S = 10.0
"""How long the process may take to end when it is asked to."""
GIVEN_UP_S = 24 * 3600.0
"""Longer than any unit may take (`TimeoutStartSec=`): the manager was not there, or has forgotten it."""
FAILED = 1
"""Exit code of a process of which nobody knows more."""


class Errand(Protocol):
    """One command, begun now and then."""

    @property
    def is_going_on(self) -> bool:
        """Whether the process is there, or its end was not looked at."""

    def begin(self, *more: str) -> None:
        """Start it with further arguments, unless it goes on."""

    def ended(self) -> int | None:
        """Its exit code, once; None while it goes on and while there is none."""

    def ask_to_end(self) -> None:
        """Ask it to end."""

    def wait(self, meanwhile: Callable[[], bool]) -> None:
        """Wait for its end, which it may need something for; what does not end, or cannot be helped, is killed."""


class OwnErrand:
    """A child process; it does not outlive its owner."""

    def __init__(self, command: tuple[str, ...]) -> None:
        """Nothing is ever begun when the command is empty."""
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_going_on(self) -> bool:
        """Whether the process is there, or its end was not looked at."""
        return self._process is not None

    def begin(self, *more: str) -> None:
        """Start it with further arguments, unless it goes on."""
        if self._command and self._process is None:
            self._process = subprocess.Popen([*self._command, *more], stdin=subprocess.DEVNULL)

    def ended(self) -> int | None:
        """Its exit code, once; None while it goes on and while there is none."""
        code = None if self._process is None else self._process.poll()
        if code is not None:
            self._process = None
        return code

    def ask_to_end(self) -> None:
        """Ask it to end."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, meanwhile: Callable[[], bool]) -> None:
        """Wait for its end; what does not end, or cannot be helped, is killed."""
        deadline = time.monotonic() + END_S
        while self._process is not None and self._process.poll() is None:
            if time.monotonic() > deadline or not meanwhile():
                self._process.kill()
            time.sleep(0.01)
        self._process = None


class UnitErrand:
    """A unit of the service manager, which ends it before its owner when both are stopped."""

    def __init__(self, folder: Path, unit: str) -> None:
        """`unit`: its name without the ending."""
        self._asked = folder / f"{unit}.begin"
        self._answered = folder / f"{unit}.ended"
        self._refused = False
        """It could not be asked for, and that was not told yet."""

    @property
    def is_going_on(self) -> bool:
        """Whether it was asked for, or its end was not looked at."""
        return self._asked.exists() or self._answered.exists()

    def begin(self, *more: str) -> None:
        """Have it started with further arguments, unless it goes on. What cannot be asked for has failed."""
        if self.is_going_on:
            return
        hidden = self._asked.with_name(f".{self._asked.name}")
        try:
            hidden.write_text(f"MORE={' '.join(more)}\n", "ascii")
            hidden.rename(self._asked)
        except OSError:
            self._refused = True

    def ended(self) -> int | None:
        """Its exit code, once; None while it goes on and while there is none."""
        if self._refused or self._is_overdue():
            self._refused = False
            return FAILED
        if self._asked.exists():
            return None
        try:
            told = self._answered.read_text("ascii", "replace").strip()
            self._answered.unlink()
        except OSError:
            return None
        return int(told) if told.isdecimal() else FAILED  # the name of the signal that killed it

    def _is_overdue(self) -> bool:
        """Whether nobody will ever say how it went; it can be begun again then."""
        with suppress(OSError):
            if time.time() - self._asked.stat().st_mtime > GIVEN_UP_S:
                self._asked.unlink()
                return True
        return False

    def ask_to_end(self) -> None:
        """Nothing: the manager asks (`PartOf=`)."""

    def wait(self, meanwhile: Callable[[], bool]) -> None:
        """Nothing: the manager waits (`After=`)."""
