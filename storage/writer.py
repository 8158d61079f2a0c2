"""The one writer of an archive: makes its directories, holds its lock, writes parts and records, clears leftovers."""

import fcntl
import fnmatch
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from storage.archive import Archive
from storage.call_record import CallRecord
from storage.disk import DRAFT_PATTERN, FILE_MODE, Directories, Disk, Draft, publish_all, replace_file
from storage.errors import ArchiveBusyError, from_os_error
from storage.json_form import to_json
from storage.layout import ID_DIGITS, day_folder
from storage.partfile import PartPlan, WrittenPart, write_part
from storage.vocabulary import Form
from storage.wavfile import Sound

LOCK_NAME = "archive.lock"


class ArchiveWriter:
    """Writes into one archive. A context: from entry to exit it holds the archive's lock.

    What it has written survives a power cut from the next `sync` on, which exit does too.
    """

    def __init__(self, archive: Archive, disk: Disk | None = None) -> None:
        """`disk` makes the system calls; tests give one that fails."""
        self._archive = archive
        self._disk = disk or Disk()
        self._directories = Directories(self._disk)
        self._lock = -1
        self._days: dict[tuple[Path, str], Path] = {}

    def __enter__(self) -> Self:
        """Make the directories, take the lock, clear the spool.

        Raises ArchiveBusyError when another process has the lock, ArchiveError when the directories cannot be made.
        """
        for folder in (self._archive.recordings, self._archive.records, self._archive.spool, self._archive.run):
            self._directories.make(folder)
        self._lock = _locked(self._archive.run / LOCK_NAME)
        try:
            self.clean_spool()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.sync()
        finally:
            os.close(self._lock)

    def clean_spool(self) -> int:
        """Remove the drafts of a killed run and say how many. Holding the lock, every draft here is one."""
        try:
            drafts = [path for path in self._archive.spool.iterdir() if fnmatch.fnmatchcase(path.name, DRAFT_PATTERN)]
            for draft in drafts:
                self._disk.remove(draft)
        except OSError as error:
            raise from_os_error(error, "clear the archive's spool") from error
        return len(drafts)

    def write_part(
        self, *, stem: str, started: datetime, form: Form, sound: Sound, metadata: Callable[[str], bytes]
    ) -> WrittenPart:
        """Write one part into its day's folder; errors and arguments as in `partfile.write_part`."""
        folder = self._folder(self._archive.recordings, stem)
        plan = PartPlan(folder=folder, spool=self._archive.spool, stem=stem, form=form, started=started)
        return write_part(self._disk, plan, sound, metadata)

    def write_call(self, record: CallRecord) -> bool:
        """Write one call record. False: exactly this one was there, nothing changed.

        Raises ConflictError when the call has another record already, which is kept.
        """
        self._folder(self._archive.records, record.started_at)
        subject = f"the record of call {record.call_id[:ID_DIGITS]}"
        with Draft(self._disk, self._archive.spool, self._archive.record_path(record), subject) as draft:
            draft.write(to_json(record))
            return publish_all((draft,))

    def replace(self, path: Path, content: bytes) -> None:
        """Write a file of the spool anew, complete or not at all; the next `sync` makes it durable.

        Raises DiskFullError or ArchiveError when the disk fails; the file is as before then.
        """
        draft = path.with_name(f".{path.name}.tmp-{os.getpid()}")
        try:
            replace_file(self._disk, draft, path, content)
        except OSError as error:
            raise from_os_error(error, f"write {path.name}") from error
        self._directories.note(path.parent)

    def sync(self) -> int:
        """Fsync every directory that changed since the last time and say how many."""
        return self._directories.sync()

    def _folder(self, above: Path, started: str) -> Path:
        assert self._lock >= 0, "written outside the writer's context"
        day = (above, started[:10])
        folder = self._days.get(day)
        if folder is None:
            folder = self._days[day] = above / day_folder(started)
            self._directories.make(folder)
        self._directories.note(folder)
        return folder


def _locked(path: Path) -> int:
    """A descriptor that holds the lock as long as it is open, whatever becomes of the process."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    except OSError as error:
        raise from_os_error(error, "open the archive's lock") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise ArchiveBusyError(f"another process (pid {holder}) is writing to this archive") from error
    except OSError as error:
        os.close(descriptor)
        raise from_os_error(error, "lock the archive") from error
    os.fchmod(descriptor, FILE_MODE)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
