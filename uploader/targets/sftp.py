"""SFTP (asyncssh), to a server that is known by its host key.

The server proves who it is before anything of ours is sent. Servers offer no checksums (OpenSSH has none), so all
is read back. Version 3 of the protocol has one "failure" for a full disk and for a bad name: it is taken for the
target's.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import cast

import asyncssh
from asyncssh import SFTPClient, SFTPClientFile, SFTPError, SFTPNoSuchFile

from uploader.errors import ParcelError, TargetError
from uploader.parcel import CHUNK_BYTES, Parcel
from uploader.proof import Proof
from uploader.settings import TargetSettings
from uploader.targets import filedelivery
from uploader.targets.contract import Patience
from uploader.targets.credentials import secret

PORT = 22
_KEEPALIVE_S = 15
_OF_THE_FILE = (asyncssh.SFTPInvalidFilename, asyncssh.SFTPFileIsADirectory)


class SftpTarget:
    """`sftp://server/folder`; `/~/folder` begins at the user's home."""

    def __init__(self, settings: TargetSettings, patience: Patience) -> None:
        self._settings = settings
        self._patience = patience
        path = settings.path.rstrip("/")
        self._root = path.removeprefix("/~/") if path.startswith("/~/") else path

    @asynccontextmanager
    async def session(self) -> AsyncIterator["SftpSession"]:
        """As `Target.session`."""
        with _reported():
            connection = await asyncssh.connect(
                self._settings.host,
                self._settings.parts.port or PORT,
                options=self._options(),
                known_hosts=([asyncssh.import_public_key(key) for key in self._settings.host_keys], [], []),
            )
            try:
                yield SftpSession(await connection.start_sftp_client(), self._root)
            finally:
                connection.abort()  # everything has been answered by now, or never will be

    def _options(self) -> asyncssh.SSHClientConnectionOptions:
        settings = self._settings
        asyncssh.set_log_level("CRITICAL")  # file names hold callers' numbers
        return asyncssh.SSHClientConnectionOptions(
            config=None,  # nobody's ~/.ssh decides
            username=settings.user,
            client_keys=[settings.key_file] if settings.key_file else None,
            password=secret(settings.password_file) if settings.password_file else None,
            agent_path=None,
            compression_algs=None,
            encryption_algs="^aes128-gcm@openssh.com",
            connect_timeout=self._patience.connect_s,
            login_timeout=self._patience.connect_s,
            keepalive_interval=_KEEPALIVE_S,
        )


class SftpSession:
    """Files below one folder of a server."""

    resumes = True

    def __init__(self, client: SFTPClient, root: str) -> None:
        self._client = client
        self._root = root
        self._folders: set[str] = set()

    async def deliver(self, parcel: Parcel) -> Proof:
        """As `Session.deliver`."""
        with _reported():
            return await filedelivery.deliver(self, parcel)

    async def size(self, path: str) -> int | None:
        """As in `FileAccess`."""
        try:
            return (await self._client.lstat(self._at(path))).size or 0
        except SFTPNoSuchFile:
            return None

    async def make_folder(self, path: str) -> None:
        """As in `FileAccess`."""
        folder = ""
        for name in path.split("/"):  # never the root itself
            folder = f"{folder}/{name}".removeprefix("/")
            if folder in self._folders:
                continue
            if not await self._client.isdir(self._at(folder)):
                try:
                    await self._client.mkdir(self._at(folder))
                except SFTPError:
                    if not await self._client.isdir(self._at(folder)):  # another transfer has made it
                        raise
            self._folders.add(folder)

    async def write(self, path: str, first: int, _size_bytes: int, chunks: AsyncIterator[bytes]) -> None:
        """As in `FileAccess`."""
        async with self._opened(path, "r+b" if first else "wb") as file:
            async for chunk in chunks:
                await file.write(chunk, first)
                first += len(chunk)
            with suppress(asyncssh.SFTPOpUnsupported):
                await file.fsync()

    async def read(self, path: str) -> AsyncGenerator[bytes, None]:
        """As in `FileAccess`."""
        first = 0
        async with self._opened(path, "rb") as file:
            while chunk := cast(bytes, await file.read(CHUNK_BYTES, first)):
                yield chunk
                first += len(chunk)

    @asynccontextmanager
    async def _opened(self, path: str, mode: str) -> AsyncIterator[SFTPClientFile]:
        file = await self._client.open(self._at(path), mode)
        try:
            yield file
        except asyncio.CancelledError:
            raise  # no answer is waited for; the server closes it with the connection
        except BaseException:
            await file.close()
            raise
        await file.close()

    async def rename(self, path: str, final: str) -> None:
        """As in `FileAccess`. The protocol's own rename does not replace a file (draft-ietf-secsh-filexfer-02, 6.5)."""
        await self._client.rename(self._at(path), self._at(final))

    async def remove(self, path: str) -> None:
        """As in `FileAccess`."""
        with suppress(SFTPNoSuchFile):
            await self._client.remove(self._at(path))

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"


@contextmanager
def _reported() -> Iterator[None]:
    """Tell what went wrong, in words that name no file."""
    try:
        yield
    except asyncssh.HostKeyNotVerifiable as error:
        raise TargetError("its host key is none of host_keys: another server, or it has a new key") from error
    except asyncssh.PermissionDenied as error:
        raise TargetError("it does not accept the user, the key or the password") from error
    except asyncssh.KeyImportError as error:
        raise TargetError("a key cannot be used: key_file or host_keys") from error
    except _OF_THE_FILE as error:
        raise ParcelError("it does not take this file's name") from error
    except SFTPNoSuchFile as error:
        raise TargetError("the folder is not there") from error
    except SFTPError as error:
        raise TargetError(f"SFTP: {_NAMES.get(type(error), 'failure; its disk may be full')}") from error
    except asyncssh.Error as error:
        raise TargetError(f"SSH: {type(error).__name__}") from error


_NAMES = {
    asyncssh.SFTPPermissionDenied: "permission denied",
    asyncssh.SFTPConnectionLost: "the connection was lost",
    asyncssh.SFTPNoConnection: "the connection was lost",
    asyncssh.SFTPNoSpaceOnFilesystem: "its disk is full",
    asyncssh.SFTPQuotaExceeded: "the quota is used up",
    asyncssh.SFTPBadMessage: "it does not speak the protocol",
}
