"""An SMB 3 share (smbprotocol), encrypted; its calls wait, so they are made in threads.

There are no certificates in SMB: the server proves that it knows the user's password, or has the domain's trust, and
everything from there on is signed and encrypted with what came of that (MS-SMB2 3.3.5.5). One that cannot is refused.
"""

import asyncio
import errno
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import smbclient
from smbprotocol.exceptions import (
    LogonFailure,
    SMBAuthenticationError,
    SMBConnectionClosed,
    SMBException,
    SMBOSError,
    SMBResponseException,
)
from smbprotocol.header import NtStatus
from spnego.exceptions import SpnegoError

from uploader.errors import ParcelError, TargetError
from uploader.parcel import CHUNK_BYTES, Parcel
from uploader.proof import Proof
from uploader.settings import TargetSettings
from uploader.targets import filedelivery
from uploader.targets.aside import Aside
from uploader.targets.contract import Patience
from uploader.targets.credentials import secret

PORT = 445
T = TypeVar("T")
_QUOTA_EXCEEDED = 0xC0000044
"""STATUS_QUOTA_EXCEEDED (MS-ERREF 2.3.1)."""
_FULL = (NtStatus.STATUS_DISK_FULL, _QUOTA_EXCEEDED)


class SmbTarget:
    """`smb://server/share/folder`; the user may be `DOMAIN\\user`."""

    def __init__(self, settings: TargetSettings, patience: Patience) -> None:
        self._settings = settings
        self._patience = patience
        self._aside = Aside(settings.parallel)

    @asynccontextmanager
    async def session(self) -> AsyncIterator["SmbSession"]:
        """As `Target.session`."""
        settings, connections = self._settings, dict[str, Any]()
        options = {"port": settings.parts.port or PORT, "connection_cache": connections}
        password = secret(settings.password_file)

        def connect() -> None:
            smbclient.register_session(
                settings.host,
                username=settings.user,
                password=password,
                encrypt=True,
                connection_timeout=self._patience.connect_s,
                **options,
            )

        try:
            await _call(self._aside, connect)
            yield SmbSession(self._aside, "\\\\" + settings.host + "\\" + settings.folder.replace("/", "\\"), options)
        finally:
            # The connection is cut: what still waits for it in a thread ends.
            for connection in connections.values():
                self._aside.later(partial(connection.disconnect, close=False))


class SmbSession:
    """Files below one folder of a share."""

    resumes = True

    def __init__(self, aside: Aside, root: str, options: dict[str, Any]) -> None:
        self._aside = aside
        self._lock = asyncio.Lock()
        self._root = root
        self._options = options
        self._folders: set[str] = set()

    async def deliver(self, parcel: Parcel) -> Proof:
        """As `Session.deliver`."""
        return await filedelivery.deliver(self, parcel)

    async def size(self, path: str) -> int | None:
        """As in `FileAccess`."""
        try:
            return int((await self._call(smbclient.stat, path)).st_size)
        except _MissingError:
            return None

    async def make_folder(self, path: str) -> None:
        """As in `FileAccess`."""
        folder = ""
        for name in path.split("/"):  # never the root itself
            folder = f"{folder}/{name}".removeprefix("/")
            if folder not in self._folders:
                with suppress(_ExistsError):
                    await self._call(smbclient.mkdir, folder)
                self._folders.add(folder)

    async def write(self, path: str, first: int, _size_bytes: int, chunks: AsyncIterator[bytes]) -> None:
        """As in `FileAccess`."""
        async with self._opened(path, mode="r+b" if first else "wb") as file:
            async for chunk in chunks:
                await self._turn(_write_all, file, chunk, first)
                first += len(chunk)
            await self._turn(file.flush)

    async def read(self, path: str) -> AsyncGenerator[bytes, None]:
        """As in `FileAccess`."""
        async with self._opened(path, mode="rb", share_access="r") as file:
            while chunk := await self._turn(file.read, CHUNK_BYTES):
                yield chunk

    @asynccontextmanager
    async def _opened(self, path: str, **how: str) -> AsyncIterator[Any]:
        file = await self._call(smbclient.open_file, path, buffering=0, **how)
        try:
            yield file
        except asyncio.CancelledError:
            _give_up(file)  # no answer is waited for; the connection is cut
            raise
        except BaseException:
            await self._turn(_close, file)
            raise
        await self._turn(_close, file)

    async def rename(self, path: str, final: str) -> None:
        """As in `FileAccess`."""
        try:
            await self._turn(smbclient.rename, self._at(path), self._at(final), **self._options)
        except _ExistsError as error:
            raise ParcelError(filedelivery.CONFLICT) from error

    async def remove(self, path: str) -> None:
        """As in `FileAccess`."""
        with suppress(_MissingError):
            await self._call(smbclient.remove, path)

    async def _call(self, call: Callable[..., T], path: str, **more: object) -> T:
        return await self._turn(call, self._at(path), **more, **self._options)

    async def _turn(self, call: Callable[..., T], *arguments: object, **named: object) -> T:
        """Make calls one after the other: they share the connection's credits, and the library waits for none."""
        async with self._lock:
            return await _call(self._aside, call, *arguments, **named)

    def _at(self, path: str) -> str:
        return f"{self._root}\\" + path.replace("/", "\\")


class _ExistsError(ParcelError):
    """The name is taken."""


class _MissingError(TargetError):
    """The name, or a folder in it, is not there."""


async def _call(aside: Aside, call: Callable[..., T], *arguments: object, **named: object) -> T:
    """Make a call in a thread; what it raises is told in words that name no file."""
    try:
        return await aside.call(call, *arguments, **named)
    except SMBOSError as error:
        if error.errno == errno.EEXIST:
            raise _ExistsError("the name is taken") from error
        if error.errno == errno.ENOENT:
            raise _MissingError("the share or the folder is not there") from error
        told = "its disk is full, or the quota is used up" if error.ntstatus in _FULL else error.strerror
        raise TargetError(f"SMB: {told}") from error
    except (LogonFailure, SMBAuthenticationError, SpnegoError) as error:
        raise TargetError("it does not accept the user or the password") from error
    except SMBConnectionClosed as error:
        raise TargetError("the connection was lost") from error
    except SMBResponseException as error:
        told = "its disk is full, or the quota is used up" if error.status in _FULL else type(error).__name__
        raise TargetError(f"SMB: {told}") from error
    except (SMBException, ValueError) as error:
        raise TargetError("it cannot be reached, or does not speak SMB 3 with encryption") from error


def _write_all(file: Any, chunk: bytes, first: int) -> None:
    file.seek(first)
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]


def _close(file: Any) -> None:
    try:
        file.close()
    except Exception:
        _give_up(file)
        raise


def _give_up(file: Any) -> None:
    """The server closes it with the connection; the library would complain of it, by name."""
    file.fd._connected = False
