"""Requests to one HTTP server as the targets make them: bounded answers, errors in words, no redirects (RFC 9110)."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import h11

from uploader.errors import ParcelError, TargetError
from uploader.settings import TargetSettings
from uploader.targets import tls
from uploader.targets.contract import Patience
from uploader.targets.credentials import secret
from uploader.targets.httpconnection import HttpConnection, Origin, Proxy, basic

MAX_ANSWER_BYTES = 1 << 20
"""No answer that is not a file is longer."""
_HEADERS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "rokubox"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answers to a request that moves no file."""

    status: int
    headers: Mapping[str, str]
    """By their names in small letters."""
    content: bytes

    @property
    def size_bytes(self) -> int | None:
        """Content-Length; None when it does not tell."""
        length = self.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else None


class HttpClient:
    """Requests to one server, each over a connection that no other uses meanwhile."""

    def __init__(self, origin: Origin, patience: Patience, headers: Mapping[str, str]) -> None:
        """`headers` go with every request; their names in small letters."""
        self._origin = origin
        self._patience = patience
        self._headers = headers
        self._idle: list[HttpConnection] = []

    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | AsyncIterable[bytes] | None = None,
    ) -> Answer:
        """Make a request for a path (and query) and read its answer. Raises TargetError when there is none."""
        async with self._sent(method, target, headers, content) as (response, body):
            received = b""
            # To its end, be it empty: a connection whose answer was not read cannot be used again.
            async for chunk in body:
                received += chunk
                if len(received) > MAX_ANSWER_BYTES:
                    raise TargetError("its answer is too long")
            return Answer(status=response.status_code, headers=_named(response.headers), content=received)

    async def read(self, target: str, headers: Mapping[str, str] | None = None) -> AsyncGenerator[bytes, None]:
        """What a file holds, as it is transferred. Raises TargetError."""
        async with self._sent("GET", target, headers, None) as (response, body):
            if response.status_code != 200:
                raise refusal(response.status_code, _named(response.headers))
            async for chunk in body:
                yield chunk

    def close(self) -> None:
        """Close what is open."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    @asynccontextmanager
    async def _sent(
        self, method: str, target: str, headers: Mapping[str, str] | None, content: bytes | AsyncIterable[bytes] | None
    ) -> AsyncIterator[tuple[h11.Response, AsyncGenerator[bytes, None]]]:
        sent = {**self._headers, **{name.lower(): value for name, value in (headers or {}).items()}}
        if not isinstance(content, AsyncIterable) and (content or method in ("POST", "PUT")):
            sent["content-length"] = str(len(content or b""))
        # What is sent may lie in buffers for as long as a slow link takes.
        limit_s = self._patience.answer_s + int(sent.get("content-length", "0")) / self._patience.slowest_bytes_s
        connection = await self._connection()
        try:
            response = await connection.ask(method, target, sent, content, limit_s)
            async with aclosing(connection.body(limit_s)) as body:
                yield response, body
            if connection.is_ready_again():
                self._idle.append(connection)
                return
        except BaseException:
            connection.close()
            raise
        connection.close()

    async def _connection(self) -> HttpConnection:
        """One that is open, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_lost():
                return connection
            connection.close()
        return await HttpConnection.open(self._origin, self._patience.connect_s)


def _named(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    named: dict[str, str] = {}
    for name, value in headers:
        key, told = name.decode("latin-1").lower(), value.decode("latin-1")
        named[key] = f"{named[key]}, {told}" if key in named else told
    return named


@asynccontextmanager
async def client(
    settings: TargetSettings, patience: Patience, proxy: str, *, auth: bool = True
) -> AsyncIterator[HttpClient]:
    """A client for one target. Raises TargetError when files it needs cannot be read."""
    headers = {"host": authority(settings), **_HEADERS}
    if auth and settings.password_file:
        password = secret(settings.password_file)
        headers["authorization"] = basic(f"{settings.user}:{password}") if settings.user else f"Bearer {password}"
    origin = Origin(
        host=_ascii(settings.host),
        port=settings.parts.port or 443,
        tls=tls.context(settings.ca_file),
        proxy=Proxy.parse(proxy) if proxy else None,
    )
    opened = HttpClient(origin, patience, headers)
    try:
        yield opened
    finally:
        opened.close()


def authority(settings: TargetSettings) -> str:
    """The server's name and port, as a request names them."""
    return _ascii(settings.parts.netloc)


def _ascii(name: str) -> str:
    """A name in the letters that names have on the wire (RFC 3490)."""
    return name if name.isascii() else name.encode("idna").decode()


def base_path(settings: TargetSettings) -> str:
    """The target's folder as requests name it, with a slash at its end."""
    return f"/{quote(settings.folder)}/" if settings.folder else "/"


def refusal(status: int, headers: Mapping[str, str]) -> ParcelError | TargetError:
    """The error for an answer that is none of the expected ones."""
    match status:
        case 400 | 411 | 413 | 414 | 415 | 422 | 431:
            return ParcelError(f"it does not take this file (HTTP {status})")
        case 401 | 403 | 407:
            told = "it does not accept user or password, or does not permit this"
        case 429:
            told = "it asks for patience"
        case 507:
            told = "its disk is full"
        case _:
            told = (
                "it redirects" if 300 <= status < 400 else "it refuses" if status < 500 else "it has a fault of its own"
            )
    return TargetError(f"{told} (HTTP {status})", retry_after_s=retry_after_s(headers))


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, whichever form it has (RFC 9110 section 10.2.3); None without one."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        until = parsedate_to_datetime(value)
        # By the server's own clock, if it tells: ours may be wrong.
        now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError):
        return None
