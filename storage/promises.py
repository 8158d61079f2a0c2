"""What a writer is about to bring into the archive, noted before the file gets its name.

    spool/promises.jsonl   a line each: the ledger entry to come, and where the file will lie

A writer that is killed between a file's name and its ledger entry leaves a promise behind, and the next writer keeps
it: no file of the archive is ever off the books. The notes hold file names, and so numbers; they go with the commit.
"""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from storage import partreader
from storage.disk import Disk
from storage.errors import DamagedPartError, LedgerError, from_os_error
from storage.ledger import entries
from storage.ledger.entries import FILED, Filed, Part
from storage.partfile import AUDIO_NAME, METADATA_NAME

NAME = "promises.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A file to come."""

    path: str
    """Where it will lie, relative to the archive."""
    entry: Filed
    """What the ledger will say of it."""

    def is_kept(self, root: Path) -> bool:
        """Whether exactly this file lies there."""
        path = root / self.path
        try:
            if not isinstance(self.entry, Part):
                return hashlib.sha256(path.read_bytes()).hexdigest() == self.entry.record_sha256
            return (partreader.sha256(path, METADATA_NAME), partreader.sha256(path, AUDIO_NAME)) == (
                self.entry.call_json_sha256,
                self.entry.wav_sha256,
            )
        except (OSError, DamagedPartError):
            return False


class Promises:
    """The file of promises. Its methods raise DiskFullError or ArchiveError when the disk fails."""

    def __init__(self, spool: Path, disk: Disk) -> None:
        self._disk = disk
        self._path = spool / NAME
        try:
            self._descriptor = disk.open(self._path)
            self._size_bytes = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise from_os_error(error, "open the notes of what is being written") from error

    def close(self) -> None:
        """Close the file, and leave none without promises."""
        os.close(self._descriptor)
        if not self._size_bytes:
            with suppress(OSError):
                self._disk.remove(self._path)

    def read(self) -> list[Promise]:
        """What an earlier writer left, oldest first. A torn line is left out: its file never got its name."""
        try:
            content = os.pread(self._descriptor, self._size_bytes, 0)
        except OSError as error:
            raise from_os_error(error, "read the notes of what was being written") from error
        return [promise for line in content.splitlines() if (promise := _parse(line)) is not None]

    def note(self, promise: Promise) -> None:
        """Note a file before it gets its name. A killed process does not take the note with it; `secure` adds power
        cuts."""
        left = msgspec.json.encode((promise.path, entries.serialize(promise.entry).decode())) + b"\n"
        at = self._size_bytes
        try:
            while left:
                written = self._disk.write_at(self._descriptor, left, at)
                left, at = left[written:], at + written
        except OSError as error:
            raise from_os_error(error, "note what is being written") from error
        self._size_bytes = at

    def secure(self) -> None:
        """Bring the notes to the disk."""
        if self._size_bytes:
            try:
                self._disk.fsync(self._descriptor)
            except OSError as error:
                raise from_os_error(error, "keep the notes of what is being written") from error

    def forget(self) -> None:
        """Drop all notes: what they promise is on the books."""
        if self._size_bytes:
            try:
                self._disk.truncate(self._descriptor, 0)
            except OSError as error:
                raise from_os_error(error, "drop the notes of what was written") from error
            self._size_bytes = 0


def _parse(line: bytes) -> Promise | None:
    try:
        path, stored = msgspec.json.decode(line, type=tuple[str, str])
        entry = entries.parse(stored.encode())
    except (msgspec.MsgspecError, UnicodeError, LedgerError):
        return None
    return Promise(path=path, entry=entry) if isinstance(entry, FILED) else None
