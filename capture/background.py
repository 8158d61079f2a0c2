"""One job at a time in a thread of its own: what the disk may hold up for minutes, while the caller goes on.

The caller begins a job and takes its outcome; between the two, what the job works on is the job's alone.
"""

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """The thread, from its making to `close`. Poll `fileno()` for reading: there is an outcome."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], T] | None] = SimpleQueue()
        self._outcomes: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
        self._done = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_over = threading.Event()
        self._is_over.set()
        self.busy = False
        """A job has begun and its outcome was not taken."""
        # A daemon: a disk that never answers must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """To poll for reading."""
        return self._done

    def begin(self, job: Callable[[], T]) -> None:
        """Begin a job; there must be none."""
        assert not self.busy
        self.busy = True
        self._is_over.clear()
        self._jobs.put(job)

    def is_over(self) -> bool:
        """Whether there is an outcome to take."""
        return self.busy and self._is_over.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is nothing under way; False when that takes longer."""
        return self._is_over.wait(timeout_s)

    def take(self) -> T:
        """Return what the job returned, or raise what it raised; it must be over."""
        assert self.is_over()
        os.eventfd_read(self._done)
        outcome, error = self._outcomes.get()
        self.busy = False
        if error is not None:
            raise error
        return outcome  # type: ignore[return-value]  # None only when T is

    def close(self) -> None:
        """End the thread. One that the disk holds up is left to itself."""
        self._jobs.put(None)
        if self._is_over.is_set():
            self._thread.join()
            os.close(self._done)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._outcomes.put((job(), None))
            except BaseException as error:  # the caller's to handle
                self._outcomes.put((None, error))
            os.eventfd_write(self._done, 1)
            self._is_over.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
