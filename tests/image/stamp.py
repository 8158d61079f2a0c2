"""Whether the image that was last tested is the one that these sources give: `python -m tests.image.stamp [--write]`.

The stamp is a hash over what an image is made by. `make test-image` writes it when all went well; whoever changes the
image commits it. Continuous integration tests the image when it differs.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
STAMP = REPOSITORY / ".ci" / "image.stamp"
_FOLDERS = ("image", "systemd")
_FILES = ("requirements.lock", "requirements-dev.lock")


def main() -> int:
    """0 when the stamp is the sources', or was written; 1 when it is another one's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write it: the image was tested")
    now = digest(REPOSITORY)
    if parser.parse_args().write:
        STAMP.write_text(f"{now}\n")
    is_current = STAMP.exists() and STAMP.read_text().strip() == now
    print("the image was tested as it is" if is_current else "the image was changed since it was tested")
    return int(not is_current)


def digest(repository: Path) -> str:
    """SHA-256 over names, rights to execute and content."""
    whole = hashlib.sha256()
    for path in _paths(repository):
        content = path.readlink().as_posix().encode() if path.is_symlink() else path.read_bytes()
        kind = "l" if path.is_symlink() else "x" if path.stat().st_mode & 0o100 else "f"
        whole.update(f"{kind} {len(content)} {path.relative_to(repository).as_posix()}\n".encode() + content)
    return whole.hexdigest()


def _paths(repository: Path) -> Iterator[Path]:
    yield from (repository / name for name in _FILES)
    for folder in _FOLDERS:
        yield from sorted(path for path in (repository / folder).rglob("*") if path.is_symlink() or path.is_file())


if __name__ == "__main__":
    sys.exit(main())
