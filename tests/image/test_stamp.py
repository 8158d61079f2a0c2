import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.image.stamp import digest

CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "image/build").write_text("changed"),
    "right to execute": lambda root: (root / "image/build").chmod(0o755),
    "name": lambda root: (root / "image/build").rename(root / "image/make"),
    "link": lambda root: (root / "systemd/b").symlink_to("a"),
    "lock": lambda root: (root / "requirements.lock").write_text("newer"),
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("requirements.lock", "requirements-dev.lock", "image/build", "systemd/system/a.service", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize("change", CHANGES)
def test_what_an_image_is_made_by_is_in_its_stamp(change: str, repository: Path) -> None:
    before = digest(repository)
    CHANGES[change](repository)
    assert digest(repository) != before


def test_nothing_else_is(repository: Path) -> None:
    before = digest(repository)
    (repository / "README.md").write_text("changed")
    os.utime(repository / "image/build", (0, 0))
    assert digest(repository) == before
