"""A command that the archive's owner has done by a process of its own, one at a time of each."""

import subprocess
import time
from collections.abc import Callable

END_S = 10.0
"""How long the process may take to end when it is asked to."""


class Errand:
    """One command, begun now and then."""

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
        """Wait for its end, which it may need something for; what does not end, or cannot be helped, is killed."""
        deadline = time.monotonic() + END_S
        while self._process is not None and self._process.poll() is None:
            if time.monotonic() > deadline or not meanwhile():
                self._process.kill()
            time.sleep(0.01)
        self._process = None
