"""A directory: another disk, or a share that the system has mounted.

A directory that is not there is never made: the mount is missing, and what was written would fill our own disk. Calls
may hang with a network file system, so they are made in threads.
"""

import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Lock
from typing import TypeVar

from uploader.errors import ParcelError, TargetError
from uploader.parcel import CHUNK_BYTES, Parcel
from uploader.proof import Proof
from uploader.settings import TargetSettings
from uploader.targets import filedelivery
from uploader.targets.aside import Aside

T = TypeVar("T")
_OWN = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EISDIR)
"""Errors that speak of this file and not of the target."""


class DirectoryTarget:
    """`file:///a/directory`."""

    def __init__(self, settings: TargetSettings) -> None:
        self._root = Path(settings.path)
        self._aside = Aside(settings.parallel)

    @asynccontextmanager
    async def session(self) -> AsyncIterator["DirectorySession"]:
        """As `Target.session`."""
        if not await self._aside.call(self._root.is_dir):
            raise TargetError("the directory is not there; is it mounted?")
        yield DirectorySession(self._root, self._aside)


class DirectorySession:
    """Files below one directory."""

    resumes = True

    def __init__(self, root: Path, aside: Aside) -> None:
        self._root = root
        self._aside = aside

    async def deliver(self, parcel: Parcel) -> Proof:
        """As `Session.deliver`."""
        return await filedelivery.deliver(self, parcel)

    async def size(self, path: str) -> int | None:
        """As in `FileAccess`."""

        def look() -> int | None:
            try:
                return os.lstat(self._root / path).st_size
            except FileNotFoundError:
                return None

        return await self._call(look)

    async def make_folder(self, path: str) -> None:
        """As in `FileAccess`."""

        def make() -> None:
            folder = self._root
            for name in path.split("/"):  # never the root itself
                folder /= name
                if not folder.is_dir():
                    folder.mkdir(exist_ok=True)
                    _sync(folder.parent)

        await self._call(make)

    async def write(self, path: str, first: int, _size_bytes: int, chunks: AsyncIterator[bytes]) -> None:
        """As in `FileAccess`."""
        async with self._opened(path, os.O_WRONLY | os.O_CREAT) as file:
            async for chunk in chunks:
                await self._call(file.write_all, chunk, first)
                first += len(chunk)
            await self._call(file.sync)

    async def read(self, path: str) -> AsyncGenerator[bytes, None]:
        """As in `FileAccess`."""
        first = 0
        async with self._opened(path, os.O_RDONLY) as file:
            while chunk := await self._call(file.read, first):
                yield chunk
                first += len(chunk)

    async def rename(self, path: str, final: str) -> None:
        """As in `FileAccess`."""

        def rename() -> None:
            # No rename without replacing is had everywhere; we are the only one who writes this name.
            if os.path.lexists(self._root / final):
                raise ParcelError(filedelivery.CONFLICT)
            os.rename(self._root / path, self._root / final)
            _sync((self._root / final).parent)

        await self._call(rename)

    async def remove(self, path: str) -> None:
        """As in `FileAccess`."""
        await self._call((self._root / path).unlink, missing_ok=True)

    @asynccontextmanager
    async def _opened(self, path: str, flags: int) -> AsyncIterator["_File"]:
        file = await self._call(_File, self._root / path, flags)
        try:
            yield file
        finally:
            self._aside.later(file.close)

    async def _call(self, function: Callable[..., T], *arguments: object, **named: object) -> T:
        """Make a call aside; what it raises speaks of the target."""
        try:
            return await self._aside.call(function, *arguments, **named)
        except OSError as error:
            kind = ParcelError if error.errno in _OWN else TargetError
            raise kind(f"the directory: {error.strerror}") from error


class _File:
    """An open file. Whoever closes it waits for a call that hangs: a number that is used again is another file's."""

    def __init__(self, path: Path, flags: int) -> None:
        self._descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        self._lock = Lock()

    def write_all(self, chunk: bytes, first: int) -> None:
        """All of it, at `first`."""
        left = memoryview(chunk)
        with self._lock:
            while left:
                written = os.pwrite(self._descriptor, left, first)
                left, first = left[written:], first + written

    def sync(self) -> None:
        """To the disk, and out of memory: reading back asks the disk, or the server of a mounted share."""
        with self._lock:
            os.fsync(self._descriptor)
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def read(self, first: int) -> bytes:
        """Some bytes; none at the end."""
        with self._lock:
            return os.pread(self._descriptor, CHUNK_BYTES, first)

    def close(self) -> None:
        """Once nothing else is done with it."""
        with self._lock:
            os.close(self._descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
