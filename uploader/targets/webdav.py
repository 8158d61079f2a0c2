"""WebDAV over TLS (RFC 4918): PUT of a hidden draft, read back, MOVE that replaces nothing.

A transfer that broke off begins anew: PUT of a range is no part of the standard (RFC 9110 section 14.5).
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from uploader.errors import ParcelError
from uploader.parcel import Parcel
from uploader.proof import Proof
from uploader.settings import TargetSettings
from uploader.targets import filedelivery, http
from uploader.targets.contract import Patience
from uploader.targets.http import Answer, HttpClient


class WebdavTarget:
    """`davs://server/folder/`."""

    def __init__(self, settings: TargetSettings, patience: Patience, proxy: str) -> None:
        self._settings = settings
        self._patience = patience
        self._proxy = proxy

    @asynccontextmanager
    async def session(self) -> AsyncIterator["WebdavSession"]:
        """As `Target.session`."""
        async with http.client(self._settings, self._patience, self._proxy) as client:
            yield WebdavSession(client, http.authority(self._settings), http.base_path(self._settings))


class WebdavSession:
    """Files below one path."""

    resumes = False

    def __init__(self, client: HttpClient, authority: str, base: str) -> None:
        self._client = client
        self._authority = authority
        self._base = base
        self._folders: set[str] = set()

    async def deliver(self, parcel: Parcel) -> Proof:
        """As `Session.deliver`."""
        return await filedelivery.deliver(self, parcel)

    async def size(self, path: str) -> int | None:
        """As in `FileAccess`."""
        answer = await self._client.ask("HEAD", self._at(path))
        return None if answer.status in (404, 410) else _expected(answer, 200).size_bytes

    async def make_folder(self, path: str) -> None:
        """As in `FileAccess`."""
        folder = ""
        for name in path.split("/"):  # never the root itself
            folder = f"{folder}/{name}".removeprefix("/")
            if folder not in self._folders:
                # 405: it is there already (section 9.3.1); some say 409 when another request is just making it
                _expected(await self._client.ask("MKCOL", f"{self._at(folder)}/"), 201, 200, 405, 409)
                self._folders.add(folder)

    async def write(self, path: str, first: int, size_bytes: int, chunks: AsyncIterator[bytes]) -> None:
        """As in `FileAccess`; `first` is 0."""
        assert first == 0, "a transfer is not gone on with"
        headers = {"Content-Length": str(size_bytes), "Content-Type": "application/zip"}
        _expected(await self._client.ask("PUT", self._at(path), headers, chunks), 200, 201, 204)

    def read(self, path: str) -> AsyncGenerator[bytes, None]:
        """As in `FileAccess`."""
        return self._client.read(self._at(path))

    async def rename(self, path: str, final: str) -> None:
        """As in `FileAccess`."""
        headers = {"Destination": f"https://{self._authority}{self._at(final)}", "Overwrite": "F"}
        answer = await self._client.ask("MOVE", self._at(path), headers)
        if answer.status == 412:
            raise ParcelError(filedelivery.CONFLICT)
        _expected(answer, 201, 204)

    async def remove(self, path: str) -> None:
        """As in `FileAccess`."""
        _expected(await self._client.ask("DELETE", self._at(path)), 200, 204, 404)

    def _at(self, path: str) -> str:
        return self._base + quote(path)


def _expected(answer: Answer, *statuses: int) -> Answer:
    if answer.status not in statuses:
        raise http.refusal(answer.status, answer.headers)
    return answer
