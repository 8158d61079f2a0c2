"""TCP and TLS by the sockets themselves, under asyncio.

The event loop's own TLS keeps what is encrypted in memory and copies it several times on its way. An `ssl.SSLSocket`
that does not block encrypts straight into the socket; the loop is asked only when that would block.
"""

import asyncio
import select
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class SocketStream:
    """A connection, with TLS or without. Methods raise OSError, which TimeoutError and ssl.SSLError are too."""

    def __init__(self, connected: socket.socket) -> None:
        """`connected` does not block."""
        self._socket = connected

    async def read(self, most_bytes: int, limit_s: float) -> bytes:
        """Read what there is; empty at the end."""
        room = memoryview(bytearray(most_bytes))
        size_bytes = 0

        def take() -> None:
            # TLS gives a record at a time: all that is there makes one answer.
            nonlocal size_bytes
            while size_bytes < most_bytes:
                try:
                    size = self._socket.recv_into(room[size_bytes:])
                except _BLOCKED:
                    if size_bytes:
                        return
                    raise
                if not size:
                    return
                size_bytes += size

        await self._done(take, limit_s, writing=False)
        return bytes(room[:size_bytes])

    async def write(self, content: bytes, limit_s: float) -> None:
        """Write everything."""
        left = memoryview(content)

        def give() -> None:
            nonlocal left
            while left:
                left = left[self._socket.send(left) :]

        await self._done(give, limit_s, writing=True)

    async def start_tls(self, context: ssl.SSLContext, host: str, limit_s: float) -> None:
        """Speak TLS from here on, with a server that proves to be `host`."""
        wrapped = context.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
        self._socket = wrapped
        await self._done(wrapped.do_handshake, limit_s, writing=False)

    def is_readable(self) -> bool:
        """Whether something came, or the end."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    async def _done(self, act: Callable[[], T], limit_s: float, *, writing: bool) -> T:
        """Do something, again each time the socket is ready."""
        try:
            return act()
        except _BLOCKED as blocked:
            writes = _is_for_writing(blocked, writing=writing)
        async with asyncio.timeout(limit_s):
            while True:
                await _ready(self._socket.fileno(), writing=writes)
                try:
                    return act()
                except _BLOCKED as blocked:
                    writes = _is_for_writing(blocked, writing=writing)


async def connect(host: str, port: int, limit_s: float) -> SocketStream:
    """Connect to the first address of a host that answers; each has its share of the time. Raises OSError."""
    async with asyncio.timeout(limit_s):
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for n, (family, kind, protocol, _, address) in enumerate(found, 1):
            opened = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
            try:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                async with asyncio.timeout(limit_s / len(found)):
                    await asyncio.get_running_loop().sock_connect(opened, address)
            except OSError:
                opened.close()
                if n == len(found):
                    raise
            except BaseException:
                opened.close()
                raise
            else:
                return SocketStream(opened)
    raise ConnectionError("its name has no address")


def _is_for_writing(blocked: OSError, *, writing: bool) -> bool:
    """What is to be waited for: TLS may have to read before it can write."""
    return isinstance(blocked, ssl.SSLWantWriteError) or (writing and not isinstance(blocked, ssl.SSLWantReadError))


async def _ready(descriptor: int, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(descriptor, tell)
    try:
        await ready
    finally:
        remove(descriptor)
