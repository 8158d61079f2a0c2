"""What lies in an archive's folders, and what has no place there."""

import os
from collections.abc import Iterator
from pathlib import Path

from storage.archive import Archive
from storage.ledger.checkpointfiles import KEPT, NEWEST, PUBLIC_KEY, SHARED, SHARED_KEY
from storage.ledger.keyfiles import NEW_SUFFIX
from storage.ledger.ledgerfile import ENTRIES, HASHES, NAMES
from storage.verify.defects import Defect, Kind

DEVICE_KEY = "device.key"
_DATED = ((4, 1, 9999), (2, 1, 12), (2, 1, 31))
"""Digits, least and greatest of year, month and day."""
_IN_LEDGER = {ENTRIES, HASHES, NAMES, NEWEST, KEPT, PUBLIC_KEY, DEVICE_KEY, DEVICE_KEY + NEW_SUFFIX}


def days_on_disk(archive: Archive) -> set[int]:
    """The local dates that have a folder of recordings or of records."""
    roots = (archive.recordings, archive.records, archive.late)
    return {int("".join(day.parts[-3:])) for root in roots for day in _folders(root, 0)}


def strays(archive: Archive) -> Iterator[Defect]:
    """Files and folders outside the days that have no place in recordings, records or ledger."""
    yield from _strays(archive, archive.recordings, 0, {SHARED, SHARED_KEY})
    for root in (archive.records, archive.late):
        yield from _strays(archive, root, 0, set())
    for path in _listed(archive.root / "ledger"):
        if path.name not in _IN_LEDGER or path.is_dir() != (path.name == KEPT):
            yield _stray(archive, path)


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    """The folders of days below `folder`, which is so deep."""
    for path in _listed(folder):
        if _is_dated(path, depth):
            if depth + 1 == len(_DATED):
                yield path
            else:
                yield from _folders(path, depth + 1)


def _strays(archive: Archive, folder: Path, depth: int, known: set[str]) -> Iterator[Defect]:
    for path in _listed(folder):
        if not _is_dated(path, depth):
            if path.name not in known or not path.is_file():
                yield _stray(archive, path)
        elif depth + 1 < len(_DATED):
            yield from _strays(archive, path, depth + 1, set())


def _is_dated(path: Path, depth: int) -> bool:
    digits, least, greatest = _DATED[depth]
    name = path.name
    dated = len(name) == digits and name.isascii() and name.isdigit() and least <= int(name) <= greatest
    return dated and path.is_dir() and not path.is_symlink()


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder / name for name in os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _stray(archive: Archive, path: Path) -> Defect:
    return Defect(
        kind=Kind.UNEXPECTED,
        subject="a file in the archive",
        path=os.path.relpath(path, archive.root),
        what="it has no place there",
    )
