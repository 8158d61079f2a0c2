from pathlib import Path

import pytest


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A day's folder and a spool."""
    for name in ("day", "spool"):
        (tmp_path / name).mkdir()
    return tmp_path
