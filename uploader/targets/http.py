"""HTTP/1.1 over TLS (httpx) as the targets use it: bounded answers, errors told in words, no redirects (RFC 9110)."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import httpx

from uploader.errors import ParcelError, TargetError
from uploader.parcel import CHUNK_BYTES
from uploader.settings import TargetSettings
from uploader.targets import tls
from uploader.targets.contract import Patience
from uploader.targets.credentials import secret

MAX_ANSWER_BYTES = 1 << 20
"""No answer that is not a file is longer."""
SENT_BYTES = 128 << 10
"""Sent at once: TLS in memory copies what the socket does not take, again and again."""
_IDENTITY = {"Accept-Encoding": "identity", "User-Agent": "rokubox"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answers to a request that moves no file."""

    status: int
    headers: httpx.Headers
    content: bytes

    @property
    def size_bytes(self) -> int | None:
        """Content-Length; None when it does not tell."""
        length = self.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else None


class HttpClient:
    """Requests to one server."""

    def __init__(self, client: httpx.AsyncClient, patience: Patience) -> None:
        self._client = client
        self._patience = patience

    async def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | AsyncIterable[bytes] | None = None,
    ) -> Answer:
        """Make a request and read its answer. Raises TargetError when there is none."""
        async with self._sent(method, url, headers, content) as response:
            received = b""
            # To its end, be it empty: a connection whose answer was not read cannot be used again.
            async for chunk in response.aiter_raw(CHUNK_BYTES):
                received += chunk
                if len(received) > MAX_ANSWER_BYTES:
                    raise TargetError("its answer is too long")
            return Answer(status=response.status_code, headers=response.headers, content=received)

    async def read(self, url: str, headers: Mapping[str, str] | None = None) -> AsyncGenerator[bytes, None]:
        """What a file holds, as it is transferred. Raises TargetError."""
        async with self._sent("GET", url, headers, None) as response:
            if response.status_code != 200:
                raise refusal(response.status_code, response.headers)
            async for chunk in response.aiter_raw(CHUNK_BYTES):
                yield chunk

    @asynccontextmanager
    async def _sent(
        self, method: str, url: str, headers: Mapping[str, str] | None, content: bytes | AsyncIterable[bytes] | None
    ) -> AsyncIterator[httpx.Response]:
        # What is sent may lie in buffers for as long as a slow link takes.
        sent_s = int(httpx.Headers(headers).get("content-length", "0")) / self._patience.slowest_bytes_s
        request = self._client.build_request(
            method, url, headers=dict(headers or {}), content=content, timeout=_timeout(self._patience, sent_s)
        )
        try:
            response = await self._client.send(request, stream=True)
            try:
                yield response
            finally:
                await response.aclose()
        except httpx.TimeoutException as error:
            raise TargetError("it does not answer in time") from error
        except httpx.TransportError as error:
            told = tls.distrust(error) or _TOLD.get(type(error), "the connection was lost")
            raise TargetError(told) from error


_TOLD: Mapping[type[Exception], str] = {
    httpx.ConnectError: "it cannot be reached",
    httpx.ProxyError: "the proxy refuses",
    httpx.RemoteProtocolError: "it broke off, or does not speak HTTP",
}


@asynccontextmanager
async def client(
    settings: TargetSettings, patience: Patience, proxy: str, *, auth: bool = True
) -> AsyncIterator[HttpClient]:
    """A client for one target. Raises TargetError when files it needs cannot be read."""
    headers, basic = dict(_IDENTITY), None
    if auth and settings.password_file:
        password = secret(settings.password_file)
        if settings.user:
            basic = httpx.BasicAuth(settings.user, password)
        else:
            headers["Authorization"] = f"Bearer {password}"
    async with httpx.AsyncClient(
        verify=tls.context(settings.ca_file),
        headers=headers,
        auth=basic,
        limits=httpx.Limits(max_connections=settings.parallel + 1),
        proxy=proxy or None,
        trust_env=False,
        follow_redirects=False,
    ) as opened:
        yield HttpClient(opened, patience)


def _timeout(patience: Patience, sent_s: float) -> httpx.Timeout:
    return httpx.Timeout(patience.answer_s + sent_s, connect=patience.connect_s, pool=None)


def base_url(settings: TargetSettings) -> str:
    """The target's folder as a URL, with a slash at its end."""
    folder = quote(settings.folder)
    return f"https://{settings.parts.netloc}/{folder}/" if folder else f"https://{settings.parts.netloc}/"


def refusal(status: int, headers: httpx.Headers) -> ParcelError | TargetError:
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


def retry_after_s(headers: httpx.Headers) -> float | None:
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
