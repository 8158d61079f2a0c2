import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A day's folder and a spool."""
    for name in ("day", "spool"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: killing a process leaves there what it leaves on a disk, only sooner."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)
