"""Work in a process that is killed (SIGKILL) at one of its writing system calls, so that nothing of it goes on."""

import os
import signal
import traceback
from collections.abc import Callable

from tests.storage.ledger.books import Killed, MortalDisk

CALLS = ("create", "write", "write_at", "fsync", "truncate", "link", "rename", "remove", "make_directory")


def in_a_process_killed_at(step: int, work: Callable[[MortalDisk], object]) -> bool:
    """Do the work in a process that is killed at its disk's step; False when it outlives the work."""
    child = os.fork()
    if child == 0:
        try:
            work(FatalDisk(step))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status != 0


def _fatal(name: str) -> Callable[..., object]:
    def call(self: MortalDisk, *arguments: object) -> object:
        try:
            return getattr(MortalDisk, name)(self, *arguments)
        except Killed:
            os.kill(os.getpid(), signal.SIGKILL)
            raise

    return call


FatalDisk = type("FatalDisk", (MortalDisk,), {name: _fatal(name) for name in CALLS})
