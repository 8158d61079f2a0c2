"""Going before everything else, for who must not be late: from a process's first instruction on, its loading included.

Under load loading takes seconds otherwise, and until capture reads again its ring fills.
"""

import ctypes
import mmap
import os
from contextlib import suppress

PRIORITY = 20
"""`SCHED_FIFO`: above everything that can wait, below the kernel's own threads."""
_ROOM_BYTES = 1 << 30
"""More than rings take: so much must be to be had."""
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def take() -> None:
    """Run before everything else and stay in memory, as far as this process is permitted; its threads as well."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    # On fault: locking what libraries only reserve would cost a hundred megabytes.
    libc = ctypes.CDLL(None)
    libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)
    try:
        mmap.mmap(-1, _ROOM_BYTES).close()
    except OSError:  # what may be locked is limited (RLIMIT_MEMLOCK), and would be the limit of everything from now on
        libc.munlockall()
