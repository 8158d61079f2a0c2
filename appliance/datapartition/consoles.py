"""Every console that the kernel writes to (screen with keyboard, serial port): said on all, answered on any.

Only what is attached to the machine itself is here; no network is up at that time.
"""

import contextlib
import os
import select
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

ACTIVE = Path("/sys/class/tty/console/active")
_MAX_LINE_BYTES = 1024
_ERASE = (0x08, 0x7F)
_STALLED_S = 2.0


def all_of_the_kernel() -> list[Path]:
    """Their devices."""
    with contextlib.suppress(OSError):
        return [Path("/dev") / name for name in ACTIVE.read_text("ascii").split()]
    return []


class Consoles:
    """Consoles, while they are in use: lines are read as keys are pressed, and not shown unless asked for."""

    def __init__(self, devices: Sequence[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._before: dict[int, list[Any]] = {}
        self._typed: dict[int, bytearray] = {}
        for device in devices:
            # A console that is configured need not be there: a machine without a serial port has one all the same.
            with contextlib.suppress(OSError, termios.error):
                self._open(device)

    def _open(self, device: Path) -> None:
        descriptor = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            before = termios.tcgetattr(descriptor)
            settings = termios.tcgetattr(descriptor)
            settings[3] &= ~(termios.ECHO | termios.ICANON)
            termios.tcsetattr(descriptor, termios.TCSANOW, settings)
        except termios.error:
            os.close(descriptor)
            raise
        self._before[descriptor] = before
        self._typed[descriptor] = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor, before in self._before.items():
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(descriptor, termios.TCSANOW, before)
            os.close(descriptor)
        self._before.clear()

    def say(self, text: str) -> None:
        """Lines of text, on each."""
        self._write(text + "\n")

    def forget(self) -> None:
        """What was typed until now is no answer to what will be asked."""
        while ready := self._ready(0):
            for descriptor in ready:
                self._read(descriptor, shown=False)
        for typed in self._typed.values():
            typed.clear()

    def line(self, limit_s: float, *, shown: bool) -> str | None:
        """The next line that was finished on any of them; None after the limit."""
        deadline = self._clock() + limit_s
        while (left_s := deadline - self._clock()) > 0:
            for descriptor in self._ready(left_s):
                if (line := self._read(descriptor, shown=shown)) is not None:
                    return line
        return None

    def _ready(self, limit_s: float) -> list[int]:
        return select.select(list(self._before), [], [], limit_s)[0]

    def _read(self, descriptor: int, *, shown: bool) -> str | None:
        """Takes one key."""
        try:
            key = os.read(descriptor, 1)
        except OSError:
            return None
        if not key:
            # It hung up: nothing will ever come from it.
            self._before.pop(descriptor)
            os.close(descriptor)
            return None
        typed = self._typed[descriptor]
        if key in (b"\r", b"\n"):
            self._write("\n")
            line = typed.decode("utf-8", "replace")
            typed.clear()
            return line
        if key[0] in _ERASE:
            del typed[-1:]
        elif len(typed) < _MAX_LINE_BYTES:
            typed += key
            if shown:
                self._write(key.decode("ascii", "replace"))
        return None

    def _write(self, text: str) -> None:
        octets = text.encode()
        for descriptor in self._before:
            _write_all(descriptor, octets)


def _write_all(descriptor: int, octets: bytes) -> None:
    """All of it, unless the console takes nothing for a while."""
    while octets and select.select([], [descriptor], [], _STALLED_S)[1]:
        try:
            octets = octets[os.write(descriptor, octets) :]
        except OSError:
            return
