"""The ledger's signed checkpoints as they went to the disk: whoever had one before the cut may hold it against the box.

A checkpoint is signed when its lines are durable. So every line under one that was so much as written to the disk, and
every recording that such a line names, was finished.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.image.writelog import WriteLog

_NOTE = re.compile(rb"rokubox/[^\n]{1,80}\n(\d{1,9})\n[A-Za-z0-9+/]{43}=\n\n(?:\xe2\x80\x94 [^\n]{1,200}\n)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A checkpoint on its way to the disk."""

    entry: int
    """Number of the log's entry that holds it."""
    size: int
    """Lines of the ledger that it is over."""
    note: bytes
    """It, as it was written."""


def found(log: WriteLog, first: int) -> list[Signed]:
    """Every checkpoint that was written from entry `first` of the log on, the first time that it was."""
    known: dict[bytes, Signed] = {}
    for number, content in _written(log, first):
        for match in _NOTE.finditer(content):
            known.setdefault(match[0], Signed(entry=number, size=int(match[1]), note=match[0]))
    return list(known.values())


def newest(signed: list[Signed], point: int) -> Signed | None:
    """The one over most lines that was written before a cut."""
    return max((one for one in signed if one.entry < point), key=lambda one: one.size, default=None)


def kept(one: Signed, folder: Path) -> Path:
    """A file that holds it."""
    path = folder / "kept.txt"
    path.write_bytes(one.note)
    return path


def _written(log: WriteLog, first: int) -> Iterator[tuple[int, bytes]]:
    with log.path.open("rb") as file:
        for number, entry in enumerate(log.entries[first:], first):
            if entry.sectors and not entry.is_discard:
                file.seek(entry.at_bytes)
                yield number, file.read(entry.sectors * log.sector_bytes)
