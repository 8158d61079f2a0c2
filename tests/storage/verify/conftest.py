import shutil
from pathlib import Path

import pytest

from tests.storage.verify.archives import Made, make


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Made:
    """Made once; not to be changed."""
    return make(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def made(pristine: Made, tmp_path: Path) -> Made:
    """A copy to spoil."""
    root = tmp_path / "archive"
    shutil.copytree(pristine.root, root)

    def moved(path: Path) -> Path:
        return root / path.relative_to(pristine.root)

    return Made(
        root=root,
        checkpoints=pristine.checkpoints,
        parts=tuple(moved(path) for path in pristine.parts),
        records=tuple(moved(path) for path in pristine.records),
    )
