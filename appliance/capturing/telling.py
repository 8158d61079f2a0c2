"""Lines for the log, written by a thread: a pipe that nobody reads holds up nobody."""

from collections import deque

from appliance.supervision import servicelog
from capture.background import Background

MAX_LINES = 1000
"""Lines that wait; the oldest go."""
_LAST_S = 1.0


class Teller:
    """Writes lines after each other, each with the daemon's name before it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._thread: Background[None] = Background("telling")

    def tell(self, line: str) -> None:
        """Write a line, now or with a later call."""
        self._lines += line.splitlines()
        if self._thread.is_over():
            self._thread.take()
        if not self._thread.busy:
            self._thread.begin(self._write)

    def close(self) -> None:
        """Write what waits, if that can be."""
        self._thread.wait(_LAST_S)
        if self._thread.is_over():
            self._thread.take()
            self._thread.begin(self._write)
            self._thread.wait(_LAST_S)
        self._thread.close()

    def _write(self) -> None:
        while self._lines:
            servicelog.say(self._name, self._lines.popleft())
