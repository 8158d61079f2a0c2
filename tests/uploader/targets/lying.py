"""Servers that lie, break and stall: one of HTTPS (PUT, WebDAV and S3 alike), one of SFTP."""

import asyncio
import contextlib
import hashlib
import ssl
import threading
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import asyncssh
import trustme

from tests.uploader.targets.sshserved import make_key
from uploader.settings import TargetSettings

Headers = dict[str, str]


@dataclass
class Web:
    """A server that keeps files in memory, and does wrong what a test sets."""

    store: Callable[[bytes], bytes | None] = lambda content: content
    """What becomes of what is put; None: forgotten."""
    show: Callable[[bytes], bytes] = lambda content: content
    """What is shown of it."""
    echo: bool = False
    """It names the checksums that it was told as if they were its own."""
    refuse: tuple[int, Headers] | None = None
    """Every PUT is answered so."""
    cut_after: int | None = None
    """The connection is cut when so much of a PUT was read."""
    hasty: bool = False
    """PUTs are answered before they are read, and nothing more is: the connection is closed."""
    answer: bool = True
    """PUTs are answered; else the connection is cut when everything was stored."""
    endless: bool = False
    """Every answer to a GET or PUT goes on for ever."""
    slow_bytes_s: float = 0
    """What is put is taken no faster; 0: as fast as it comes."""
    stall: bool = False
    """Nothing is ever answered."""
    garbage: bool = False
    """It does not speak HTTP."""
    expired: bool = False
    """Its certificate is of yesterday."""
    files: dict[str, bytes] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                while not reader.at_eof():
                    await self._serve_one(reader, writer)
        finally:
            writer.transport.abort()  # TLS would wait for the other's good-bye

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.split("\r\n")
        method, target, _ = line.split(" ")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in rest if one)}
        self.requests.append(method)
        self.hosts.add(headers["host"])
        if self.stall:
            await asyncio.sleep(3600)
        if self.garbage:
            writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" * 10)
            raise ConnectionError
        length = int(headers.get("content-length", 0))
        if method == "PUT" and self.cut_after is not None:
            self.files[target] = await reader.readexactly(min(length, self.cut_after))
            raise ConnectionError
        if method == "PUT" and self.hasty:
            writer.write(b"HTTP/1.1 413 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            raise ConnectionError
        content = b""
        while self.slow_bytes_s and len(content) < length:
            content += await reader.read(min(1 << 14, length - len(content)))
            await asyncio.sleep((1 << 14) / self.slow_bytes_s)
        content += await reader.readexactly(length - len(content))
        status, more, body = self._do(method, target, headers, content)
        if method == "PUT" and not self.answer:
            raise ConnectionError
        if self.endless and method in ("GET", "PUT"):
            writer.write(f"HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            while not (writer.transport.is_closing() or reader.at_eof()):
                await asyncio.sleep(0)
                writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                await writer.drain()
            raise ConnectionError
        told = "".join(f"{name}: {value}\r\n" for name, value in more.items())
        size = len(self.show(self.files[target])) if method == "HEAD" and status == 200 else len(body)
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {size}\r\n{told}\r\n".encode() + body)
        await writer.drain()

    def _do(self, method: str, target: str, headers: Headers, content: bytes) -> tuple[int, Headers, bytes]:
        match method:
            case "PUT":
                if self.refuse is not None:
                    return *self.refuse, b""
                if target in self.files and headers.get("if-none-match") == "*":
                    return 412, {}, b""
                kept = self.store(content)
                if kept is not None:
                    self.files[target] = kept
                self.said[target] = hashlib.sha256(content).hexdigest()
                return 201 if "x-amz-date" not in headers else 200, self._checksums(target), b""
            case "MKCOL":
                return 201, {}, b""
            case "MOVE":
                self.files[target_of(headers["destination"])] = self.files.pop(target)
                return 201, {}, b""
            case "DELETE":
                self.files.pop(target, None)
                return 204, {}, b""
            case _ if target not in self.files:
                return 404, {}, b""
            case "HEAD":
                return 200, self._checksums(target), b""
            case _:
                return 200, {}, self.show(self.files[target])

    def _checksums(self, target: str) -> Headers:
        if not self.echo or target not in self.said:
            return {}
        encoded = b64encode(bytes.fromhex(self.said[target])).decode()
        return {"Repr-Digest": f"sha-256=:{encoded}:", "x-amz-checksum-sha256": encoded}


def target_of(destination: str) -> str:
    return "/" + destination.split("/", 3)[3]


@contextmanager
def running(start: Callable[[], Awaitable[asyncio.Server | asyncssh.SSHAcceptor]]) -> Iterator[int]:
    """A server in a thread; its port."""
    loop = asyncio.new_event_loop()
    started: list[int] = []
    ready = threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        server = await start()
        started.append(server.sockets[0].getsockname()[1] if isinstance(server, asyncio.Server) else server.get_port())
        ready.set()
        await stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=1)
        await asyncio.sleep(0.05)  # transports are gone

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(20)
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        assert not thread.is_alive(), "the server has not ended"
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@dataclass
class Proxy:
    """An HTTP proxy that connects to servers (CONNECT)."""

    authorization: str = ""
    """What it wants to be told; anything when empty."""
    asked: list[str] = field(default_factory=list)
    """The servers that it was to connect to."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        _, server, _ = head.split("\r\n")[0].split(" ")
        self.asked.append(server)
        if self.authorization not in head:
            writer.write(b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        host, port = server.rsplit(":", 1)
        there, to = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(_passed_on(reader, to), _passed_on(there, writer))


async def _passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while content := await reader.read(1 << 16):
            writer.write(content)
            await writer.drain()
    finally:
        writer.close()


@contextmanager
def web(folder: Path, server: Web, scheme: str) -> Iterator[TargetSettings]:
    """The server, and how to deliver to it by HTTPS, WebDAV or S3."""
    ca = trustme.CA()
    yesterday = datetime.now(UTC) - timedelta(days=1) if server.expired else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1", not_after=yesterday).configure_cert(context)
    ca.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "secret").write_text("secret")
    with running(lambda: asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)) as port:
        yield TargetSettings(
            name="liar",
            url=f"{scheme}://127.0.0.1:{port}/bucket/folder",
            user="somebody",
            password_file=str(folder / "secret"),
            ca_file=str(folder / "ca.pem"),
        )


class Sftp(asyncssh.SFTPServer):
    """An SFTP server whose writes a test spoils."""

    spoil: Callable[[bytes], bytes] = staticmethod(lambda data: data)
    full_after = 1 << 60
    stall = False

    opened: ClassVar[list[Any]] = []

    def open(self, *arguments: Any) -> Any:
        self.opened.append(super().open(*arguments))
        return self.opened[-1]

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        if offset + len(data) > self.full_after:
            raise asyncssh.SFTPFailure("full")
        super().write(file_obj, offset, type(self).spoil(data))
        return len(data)

    async def fsync(self, file_obj: object) -> None:  # noqa: ARG002
        while self.stall:
            await asyncio.sleep(0.01)


@contextmanager
def sftp(folder: Path, server: type[Sftp]) -> Iterator[TargetSettings]:
    """The server, and how to deliver to it."""
    host_key, client_key = make_key(folder / "host"), make_key(folder / "client")
    (folder / "authorized").write_text(client_key)
    (folder / "store").mkdir()

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[str(folder / "host")],
            authorized_client_keys=str(folder / "authorized"),
            sftp_factory=lambda channel: server(channel, chroot=str(folder / "store").encode()),
        )

    try:
        with running(start) as port:
            yield TargetSettings(
                name="liar",
                url=f"sftp://127.0.0.1:{port}/",
                user="somebody",
                key_file=str(folder / "client"),
                host_keys=(host_key,),
            )
    finally:
        for file in server.opened:  # the library leaves them open when a connection is cut
            file.close()
