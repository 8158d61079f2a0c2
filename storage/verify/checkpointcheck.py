"""The checkpoints and keys that lie in an archive."""

import os
import re
from pathlib import Path

from storage.archive import Archive
from storage.errors import DeviceKeyError, LedgerError
from storage.ledger import checkpoint as checkpoints
from storage.ledger import devicekey
from storage.ledger.checkpointfiles import KEPT, NEWEST, PUBLIC_KEY, SHARED, SHARED_KEY
from storage.verify.defects import Defect, Kind
from storage.verify.trust import Seen
from storage.verify.walk import DEVICE_KEY

_KEPT_NAME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}|key-([1-9][0-9]{0,18}))\.txt")


class CheckpointsFound:
    """What is there, read."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._folder = archive.root / "ledger"
        self.defects: list[Defect] = []
        """Files that are no checkpoints, and what is missing."""
        self.seen: list[Seen] = []
        """All that are checkpoints."""
        self.newest = self._read(self._folder / NEWEST, "the newest checkpoint")
        """The one that stands for the whole ledger; None when it is missing or damaged."""
        if self.newest is None and not (self._folder / NEWEST).exists():
            self._add(Kind.MISSING, "the newest checkpoint", self._folder / NEWEST, "it is missing")
        self._read(archive.recordings / SHARED, "the checkpoint on the share")
        for path in sorted((self._folder / KEPT).iterdir()) if (self._folder / KEPT).is_dir() else []:
            self._read_kept(path)

    def own_keys(self) -> set[bytes]:
        """The public key that the archive gives for its own."""
        try:
            return {devicekey.read_public(self._folder / PUBLIC_KEY)}
        except DeviceKeyError:
            return set()

    def key_defects(self, public_key: bytes) -> list[Defect]:
        """Files with a key that is not the log's, which is `public_key`, or not as we write it."""
        wrong = [
            self._defect(Kind.SIGNATURE, "the public key", path, "it is not the key that the ledger names")
            for path in (self._folder / PUBLIC_KEY, self._archive.recordings / SHARED_KEY)
            if path.exists() and _content(path) != devicekey.public_pem(public_key)
        ]
        private = self._folder / DEVICE_KEY
        if os.access(private, os.R_OK) and not devicekey.is_stored(private, public_key):
            wrong.append(
                self._defect(Kind.SIGNATURE, "the device key", private, "it is damaged, or not the ledger's key")
            )
        return wrong

    def _read_kept(self, path: Path) -> None:
        named = _KEPT_NAME.fullmatch(path.name)
        if named is None or not path.is_file():
            self._add(Kind.UNEXPECTED, "a file in the archive", path, "it has no place there")
            return
        kept = self._read(path, f"the checkpoint kept as {path.stem}")
        if kept is not None and named[2] and kept.checkpoint.size != int(named[2]):
            self._add(Kind.LEDGER, kept.subject, path, f"it speaks of {kept.checkpoint.size} lines")

    def _read(self, path: Path, subject: str) -> Seen | None:
        try:
            stored = path.read_bytes()
        except OSError:
            return None
        try:
            checkpoint = checkpoints.parse(stored)
        except LedgerError as error:
            self._add(Kind.SIGNATURE, subject, path, str(error))
            return None
        relative = os.path.relpath(path, self._archive.root)
        seen = Seen(subject=subject, path=relative, checkpoint=checkpoint, is_ours=True)
        self.seen.append(seen)
        return seen

    def _add(self, kind: Kind, subject: str, path: Path, what: str) -> None:
        self.defects.append(self._defect(kind, subject, path, what))

    def _defect(self, kind: Kind, subject: str, path: Path, what: str) -> Defect:
        return Defect(kind=kind, subject=subject, path=os.path.relpath(path, self._archive.root), what=what)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
