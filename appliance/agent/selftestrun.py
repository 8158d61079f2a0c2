"""A self-test on demand: `rokubox selftest --full` in a process of its own, at most one at a time."""

import os
import subprocess
import time
from collections.abc import Sequence

from appliance.agent.selftestseen import SelfTestSeen, parse

LIMIT_S = 300.0
MAX_BYTES = 16 << 20


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
