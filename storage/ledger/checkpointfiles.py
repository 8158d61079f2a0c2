"""The ledger's checkpoints on the disk: the newest, the last of each day, those that change the key, and copies."""

import fnmatch
import os
from pathlib import Path

from storage.disk import DRAFT_PATTERN, Directories, Disk, replace_file
from storage.errors import LedgerBrokenError, LedgerError, from_os_error
from storage.ledger import checkpoint as checkpoints
from storage.ledger import devicekey
from storage.ledger.checkpoint import Checkpoint
from storage.ledger.ledgerfile import ENTRIES
from storage.ledger.settings import LedgerSettings

NEWEST, KEPT, PUBLIC_KEY = "checkpoint", "checkpoints", "device.pub"
SHARED, SHARED_KEY = "checkpoint.txt", "device-key.pem"
_FIRST_LINES, _FIRST_LINES_BYTES = 2, 4096


class CheckpointFiles:
    """The checkpoints of one ledger. Its methods raise DiskFullError or ArchiveError when the disk fails."""

    def __init__(self, settings: LedgerSettings, disk: Disk, directories: Directories) -> None:
        """Make the folders and clear what a killed process left half done."""
        self._directory = settings.directory
        self._share = settings.share
        self._disk = disk
        self._directories = directories
        self.trouble = ""
        """Why the copy on the share stands for the checkpoint: it is damaged, or lost."""
        directories.make(self._directory / KEPT)
        directories.note(self._directory)
        try:
            for draft in self._directory.iterdir():
                if fnmatch.fnmatchcase(draft.name, DRAFT_PATTERN):
                    disk.remove(draft)
        except OSError as error:
            raise from_os_error(error, "clear leftovers from the ledger") from error

    def read(self) -> Checkpoint | None:
        """The newest checkpoint; its copy on the share when it is damaged or lost, which `trouble` tells then.

        None when the ledger begins. Raises LedgerBrokenError when there are lines, and nothing that stands for them.
        """
        try:
            return checkpoints.parse((self._directory / NEWEST).read_bytes())
        except FileNotFoundError:
            self.trouble = "lost"
        except OSError as error:
            raise from_os_error(error, "read the ledger's checkpoint") from error
        except LedgerError:
            self.trouble = "damaged"
        copy = self._shared()
        if copy is None and self.trouble == "lost" and self._begins():
            self.trouble = ""
        elif copy is None:
            raise LedgerBrokenError(f"the ledger's checkpoint is {self.trouble}, and so is its copy on the share")
        return copy

    def _shared(self) -> Checkpoint | None:
        if self._share is None:
            return None
        try:
            return checkpoints.parse((self._share / SHARED).read_bytes())
        except (OSError, LedgerError):
            return None

    def _begins(self) -> bool:
        """Whether there are no more lines than a killed first start leaves: the log's name and a seal."""
        try:
            with (self._directory / ENTRIES).open("rb") as lines:
                return len(lines.read(_FIRST_LINES_BYTES).splitlines()) <= _FIRST_LINES
        except FileNotFoundError:
            return True
        except OSError as error:
            raise from_os_error(error, "read the ledger") from error

    def keep(self, checkpoint: Checkpoint, name: str) -> None:
        """Keep a checkpoint for good under this name."""
        self._replace(self._directory / KEPT / f"{name}.txt", checkpoints.serialize(checkpoint))
        self._directories.note(self._directory / KEPT)

    def store(self, checkpoint: Checkpoint) -> None:
        """Make this the newest.

        Its folder's fsync may come later: after a power cut the one before it is a true checkpoint too.
        """
        self._replace(self._directory / NEWEST, checkpoints.serialize(checkpoint))

    def publish(self, checkpoint: Checkpoint, public_key: bytes) -> None:
        """Copies for others: the public key, and the checkpoint that leaves the box; then fsync all folders."""
        pem = devicekey.public_pem(public_key)
        self._replace(self._directory / PUBLIC_KEY, pem)
        if self._share is not None:
            self._directories.make(self._share)
            self._replace(self._share / SHARED, checkpoints.serialize(checkpoint))
            self._replace(self._share / SHARED_KEY, pem)
        self._directories.sync()

    def _replace(self, path: Path, content: bytes) -> None:
        draft = self._directory / f".{path.name}.tmp-{os.getpid()}"
        try:
            if not _is(path, content):
                replace_file(self._disk, draft, path, content)
        except OSError as error:
            raise from_os_error(error, "write the ledger's checkpoint") from error


def _is(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False
