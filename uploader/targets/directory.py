"""A directory: another disk, or a share that the system has mounted.

A directory that is not there is never made: the mount is missing, and what was written would fill our own disk. Calls
that may hang with a network file system run in a thread.
"""

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

from uploader.errors import ParcelError, TargetError
from uploader.parcel import CHUNK_BYTES, Parcel
from uploader.proof import Proof
from uploader.settings import TargetSettings
from uploader.targets import filedelivery

T = TypeVar("T")
_OWN = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EISDIR)
"""Errors that speak of this file and not of the target."""


class DirectoryTarget:
    """`file:///a/directory`."""

    def __init__(self, settings: TargetSettings) -> None:
        self._root = Path(settings.path)

    @asynccontextmanager
    async def session(self) -> AsyncIterator["DirectorySession"]:
        """As `Target.session`."""
        if not await asyncio.to_thread(self._root.is_dir):
            raise TargetError("the directory is not there; is it mounted?")
        yield DirectorySession(self._root)


class DirectorySession:
    """Files below one directory."""

    resumes = True

    def __init__(self, root: Path) -> None:
        self._root = root

    async def deliver(self, parcel: Parcel) -> Proof:
        """As `Session.deliver`."""
        return await filedelivery.deliver(self, parcel)

    async def size(self, path: str) -> int | None:
        """As in `FileAccess`."""
        try:
            return await _aside(lambda: os.lstat(self._root / path).st_size)
        except FileNotFoundError:
            return None

    async def make_folder(self, path: str) -> None:
        """As in `FileAccess`."""

        def make() -> None:
            folder = self._root
            for name in path.split("/"):  # never the root itself
                folder /= name
                if not folder.is_dir():
                    folder.mkdir(exist_ok=True)
                    _sync(folder.parent)

        await _aside(make)

    async def write(self, path: str, first: int, _size_bytes: int, chunks: AsyncIterator[bytes]) -> None:
        """As in `FileAccess`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = await _aside(lambda: os.open(self._root / path, flags, 0o640))
        try:
            async for chunk in chunks:
                await _aside(_write_all, descriptor, chunk, first)
                first += len(chunk)
            await _aside(os.fsync, descriptor)
            # So that reading back asks the disk, or the server of a mounted share.
            await _aside(os.posix_fadvise, descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            await _aside(os.close, descriptor)

    async def read(self, path: str) -> AsyncGenerator[bytes, None]:
        """As in `FileAccess`."""
        descriptor = await _aside(lambda: os.open(self._root / path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
        try:
            while chunk := await _aside(os.read, descriptor, CHUNK_BYTES):
                yield chunk
        finally:
            await _aside(os.close, descriptor)

    async def rename(self, path: str, final: str) -> None:
        """As in `FileAccess`."""

        def rename() -> None:
            # No rename without replacing is had everywhere; we are the only one who writes this name.
            if os.path.lexists(self._root / final):
                raise ParcelError(filedelivery.CONFLICT)
            os.rename(self._root / path, self._root / final)
            _sync((self._root / final).parent)

        await _aside(rename)

    async def remove(self, path: str) -> None:
        """As in `FileAccess`."""
        await _aside(lambda: (self._root / path).unlink(missing_ok=True))


async def _aside(call: Callable[..., T], *arguments: object) -> T:
    """Make a call in a thread; what it raises speaks of the target."""
    with _reported():
        return await asyncio.to_thread(call, *arguments)


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        kind = ParcelError if error.errno in _OWN else TargetError
        raise kind(f"the directory: {error.strerror}") from error


def _write_all(descriptor: int, chunk: bytes, first: int) -> None:
    left = memoryview(chunk)
    while left:
        written = os.pwrite(descriptor, left, first)
        left, first = left[written:], first + written


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
