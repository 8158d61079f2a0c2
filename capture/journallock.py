"""Whose journal it is: a lock (flock(2)) on a file in its directory, that the kernel takes back when the owner dies."""

import fcntl
import os
import time
from pathlib import Path

from capture import journalscan
from capture.errors import JournalBusyError

_NAME = "lock"
_PAUSE_S = 0.02


def take(directory: Path, wait_s: float = 0.0) -> int:
    """Take the lock, waiting up to `wait_s` for its owner to end; return the descriptor that holds it until closed.

    Raises:
        JournalBusyError: another capture has it.
        OSError: the directory cannot be written to.
    """
    deadline = time.monotonic() + wait_s
    descriptor = os.open(directory / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    while not _try_lock(descriptor):
        if time.monotonic() >= deadline:
            os.close(descriptor)
            raise JournalBusyError("the journal belongs to another capture that is running")
        time.sleep(_PAUSE_S)
    return descriptor


def retake(directory: Path, descriptor: int) -> int:
    """Take the lock again when the directory is not the one it was (a volume came back); return what holds it now.

    Raises:
        JournalBusyError: another capture has the directory that is there now.
        OSError: it cannot be written to.
    """
    if journalscan.is_at(directory / _NAME, descriptor):
        return descriptor
    taken = take(directory)
    os.close(descriptor)
    return taken


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
