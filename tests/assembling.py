"""`rokubox-assemble` alone, on an archive with or without a journal."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live import wait_until


@contextmanager
def assembling(archive: Path, *options: str) -> Iterator[None]:
    """The daemon, from when it owns the archive until it is stopped."""
    command = [sys.executable, "-m", "appliance.daemons", "assemble", "--archive", str(archive), *options]
    with subprocess.Popen(command) as daemon:
        try:
            lock = archive / "run" / "archive.lock"
            wait_until(lambda: lock.exists() and lock.read_text().strip() == str(daemon.pid))
            yield
        finally:
            daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0
