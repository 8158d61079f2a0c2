"""Texts of configurations, kept by digest, so that what was in force can be looked up after it was changed.

Capture names the digest in an event (`configuration`) when it begins; the text is in its file before that. Texts are
small and are never removed: call records name their digest for as long as they exist.
"""

import hashlib
import os
from pathlib import Path

from capture.errors import JournalWriteError

FOLDER = "configurations"


def path_of(journal: Path, digest: str) -> Path:
    """Where the text of this digest is kept."""
    return journal / FOLDER / f"{digest}.toml"


def keep(journal: Path, text: bytes) -> str:
    """Keep a text durably, unless it is kept already, and return its digest (SHA-256, hex).

    Raises:
        JournalWriteError: the disk did not take it.
    """
    digest = hashlib.sha256(text).hexdigest()
    path = path_of(journal, digest)
    try:
        if not (path.is_file() and path.read_bytes() == text):
            path.parent.mkdir(mode=0o750, exist_ok=True)
            _write(path, text)
    except OSError as error:
        raise JournalWriteError(f"configuration not kept: {error.strerror}") from error
    return digest


def find(journal: Path, digest: str) -> bytes | None:
    """Return the text of a digest; None when it is not there, or not what it was."""
    try:
        text = path_of(journal, digest).read_bytes()
    except (OSError, ValueError):
        return None
    return text if hashlib.sha256(text).hexdigest() == digest else None


def _write(path: Path, text: bytes) -> None:
    """Write a file that appears complete or not at all; it and its name are durable then."""
    draft = path.with_name(f".{path.name}.tmp")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    for folder in (path.parent, path.parent.parent):
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
