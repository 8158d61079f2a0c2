"""A self-test on demand: `rokubox selftest --full` in a process of its own, at most one at a time.

`SelfTestRun` starts it itself; `SelfTestUnit` has the service manager do so, which permits it what the agent may not,
and also hears of those that the manager starts every day.
"""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from appliance.agent.selftestseen import SelfTestSeen, parse
from appliance.custody.errand import UnitErrand

LIMIT_S = 300.0
MAX_BYTES = 16 << 20


class SelfTest(Protocol):
    """A self-test that can be begun."""

    def begin(self) -> None:
        """Begin one, unless one is under way."""

    def ended(self) -> SelfTestSeen | None:
        """Its result, once; None while there is none."""

    def close(self) -> None:
        """Let go of it."""


class SelfTestUnit:
    """The unit `rokubox-selftest`, asked for and answered in a folder; what it prints lies there too."""

    UNIT = "rokubox-selftest"

    def __init__(self, folder: Path) -> None:
        self._errand = UnitErrand(folder, self.UNIT)
        self._printed = folder / f"{self.UNIT}.json"

    def begin(self) -> None:
        """Begin one, unless one is under way."""
        self._errand.begin()

    def ended(self) -> SelfTestSeen | None:
        """The result of one, asked for or not, once; None while there is none."""
        if (code := self._errand.ended()) is None:
            return None
        try:
            with self._printed.open("rb") as printed:
                return parse(code, printed.read(MAX_BYTES))
        except OSError:
            return parse(code, b"")

    def close(self) -> None:
        """Nothing: it goes on, and the next agent tells of it."""


class SelfTestRun:
    """Starts it, and has its result when it is over."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._output = -1
        """Descriptor of the memory that it prints to."""
        self._began_s = 0.0

    def begin(self) -> None:
        """Start it, unless one is under way."""
        if self._process is None:
            self._output = os.memfd_create("selftest")
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.DEVNULL
            )
            self._began_s = time.monotonic()

    def ended(self) -> SelfTestSeen | None:
        """Its result, once; None while there is none."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            if time.monotonic() - self._began_s > LIMIT_S:
                self._process.kill()
            return None
        code, printed = self._process.returncode, os.pread(self._output, MAX_BYTES, 0)
        self.close()
        return parse(code, printed)

    def close(self) -> None:
        """End it, if it is under way."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            os.close(self._output)
            self._process = None
