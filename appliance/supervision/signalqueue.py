"""Signals as something to poll for, so that one loop can wait for them and for everything else."""

import signal
import socket
from collections.abc import Sequence
from types import FrameType, TracebackType


class SignalQueue:
    """Takes these signals from the main thread instead of their handlers, until closed. Poll `fileno()` for reading.

    SIGPIPE is ignored meanwhile: a reader of our messages that goes away ends nothing.
    """

    def __init__(self, numbers: Sequence[signal.Signals]) -> None:
        self._numbers = numbers
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._handlers = [(number, signal.signal(number, _wake)) for number in numbers]
        self._handlers.append((signal.SIGPIPE, signal.signal(signal.SIGPIPE, signal.SIG_IGN)))

    def fileno(self) -> int:
        """To poll for reading."""
        return self._reader.fileno()

    def read(self) -> list[signal.Signals]:
        """What has come, in order; there is something when polling says so."""
        return [signal.Signals(number) for number in self._reader.recv(4096) if number in self._numbers]

    def close(self) -> None:
        """Put the handlers back."""
        for number, handler in self._handlers:
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._reader.close()
        self._writer.close()

    def __enter__(self) -> "SignalQueue":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Nothing: Python has written the number to the socket already."""
