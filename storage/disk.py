"""Files that appear complete or not at all: hidden draft, fsync, publication under the final name, directory fsync.

The system calls are the methods of `Disk`, so that a test can let any one of them fail.
"""

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from storage.errors import ConflictError, from_os_error

FILE_MODE = 0o640
DRAFT_MODE = 0o600
"""Of a file in the making: the group that may read what is final has no part in it yet."""
DIRECTORY_MODE = 0o750
UMASK = 0o027
"""For whatever else a process of ours makes: nothing is for everybody."""
DRAFT_PATTERN = ".*.tmp-*"
"""What drafts are called in the spool, as `fnmatch` has it."""
_COMPARE_BYTES = 1 << 20
_KEPT_BYTES = 64 << 10
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
_serial = itertools.count()


class Disk:
    """The system calls that write, as they are. They raise OSError."""

    def create(self, path: Path, mode: int = FILE_MODE) -> int:
        """Open a new file for reading and writing.

        Exclusively: a leftover of the same name may be a second link to a finished recording, never to be truncated.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        _set_mode(descriptor, mode)
        return descriptor

    def open(self, path: Path) -> int:
        """Open a file that grows, for reading and writing; a new one is empty."""
        try:
            return self.create(path)
        except FileExistsError:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        """Cut a file's end off."""
        os.ftruncate(descriptor, size_bytes)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Write some of `data` at the file's position."""
        return os.write(descriptor, data)

    def write_at(self, descriptor: int, data: bytes, offset_bytes: int) -> int:
        """Write some of `data` at an offset."""
        return os.pwrite(descriptor, data, offset_bytes)

    def fsync(self, descriptor: int) -> None:
        """Bring a file's or directory's content to the disk."""
        os.fsync(descriptor)

    def set_mode(self, descriptor: int, mode: int) -> None:
        """Say who may read it."""
        _set_mode(descriptor, mode)

    def link(self, draft: Path, final: Path) -> None:
        """Give the file its final name too, unless that is taken."""
        os.link(draft, final)

    def rename(self, draft: Path, final: Path) -> None:
        """Give the file its final name, taken or not."""
        os.rename(draft, final)

    def remove(self, path: Path) -> None:
        """Take a name away."""
        os.unlink(path)

    def make_directory(self, path: Path) -> None:
        """Make a directory. The set-group bit that it may inherit stays."""
        os.mkdir(path, DIRECTORY_MODE)
        _set_mode(path, DIRECTORY_MODE | os.stat(path).st_mode & stat.S_ISGID)


def replace_file(disk: Disk, draft: Path, final: Path, content: bytes, *, mode: int = FILE_MODE) -> None:
    """Write `final` anew, complete or not at all; the fsync of its directory is the caller's.

    `draft` is a hidden name on the same file system. Raises OSError, and `final` is as before then.
    """
    try:
        descriptor = disk.create(draft, mode)
        _share_as(descriptor, final.parent)
        try:
            left = memoryview(content)
            while left:
                left = left[disk.write(descriptor, left) :]
            disk.fsync(descriptor)
        finally:
            os.close(descriptor)
        disk.rename(draft, final)
    except OSError:
        with contextlib.suppress(OSError):
            disk.remove(draft)
        raise


class Directories:
    """Makes directories and remembers which have news, to fsync each once for many files."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._unsynced: dict[Path, None] = {}

    def make(self, path: Path) -> None:
        """Make `path` and what is missing above it."""
        missing = list(itertools.takewhile(lambda folder: not folder.is_dir(), (path, *path.parents)))
        for folder in reversed(missing):
            try:
                self._disk.make_directory(folder)
            except OSError as error:
                raise from_os_error(error, f"make the directory {folder}") from error
            self.note(folder.parent)

    def note(self, folder: Path) -> None:
        """Something changed in `folder`."""
        self._unsynced[folder] = None

    @property
    def has_news(self) -> bool:
        """Whether anything was noted since."""
        return bool(self._unsynced)

    def sync(self) -> int:
        """Fsync what was noted and say how many; what fails stays noted.

        Files published before now survive a power cut.
        """
        done = 0
        for folder in list(self._unsynced):
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    self._disk.fsync(descriptor)
                finally:
                    os.close(descriptor)
            except OSError as error:
                raise from_os_error(error, "bring a directory of the archive to the disk") from error
            del self._unsynced[folder]
            done += 1
        return done


class Draft:
    """A file in the making, under a hidden name in the spool. A context: what was not published is gone at its end."""

    def __init__(self, disk: Disk, spool: Path, final: Path, subject: str) -> None:
        """`subject` names the content in messages, without numbers of callers."""
        self._disk = disk
        self._final = final
        self._subject = subject
        self._draft = spool / f".{final.name}.tmp-{os.getpid()}-{next(_serial)}"
        self._descriptor = -1
        self._published = False
        self.size_bytes = 0
        """Bytes written so far."""

    def __enter__(self) -> Self:
        try:
            self._descriptor = self._disk.create(self._draft, DRAFT_MODE)
            _share_as(self._descriptor, self._final.parent)
        except OSError as error:
            raise from_os_error(error, f"write {self._subject}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # What was published is on the disk already; a name that stays now is cleared from the spool at the next start.
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        with contextlib.suppress(OSError):
            self._disk.remove(self._draft)

    def write(self, data: bytes | memoryview) -> None:
        """Append all of `data`."""
        try:
            written = self._disk.write(self._descriptor, data)
            while written < len(data):
                written += self._disk.write(self._descriptor, data[written:])
        except OSError as error:
            raise from_os_error(error, f"write {self._subject}") from error
        self.size_bytes += written

    def write_at(self, data: bytes, offset_bytes: int) -> None:
        """Overwrite what was written at `offset_bytes`."""
        try:
            while data:
                written = self._disk.write_at(self._descriptor, data, offset_bytes)
                data, offset_bytes = data[written:], offset_bytes + written
        except OSError as error:
            raise from_os_error(error, f"write {self._subject}") from error

    def settle(self) -> bool:
        """Fsync; no need when the same bytes lie under the final name already, which is what False says.

        Raises ConflictError when other bytes lie there.
        """
        try:
            if os.path.lexists(self._final):
                self._compare()
                return False
            self._disk.set_mode(self._descriptor, FILE_MODE)
            self._disk.fsync(self._descriptor)
        except OSError as error:
            raise from_os_error(error, f"write {self._subject}") from error
        # Nobody reads a recording right after it was made: its memory is worth more to the next one and to the journal.
        # What is as small as a record the index reads at once.
        if self.size_bytes > _KEPT_BYTES:
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return True

    def publish(self) -> None:
        """Give the settled file its final name, which must be free."""
        try:
            self._name()
        except FileExistsError:
            self._compare()
        except OSError as error:
            raise from_os_error(error, f"publish {self._subject}") from error
        else:
            self._published = True

    def retract(self) -> None:
        """Take the final name away again, if this draft made it."""
        if self._published:
            with contextlib.suppress(OSError):
                self._disk.remove(self._final)
            self._published = False

    def _name(self) -> None:
        try:
            self._disk.link(self._draft, self._final)
        except OSError as error:
            # exFAT and some network file systems have no hard links. With one writer, looking first will do.
            if error.errno not in _NO_HARD_LINKS or os.path.lexists(self._final):
                raise
            self._disk.rename(self._draft, self._final)

    def _compare(self) -> None:
        if not self._same_as_final():
            raise ConflictError(f"{self._subject} is in the archive with other content; that one is kept")

    def _same_as_final(self) -> bool:
        if not stat.S_ISREG(os.lstat(self._final).st_mode):
            return False
        with open(self._final, "rb", buffering=0) as final:
            if os.fstat(final.fileno()).st_size != self.size_bytes:
                return False
            offset = 0
            while ours := os.pread(self._descriptor, _COMPARE_BYTES, offset):
                if ours != os.pread(final.fileno(), _COMPARE_BYTES, offset):
                    return False
                offset += len(ours)
        return True


def publish_all(drafts: Sequence[Draft]) -> bool:
    """Publish drafts in order, all or none. False: the same files were all there, nothing changed.

    Raises ConflictError before anything is published when one of them is there with other content.
    """
    fresh = [draft for draft in drafts if draft.settle()]
    try:
        for draft in fresh:
            draft.publish()
    except BaseException:
        for draft in reversed(fresh):
            draft.retract()
        raise
    return bool(fresh)


def _share_as(descriptor: int, folder: Path) -> None:
    """Give a draft the group that it would have if it had been made in `folder`, where that has the set-group bit."""
    with contextlib.suppress(OSError):  # a file system without groups, or a group that this user is not in
        status = os.stat(folder)
        if status.st_mode & stat.S_ISGID and status.st_gid != os.fstat(descriptor).st_gid:
            os.fchown(descriptor, -1, status.st_gid)


def _set_mode(made: int | Path, mode: int) -> None:
    """Set the mode of what this process has just made, whatever its umask is. File systems without modes refuse."""
    with contextlib.suppress(PermissionError):
        os.chmod(made, mode)
