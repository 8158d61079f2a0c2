"""The outage ledger on the disk: `agent/outages.jsonl` of the archive, lines added and brought to the disk.

The agent writes what it sees, a command what a person enters; each line is one write(2) under a lock, and a line that a
power cut left half-written is passed over.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from appliance.outages.outage import Line, Outage, fold
from appliance.telemetry import statefile
from storage.archive import Archive
from storage.disk import DIRECTORY_MODE, FILE_MODE

NAME = "outages.jsonl"
MAX_LINE_BYTES = 4096


class OutageBook:
    """The ledger of one archive."""

    def __init__(self, archive: Archive) -> None:
        self._path = archive.root / statefile.DIRECTORY / NAME

    def outages(self) -> list[Outage]:
        """Return all outages, in order. Raises OSError."""
        return list(fold(self.lines()).values())

    def lines(self) -> Iterator[Line]:
        """Return every line that can be read. Raises OSError."""
        try:
            with self._path.open("rb") as stored:
                while told := stored.readline(MAX_LINE_BYTES):
                    try:
                        yield msgspec.json.decode(told, type=Line)
                    except msgspec.MsgspecError:
                        continue
        except FileNotFoundError:
            return

    def add(self, lines: Iterable[Line]) -> None:
        """Add lines, durably. Raises OSError."""
        told = [msgspec.json.encode(line) + b"\n" for line in lines]
        if not told:
            return
        self._path.parent.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_torn(self._path):
                told.insert(0, b"\n")
            os.write(descriptor, b"".join(told))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_torn(path: Path) -> bool:
    """Whether the last line has no end."""
    with path.open("rb") as stored:
        if not stored.seek(0, os.SEEK_END):
            return False
        stored.seek(-1, os.SEEK_END)
        return stored.read(1) != b"\n"
