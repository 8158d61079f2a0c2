"""The one writer of an archive: makes its directories, holds its lock, writes parts and records, clears leftovers."""

import fcntl
import fnmatch
import hashlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from storage.archive import Archive
from storage.call_record import CallRecord
from storage.disk import DRAFT_PATTERN, FILE_MODE, Directories, Disk, Draft, publish_all, replace_file
from storage.errors import ArchiveBusyError, ErasedError, VolumeError, from_os_error
from storage.json_form import to_json
from storage.late_record import LateRecord
from storage.layout import ID_DIGITS, day_folder
from storage.ledger import entries
from storage.partfile import PartPlan, WrittenPart, write_part
from storage.register import Register, RegisterSettings
from storage.timestamps import instant_ns
from storage.vocabulary import Form
from storage.wavfile import Sound

LOCK_NAME = "archive.lock"


class ArchiveWriter:
    """Writes into one archive. A context: from entry to exit it holds the archive's lock.

    What it has written survives a power cut from the next `sync` on, which exit does too.
    """

    def __init__(self, archive: Archive, disk: Disk | None = None, *, books: RegisterSettings | None = None) -> None:
        """`disk` makes the system calls; tests give one that fails. `books`: None for an archive that nobody keeps."""
        self._archive = archive
        self._books = books
        self.register: Register | None = None
        """The ledger and the index, where they are kept."""
        self._disk = disk or Disk()
        self._directories = Directories(self._disk)
        self._lock = -1
        self._days: dict[tuple[Path, str], Path] = {}

    def __enter__(self) -> Self:
        """Make the directories, take the lock, clear the spool.

        Raises ArchiveBusyError when another process has the lock, ArchiveError when the directories cannot be made;
        and as Register does.
        """
        for folder in (self._archive.recordings, self._archive.records, self._archive.spool, self._archive.run):
            self._directories.make(folder)
        self._lock = _locked(self._archive.run / LOCK_NAME)
        try:
            self.clean_spool()
            if self._books is not None:
                self.register = Register(self._archive, self._books, self._disk)
                for folder in self.register.found_in:
                    self._directories.note(folder)
                self.sync()
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
            try:
                if self.register is not None:
                    self.register.__exit__(kind, error, traceback)
            finally:
                os.close(self._lock)

    def check_place(self) -> None:
        """Make sure that the archive is still where its lock was taken: its disk may have been pulled out or replaced.

        Raises VolumeError; nothing must be written then, for it would go onto whatever disk is there now.
        """
        path = self._archive.run / LOCK_NAME
        try:
            is_there = os.path.samestat(os.stat(path), os.fstat(self._lock))
        except OSError:
            is_there = False
        if not is_there:
            raise VolumeError("the archive's disk is not there")

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
        self,
        *,
        call_id: str,
        number: int,
        stem: str,
        started: datetime,
        form: Form,
        sound: Sound,
        metadata: Callable[[str], bytes],
    ) -> WrittenPart:
        """Write part `number` of a call into its day's folder; errors and other arguments as in `partfile.write_part`.

        Raises ErasedError when the part was erased.
        """
        self._refuse_erased(call_id, number)
        folder = self._folder(self._archive.recordings, stem)
        plan = PartPlan(folder=folder, spool=self._archive.spool, stem=stem, form=form, started=started)

        def promised(part: WrittenPart) -> AbstractContextManager[None]:
            if self.register is None:
                return nullcontext()
            entry = entries.Part(
                call_id=call_id,
                part=number,
                day=started.strftime("%Y-%m-%d"),
                form=form,
                call_json_sha256=part.call_json_sha256,
                wav_sha256=part.wav_sha256,
                at=self.register.now(),
            )
            return self.register.promised(folder / part.name, entry)

        return write_part(self._disk, plan, sound, metadata, promised)

    def write_call(self, record: CallRecord) -> bool:
        """Write one call record. False: exactly this one was there, nothing changed.

        Raises ConflictError when the call has another record already, which is kept, ErasedError when it was erased.
        """
        self._refuse_erased(record.call_id)
        self._folder(self._archive.records, record.started_at)
        subject = f"the record of call {record.call_id[:ID_DIGITS]}"
        path = self._archive.record_path(record)
        content = to_json(record)
        with Draft(self._disk, self._archive.spool, path, subject) as draft:
            draft.write(content)
            with self._promised_record(path, record, content):
                return publish_all((draft,))

    def _promised_record(
        self, path: Path, record: CallRecord | LateRecord, content: bytes
    ) -> AbstractContextManager[None]:
        if self.register is None:
            return nullcontext()
        digest, at = hashlib.sha256(content).hexdigest(), self.register.now()
        entry: entries.Filed
        if isinstance(record, CallRecord):
            day = record.started_at[:10]
            entry = entries.Call(call_id=record.call_id, day=day, record_sha256=digest, at=at)
        else:
            entry = entries.Late(
                call_id=record.call_id,
                day=record.first_at[:10],
                ssrc=record.ssrc,
                first_ns=instant_ns(record.first_at),
                record_sha256=digest,
                at=at,
            )
        return self.register.promised(path, entry)

    def _refuse_erased(self, call_id: str, number: int = 0) -> None:
        if self.register is not None and self.register.is_erased(call_id, number):
            raise ErasedError(f"call {call_id[:ID_DIGITS]} was erased and is not written again")

    def write_late(self, record: LateRecord) -> bool:
        """Write what came after the end of a call; the result and errors as of `write_call`."""
        self._refuse_erased(record.call_id)
        self._folder(self._archive.late, record.first_at)
        subject = f"late packets of call {record.call_id[:ID_DIGITS]}"
        path = self._archive.late_path(record)
        content = to_json(record)
        with Draft(self._disk, self._archive.spool, path, subject) as draft:
            draft.write(content)
            with self._promised_record(path, record, content):
                return publish_all((draft,))

    def replace(self, path: Path, content: bytes) -> None:
        """Write a file of the spool anew, complete or not at all; the next `sync` makes it durable.

        Raises DiskFullError or ArchiveError when the disk fails; the file is as before then.
        """
        self.check_place()
        draft = path.with_name(f".{path.name}.tmp-{os.getpid()}")
        try:
            replace_file(self._disk, draft, path, content)
        except OSError as error:
            raise from_os_error(error, f"write {path.name}") from error
        self._directories.note(path.parent)

    @property
    def has_news(self) -> bool:
        """Whether `sync` has something to do."""
        return self._directories.has_news or (self.register is not None and self.register.has_news)

    def sync(self) -> int:
        """Fsync every directory that changed since the last time and say how many; then bring the books up to date."""
        self.check_place()
        if self.register is None:
            return self._directories.sync()
        self.register.secure()
        synced = self._directories.sync()
        self.register.settle()
        return synced

    def _folder(self, above: Path, started: str) -> Path:
        assert self._lock >= 0, "written outside the writer's context"
        self.check_place()
        day = (above, started[:10])
        folder = self._days.get(day)
        if folder is None:
            folder = above / day_folder(started)
            self._directories.make(folder)  # what cannot be made is tried again with the next file
            self._days[day] = folder
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
