"""Work that must never be in the way of recording: the process's disk and processor priorities (ioprio_set(2))."""

import ctypes
import os
import platform

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
"""Number of the system call; the C library has no function for it."""
_THIS_PROCESS = 1, 0
_CLASS_IDLE = 3 << 13
_NICEST = 19


def take() -> bool:
    """Read and write only when nobody else does, and compute least of all; False where the system has no such class."""
    os.nice(_NICEST)
    number = _IOPRIO_SET.get(platform.machine())
    return number is not None and ctypes.CDLL(None).syscall(number, *_THIS_PROCESS, _CLASS_IDLE) == 0
