"""Whether somebody is writing to an archive at this moment, without touching its lock."""

import os
from pathlib import Path

from storage.writer import LOCK_NAME


def is_written(archive: Path, locks: Path = Path("/proc/locks")) -> bool:
    """Whether a process of this machine holds the archive's lock (proc_locks(5))."""
    try:
        lock = os.stat(archive / "run" / LOCK_NAME)
        held = locks.read_text()
    except OSError:
        return False
    place = f"{os.major(lock.st_dev):02x}:{os.minor(lock.st_dev):02x}:{lock.st_ino}"
    return any(fields[1] == "FLOCK" and place in fields for line in held.splitlines() if (fields := line.split()))
