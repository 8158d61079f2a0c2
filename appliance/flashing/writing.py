"""An image onto a disk: written, read back, and only then made bootable.

The partition table comes last. A disk that was pulled out too early has none and boots nothing; so does one that does
not give back what was written to it.
"""

import contextlib
import errno
import hashlib
import mmap
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.flashing import gpt
from appliance.flashing.errors import DiskChoiceError, DiskError, RightsError
from appliance.flashing.image import BLOCK_BYTES, Image

Progress = Callable[[int, int], None]
"""Told how many bytes of how many are done."""
_TABLE_BYTES = gpt.TABLE_SECTORS * gpt.SECTOR_BYTES
_BACKUP_BYTES = gpt.BACKUP_SECTORS * gpt.SECTOR_BYTES
_SYNC_EVERY_BYTES = 64 << 20
"""So that progress tells what the disk has, not what memory has."""


def write(image: Image, target: Path, writing: Progress, reading: Progress) -> gpt.Table:
    """Write an image to a disk, or to a file as large as one, and return the table that it got.

    Raises:
        DiskChoiceError: somebody uses it, or it is too small.
        DiskError: it cannot be written, or gives back something else.
        ImageError: the image cannot be read.
        RightsError: only root may.
    """
    with _claimed(target) as disk:
        size = os.lseek(disk, 0, os.SEEK_END)
        if size < image.wanted_bytes:
            raise DiskChoiceError(f"{target}: too small, {image.wanted_bytes} bytes are needed")
        try:
            return _write(disk, size, image, target, writing, reading)
        except OSError as error:
            raise DiskError(f"{target}: {error.strerror}; is it still there?") from error


def _write(disk: int, size: int, image: Image, target: Path, writing: Progress, reading: Progress) -> gpt.Table:
    _put(disk, bytes(_TABLE_BYTES), 0)
    _put(disk, bytes(_BACKUP_BYTES), size - _BACKUP_BYTES)
    os.fsync(disk)
    wanted = hashlib.sha256()
    at = unsynced = 0
    for block in image.blocks():
        if at == 0:
            block = bytes(_TABLE_BYTES) + block[_TABLE_BYTES:]
        wanted.update(block)
        _put(disk, block, at)
        at += len(block)
        unsynced += len(block)
        if unsynced >= _SYNC_EVERY_BYTES:
            os.fsync(disk)
            unsynced = 0
        writing(at, image.content_bytes)
    # Where the image ends, something that was on the disk before might be taken for a file system.
    _put(disk, bytes(min(BLOCK_BYTES, size - _BACKUP_BYTES - at)), at)
    os.fsync(disk)
    found = hashlib.sha256()
    for block in _read_back(target, disk, at, reading):
        found.update(block)
    if found.digest() != wanted.digest():
        raise DiskError(f"{target}: does not hold what was written to it; take another disk, this one is broken")
    table = gpt.renewed(image.table, size // gpt.SECTOR_BYTES, uuid.uuid4)
    primary, backup = gpt.serialize(table)
    _put(disk, backup, (table.disk_sectors - gpt.BACKUP_SECTORS) * gpt.SECTOR_BYTES)
    os.fsync(disk)
    _put(disk, primary, 0)
    os.fsync(disk)
    if b"".join(_read_back(target, disk, _TABLE_BYTES, lambda _done, _total: None)) != primary:
        raise DiskError(f"{target}: does not hold its partition table; take another disk, this one is broken")
    return table


@contextlib.contextmanager
def _claimed(target: Path) -> Iterator[int]:
    """The disk, opened so that nobody mounts it meanwhile (O_EXCL of open(2))."""
    try:
        descriptor = os.open(target, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except PermissionError as error:
        raise RightsError(f"{target}: only root may write to it; run this with sudo") from error
    except OSError as error:
        told = "in use" if error.errno == errno.EBUSY else error.strerror
        raise DiskChoiceError(f"{target}: {told}") from error
    try:
        kind = os.fstat(descriptor).st_mode
        if not (stat.S_ISBLK(kind) or stat.S_ISREG(kind)):
            raise DiskChoiceError(f"{target}: neither a disk nor a file")
        yield descriptor
    finally:
        os.close(descriptor)


def _put(disk: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(disk, view, at)
        view, at = view[done:], at + done


def _read_back(target: Path, disk: int, size: int, progress: Progress) -> Iterator[bytes]:
    """The disk's beginning as the disk has it: past the page cache where that is possible."""
    os.posix_fadvise(disk, 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        reader = os.open(target, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        reader = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with mmap.mmap(-1, BLOCK_BYTES) as room:  # as direct reading wants it: on a page's border
            at = 0
            while at < size:
                got = min(os.preadv(reader, [room], at), size - at)
                if got <= 0:
                    raise DiskError(f"{target}: ends at {at} bytes, though it said otherwise; it is broken or a fake")
                yield room[:got]
                at += got
                progress(at, size)
    finally:
        os.close(reader)
