"""The journal that outlives its writer: named files of one directory, appended to by the one capture that owns it.

A file is `NNNNNNNN.rkj`, an address `file number << 40 | offset`. Every start and every trouble begins a new file, so
what was read once at an address is never replaced by something else. What was appended survives the process at once,
the machine from the next `sync` on. When a sync fails, what was not durable may be gone: the next block that the disk
takes comes behind one that tells of it. `append` and `forget_*` are the owner's thread's; `sync` may be another's.
"""

import contextlib
import errno
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from capture import journal, journallock, journalrepair, journalscan
from capture.errors import JournalBusyError, JournalWriteError
from capture.events import EventKind
from capture.journal import Bytes, Event
from capture.journalfile import FILE_BYTES, OFFSET_BITS

FILE_AGE_NS = 600_000_000_000
"""A file is closed, too, when it holds so much time: what is forgotten by age is forgotten file by file."""
MAX_LOSSES = 1000
"""Not told of; the oldest are forgotten beyond."""
_IOV_MAX = os.sysconf("SC_IOV_MAX")


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFile:
    """A file of the journal that holds blocks."""

    number: int
    """Which it is; addresses in it begin at `number << 40`."""
    bytes: int
    """Its size."""
    first_ns: int
    """Capture time of its first block."""
    last_ns: int
    """Capture time of its last block; of a file of an earlier run the time it was written last."""


@dataclass(slots=True, kw_only=True, eq=False)
class _OpenFile:
    """A file that is written, or was and is not yet durable."""

    number: int
    descriptor: int
    bytes: int = 0
    """Up to where it holds whole blocks."""
    synced: int = 0
    """Up to where there is nothing left to sync."""
    unsynced_ns: tuple[int, int] | None = None
    """First and last capture time of the blocks that no sync has begun with; None: there are none."""
    trusted: bool = True
    """False when nothing more may be appended."""


class JournalStore:
    """The journal's writer. Waits up to `wait_s` for a previous owner to end, and begins with a new file.

    Raises:
        JournalBusyError: another capture owns the directory.
        JournalWriteError: the directory cannot be written to.
    """

    def __init__(self, directory: Path, *, file_bytes: int = FILE_BYTES, wait_s: float = 0.0) -> None:
        self._directory = directory
        self._file_bytes = file_bytes
        self._guard = threading.Lock()
        """Held for bookkeeping only, never while the disk works."""
        self._syncing = threading.Lock()
        self._current: _OpenFile | None = None
        self._retired: list[_OpenFile] = []
        self._files: dict[int, JournalFile] = {}
        self._number = -1
        self._turned = -1
        self._synced = 0
        self._lost: list[tuple[int, int]] = []
        """Capture times of what may not have become durable, and is not told of."""
        self.torn: journalrepair.TornTail | None = None
        """What the last owner left half-written, cut off."""
        try:
            directory.mkdir(mode=0o750, exist_ok=True)
            self._lock: int | None = journallock.take(directory, wait_s)
        except OSError as error:
            raise _write_error("journal cannot be opened", error) from error
        try:
            self._start()
        except BaseException:
            self._release()
            raise

    @property
    def synced(self) -> int:
        """Address behind the last block that is durable, but for what a failed `sync` told of."""
        return self._synced

    @property
    def bytes_held(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files())

    def files(self) -> list[JournalFile]:
        """The files that hold blocks, oldest first."""
        with self._guard:
            return list(self._files.values())

    def append(self, pieces: Sequence[Bytes]) -> int:
        """Write a block (header first, as `journal.serialize_*` lay it out) and return its address.

        Raises:
            JournalWriteError: the disk did not take it. No part of it remains; the same block may be appended again.
        """
        header = journal.parse_header(pieces[0].tobytes())
        file = self._current
        if file is None or not file.trusted or self._is_full(file, int(header[0]["first_ns"])):
            file = self._begin_file()
        self._tell_losses(file)
        return self._write(file, pieces)

    def _tell_losses(self, file: _OpenFile) -> None:
        with self._guard:
            lost, self._lost = self._lost, []
        if not lost:
            return
        try:
            self._write(file, journal.serialize_events([_loss(span) for span in lost]))
        except JournalWriteError:
            with self._guard:
                self._lost = [*lost, *self._lost]
            raise

    def _write(self, file: _OpenFile, pieces: Sequence[Bytes]) -> int:
        start, header = file.bytes, journal.parse_header(pieces[0].tobytes())
        first_ns, last_ns = int(header[0]["first_ns"]), int(header[0]["last_ns"])
        try:
            end = _write(file.descriptor, [piece.data for piece in pieces if len(piece)], start)
        except OSError as error:
            _cut_back(file)
            raise _write_error("journal block not written", error) from error
        with self._guard:
            file.bytes = end
            file.unsynced_ns = _joined(file.unsynced_ns, first_ns, last_ns)
            self._files[file.number] = _with_block(self._files.get(file.number), file, first_ns, last_ns)
        return file.number << OFFSET_BITS | start

    def turn_over(self, number: int) -> None:
        """Write no more to this file and those before it; the next block goes into a new one."""
        self._turned = max(self._turned, number)

    def sync(self) -> int:
        """Make durable what has been appended so far and return the address behind it. Appending goes on meanwhile.

        Raises:
            JournalWriteError: the disk lost something. It is told once; the next block goes into a new file.
        """
        with self._syncing:
            with self._guard:
                files = [file for file in (*self._retired, self._current) if file is not None]
                batch = [(file, file.bytes, file.unsynced_ns) for file in files]
                for file in files:
                    file.unsynced_ns = None
            troubles = [trouble for each in batch if (trouble := self._sync_file(*each)) is not None]
            self._close_retired()
            if troubles:
                raise _write_error("journal not synced", troubles[0]) from troubles[0]
            return self._synced

    def forget_before(self, address: int) -> None:
        """Remove the files that lie wholly before `address`, never the newest: it says where the time line was.

        Raises:
            JournalWriteError: one cannot be removed.
        """
        for file in self.files()[:-1]:
            if file.number < address >> OFFSET_BITS:
                self._remove(file.number)

    def forget_oldest(self) -> JournalFile | None:
        """Remove the oldest file and return what it was; None when only the newest is left.

        Raises:
            JournalWriteError: it cannot be removed.
        """
        oldest = next((file for file in self.files() if file.number < self._number), None)
        if oldest is not None:
            self._remove(oldest.number)
        return oldest

    def close(self) -> None:
        """Sync, and let go of the directory.

        Raises:
            JournalWriteError: the sync failed; closed all the same.
        """
        if self._lock is None:
            return
        try:
            self.sync()
        finally:
            self._release()

    def _is_full(self, file: _OpenFile, now_ns: int) -> bool:
        known = self._files.get(file.number)
        is_old = known is not None and now_ns - known.first_ns >= FILE_AGE_NS
        is_turned = file.number <= self._turned and file.bytes > 0
        return is_turned or is_old or file.bytes >= self._file_bytes

    def _start(self) -> None:
        try:
            found = journalscan.numbers(self._directory)
            filled = [n for n in found if journalscan.path_of(self._directory, n).stat().st_size]
            if filled:
                self.torn = journalrepair.repair(self._directory, filled[-1])
            # The new file comes before empty ones go: a number is never used twice.
            begun = self._begin_file()
            for number in found:
                self._enlist(number)
        except OSError as error:
            raise _write_error("journal cannot be read", error) from error
        self._synced = begun.number << OFFSET_BITS

    def _enlist(self, number: int) -> None:
        """Note a file of an earlier run, which may not be durable yet; remove it when it is empty."""
        path = journalscan.path_of(self._directory, number)
        status = path.stat()
        if status.st_size == 0:
            self._remove(number)
            return
        with path.open("rb") as file:
            os.fdatasync(file.fileno())
            header = journalscan.header_at(file.fileno(), 0)
        last_ns = status.st_mtime_ns
        first_ns = last_ns if header is None else int(header[0]["first_ns"])
        self._files[number] = JournalFile(number=number, bytes=status.st_size, first_ns=first_ns, last_ns=last_ns)

    def _begin_file(self) -> _OpenFile:
        if self._current is not None and not self._current.trusted:
            with contextlib.suppress(JournalWriteError):
                self.sync()  # what it has lost is told of before anything comes behind it
        try:
            assert self._lock is not None, "closed"
            self._lock = journallock.retake(self._directory, self._lock)
            number = max(self._number, *journalscan.numbers(self._directory), -1) + 1
            file = _OpenFile(number=number, descriptor=_create(self._directory, number))
        except (OSError, JournalBusyError) as error:
            raise _write_error("journal file not begun", error) from error
        with self._guard:
            if self._current is not None:
                self._retired.append(self._current)
            self._current, self._number = file, number
        return file

    def _sync_file(self, file: _OpenFile, size: int, span: tuple[int, int] | None) -> OSError | None:
        """Sync a file up to `size`; there is no second try, as the kernel forgets what it could not write.

        `span`: capture times of what is to become durable.
        """
        trouble: OSError | None = None
        try:
            if size > file.synced:
                os.fdatasync(file.descriptor)
            span = None
            if file is self._current and file.trusted:
                self._look_after(file)
            self._synced = max(self._synced, file.number << OFFSET_BITS | size)
        except OSError as error:
            file.trusted = False
            trouble = error
        file.synced = size
        if span is not None:
            with self._guard:
                self._lost = [*self._lost, span][-MAX_LOSSES:]
        return trouble

    def _look_after(self, file: _OpenFile) -> None:
        """A volume that is taken away lets its open files be written to, where nobody will find them."""
        path = journalscan.path_of(self._directory, file.number)
        if not journalscan.is_at(path, file.descriptor) and file is self._current:
            raise FileNotFoundError(errno.ENOENT, "the file is not in its directory any more")

    def _close_retired(self) -> None:
        """Close what is done with. Only under `_syncing`: nobody may be syncing it."""
        with self._guard:
            done = [file for file in self._retired if file.synced >= file.bytes]
            self._retired = [file for file in self._retired if file.synced < file.bytes]
        for file in done:
            os.close(file.descriptor)

    def _remove(self, number: int) -> None:
        try:
            journalscan.path_of(self._directory, number).unlink(missing_ok=True)
        except OSError as error:
            raise _write_error("journal file not removed", error) from error
        with self._guard:
            self._files.pop(number, None)
            for file in self._retired:
                if file.number == number:
                    file.synced, file.unsynced_ns = file.bytes, None
        # The disk has its space back when it is closed; a sync that is running does so at its end.
        if self._syncing.acquire(blocking=False):
            self._close_retired()
            self._syncing.release()

    def _release(self) -> None:
        for file in (*self._retired, self._current):
            if file is not None:
                os.close(file.descriptor)
        self._retired, self._current = [], None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "JournalStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _create(directory: Path, number: int) -> int:
    """Make a new file whose name is durable before anybody can hold an address in it."""
    path = journalscan.path_of(directory, number)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


def _write(descriptor: int, buffers: list[memoryview], offset: int) -> int:
    """Write the buffers one after the other from `offset` on; return where they end."""
    while buffers:
        written = os.pwritev(descriptor, buffers[:_IOV_MAX], offset)
        offset += written
        done = 0
        while done < len(buffers) and written >= len(buffers[done]):
            written -= len(buffers[done])
            done += 1
        del buffers[:done]
        if written:
            buffers[0] = buffers[0][written:]
    return offset


def _cut_back(file: _OpenFile) -> None:
    """Take away the half of a block."""
    try:
        os.ftruncate(file.descriptor, file.bytes)
    except OSError:
        file.trusted = False


def _loss(span: tuple[int, int]) -> Event:
    return Event(ts_ns=span[0], kind=EventKind.UNSYNCED, detail={"since_ns": span[0], "until_ns": span[1]})


def _joined(span: tuple[int, int] | None, first_ns: int, last_ns: int) -> tuple[int, int]:
    return (first_ns, last_ns) if span is None else (min(span[0], first_ns), max(span[1], last_ns))


def _with_block(known: JournalFile | None, file: _OpenFile, first_ns: int, last_ns: int) -> JournalFile:
    """What is known of a file to which a block was appended."""
    if known is not None:
        first_ns, last_ns = min(first_ns, known.first_ns), max(last_ns, known.last_ns)
    return JournalFile(number=file.number, bytes=file.bytes, first_ns=first_ns, last_ns=last_ns)


def _write_error(what: str, error: OSError | JournalBusyError) -> JournalWriteError:
    return JournalWriteError(f"{what}: {(isinstance(error, OSError) and error.strerror) or error}")
