"""One HTTP/1.1 connection over TLS (RFC 9112; h11 holds the protocol's state), through a proxy where there is one.

Errors are TargetError, in words for whoever reads `rokubox uploads`; those of our own file are left as they are.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import h11

from uploader.errors import TargetError
from uploader.targets import socketstream, tls
from uploader.targets.socketstream import SocketStream

READ_BYTES = 256 << 10
"""Read at once."""
_MAX_HEAD_BYTES = 100 << 10
_NOT_HTTP = "it broke off, or does not speak HTTP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy that connects to servers for us (CONNECT, RFC 9110 section 9.3.6)."""

    host: str
    port: int
    authorization: str
    """Value of Proxy-Authorization; empty without a user."""

    @classmethod
    def parse(cls, url: str) -> "Proxy":
        """Take `http://[user:password@]host:port` apart. Raises TargetError."""
        parts = urlsplit(url)
        try:
            host, port = parts.hostname or "", parts.port or 80
        except ValueError:
            host, port = "", 0
        if parts.scheme != "http" or not host:
            raise TargetError("the proxy in [management] is not of the form http://name:port")
        word = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        return cls(host=host, port=port, authorization=basic(word) if parts.username else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A server, and how it is reached."""

    host: str
    """ASCII; an IPv6 address without brackets."""
    port: int
    tls: ssl.SSLContext
    proxy: Proxy | None = None

    @property
    def authority(self) -> str:
        """Host and port as CONNECT names them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class HttpConnection:
    """Requests to one server, one after the other."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)

    @classmethod
    async def open(cls, origin: Origin, limit_s: float) -> "HttpConnection":
        """Connect. Raises TargetError."""
        with _told("it cannot be reached"):
            async with asyncio.timeout(limit_s):
                proxy = origin.proxy
                host, port = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
                stream = await socketstream.connect(host, port, limit_s)
                try:
                    if proxy:
                        await cls(stream).tunnel(origin.authority, proxy, limit_s)
                    await stream.start_tls(origin.tls, origin.host, limit_s)
                except BaseException:
                    stream.close()
                    raise
        return cls(stream)

    async def tunnel(self, authority: str, proxy: Proxy, limit_s: float) -> None:
        """Have a proxy connect to a server; what is sent from then on goes there. Raises TargetError."""
        headers = {"host": authority}
        if proxy.authorization:
            headers["proxy-authorization"] = proxy.authorization
        answer = await self.ask("CONNECT", authority, headers, None, limit_s)
        if not 200 <= answer.status_code < 300:
            raise TargetError(f"the proxy refuses (HTTP {answer.status_code})")

    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes | AsyncIterable[bytes] | None,
        limit_s: float,
    ) -> h11.Response:
        """Make a request and return the head of its answer. `limit_s`: for each step of it. Raises TargetError."""
        given = [(name.encode(), value.encode()) for name, value in headers.items()]
        try:
            await self._send(h11.Request(method=method, target=target, headers=given), limit_s)
            if isinstance(content, bytes):
                await self._send(h11.Data(data=content), limit_s)
            elif content is not None:
                async for chunk in content:
                    await self._send(h11.Data(data=chunk), limit_s)
            await self._send(h11.EndOfMessage(), limit_s)
        except _BrokenOffError:
            self._state.send_failed()  # it may have answered before it hung up
        while True:
            match await self._event(limit_s):
                case h11.Response() as response:
                    return response
                case h11.InformationalResponse():
                    continue
                case _:
                    raise TargetError(_NOT_HTTP)

    async def body(self, limit_s: float) -> AsyncGenerator[bytes, None]:
        """The rest of the answer, which has to be read to its end before the next request. Raises TargetError."""
        while True:
            match await self._event(limit_s):
                case h11.Data(data=data):
                    yield bytes(data)
                case h11.EndOfMessage():
                    return
                case _:
                    raise TargetError(_NOT_HTTP)

    def is_ready_again(self) -> bool:
        """Whether another request may follow the one that is over."""
        if self._state.our_state is not h11.DONE or self._state.their_state is not h11.DONE:
            return False
        self._state.start_next_cycle()
        return True

    def is_lost(self) -> bool:
        """Whether the server has hung up since the last request; what it said unasked is as bad."""
        return self._stream.is_readable()

    def close(self) -> None:
        """Close it."""
        self._stream.close()

    async def _send(self, event: h11.Event, limit_s: float) -> None:
        content = self._state.send(event)
        if content:
            try:
                await self._stream.write(content, limit_s)
            except TimeoutError as error:
                raise TargetError("it does not answer in time") from error
            except OSError as error:
                raise _BrokenOffError from error

    async def _event(self, limit_s: float) -> object:
        """What the server sends next."""
        with _told("the connection was lost"):
            while (event := self._state.next_event()) is h11.NEED_DATA:
                self._state.receive_data(await self._stream.read(READ_BYTES, limit_s))
            return event


class _BrokenOffError(Exception):
    """Nothing more can be sent."""


def basic(word: str) -> str:
    """User and password, with a colon between them, as a value of Authorization (RFC 7617)."""
    return f"Basic {base64.b64encode(word.encode()).decode()}"


@contextmanager
def _told(lost: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise TargetError("it does not answer in time") from error
    except OSError as error:
        raise TargetError(tls.distrust(error) or lost) from error
    except h11.RemoteProtocolError as error:
        raise TargetError(_NOT_HTTP) from error
