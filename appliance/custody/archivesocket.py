"""`run/assemble.sock`: requests to the archive's owner while it does its work, a line of JSON each way.

Nothing here waits: `poll` takes in what has come and carries out a piece of the oldest request. Who asks is what the
kernel says (SO_PEERCRED, unix(7)); a name given in a request is believed from root and from the owner's own user, for
others the user's name goes with it. A connection that says too much, or nothing, is closed.
"""

import contextlib
import os
import pwd
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from appliance.custody import archiverequests
from appliance.custody.archiverequests import MAX_REQUEST_BYTES, Refused, Request
from appliance.custody.archivist import Archivist, Steps
from appliance.errors import RequestError
from storage.retention.clockguard import Sighting

NAME = "assemble.sock"
MODE = 0o660
MAX_CONNECTIONS = 16
IDLE_S = 30.0
"""How long a connection may say nothing."""
PIECE_S = 0.02
"""How long a piece of work may take before assembly goes on."""
_READ_BYTES = 1 << 16
_CREDENTIALS = struct.Struct("3i")


@dataclass(slots=True, kw_only=True, eq=False)
class _Connection:
    """Somebody who asks."""

    socket: socket.socket
    user: int
    """Number of the user on the other side."""
    heard_s: float
    received: bytes = b""
    unsent: bytes = b""
    waiting: list[Request] = field(default_factory=list)
    ended: bool = False
    """Nothing more comes."""


class ArchiveSocket:
    """The owner's side. A context; at its end the socket is gone."""

    def __init__(self, run: Path, archivist: Archivist, sight: Callable[[], Sighting]) -> None:
        """Raises OSError when the socket cannot be made."""
        self._path = run / NAME
        self._archivist = archivist
        self._sight = sight
        self._connections: list[_Connection] = []
        self._work: tuple[_Connection, Steps] | None = None
        # The owner holds the archive's lock: a socket that is there already is nobody's.
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with short_path(self._path) as path:
            self._listening.bind(path)
        self._path.chmod(MODE)
        self._listening.listen(MAX_CONNECTIONS)

    def poll(self) -> bool:
        """Take in and answer what there is, for a moment; True when there is more to do at once."""
        now_s = time.monotonic()
        self._accept(now_s)
        for connection in list(self._connections):
            self._exchange(connection, now_s)
        deadline = now_s + PIECE_S
        while self._step() and time.monotonic() < deadline:
            pass
        return self._work is not None

    def close(self) -> None:
        """Finish what is being carried out, and take no more."""
        while self._work is not None:
            self._step()
        for connection in list(self._connections):
            self._exchange(connection, time.monotonic())
            self._drop(connection)
        self._listening.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _accept(self, now_s: float) -> None:
        while len(self._connections) < MAX_CONNECTIONS:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return
            accepted.setblocking(False)
            _, user, _ = _CREDENTIALS.unpack(
                accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
            self._connections.append(_Connection(socket=accepted, user=user, heard_s=now_s))

    def _exchange(self, connection: _Connection, now_s: float) -> None:
        """Read what came, write what is ready; close what is over."""
        busy = bool(connection.waiting) or (self._work is not None and self._work[0] is connection)
        silent = now_s - connection.heard_s > IDLE_S and not busy
        try:
            if connection.unsent:
                connection.unsent = connection.unsent[connection.socket.send(connection.unsent) :]
            # Not while something of it is undone: what it says next waits in the kernel, which is bounded.
            if not (busy or connection.unsent or connection.ended):
                received = connection.socket.recv(_READ_BYTES)
                connection.heard_s = now_s
                self._take(connection, received)
                connection.ended |= not received
        except BlockingIOError:
            pass
        except OSError:
            connection.ended, connection.unsent = True, b""
        if silent or (connection.ended and not connection.waiting and not connection.unsent):
            self._drop(connection)

    def _take(self, connection: _Connection, received: bytes) -> None:
        *lines, connection.received = (connection.received + received).split(b"\n")
        if len(connection.received) > MAX_REQUEST_BYTES or any(len(line) > MAX_REQUEST_BYTES for line in lines):
            connection.unsent += archiverequests.line(Refused(problem="the request is too long", input=True))
            connection.received = b""
            connection.ended = True
            return
        for line in lines:
            try:
                connection.waiting.append(_attributed(archiverequests.parse_request(line), connection.user))
            except RequestError as error:
                connection.unsent += archiverequests.line(Refused(problem=str(error), input=True))

    def _step(self) -> bool:
        """Do one step of one request; False when there is nothing to do."""
        if self._work is None:
            asking = next((connection for connection in self._connections if connection.waiting), None)
            if asking is None:
                return False
            self._work = asking, self._archivist.carry_out(asking.waiting.pop(0), self._sight())
        connection, steps = self._work
        try:
            next(steps)
        except StopIteration as ended:
            self._work = None
            connection.heard_s = time.monotonic()
            connection.unsent += archiverequests.line(ended.value)
        return True

    def _drop(self, connection: _Connection) -> None:
        if self._work is not None and self._work[0] is connection:
            return  # what was asked is carried out; its answer finds nobody
        connection.socket.close()
        with contextlib.suppress(ValueError):
            self._connections.remove(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _attributed(request: Request, user: int) -> Request:
    """The request with the user's name where somebody else may be claimed to ask."""
    if user in (0, os.geteuid()):
        return request
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        name = f"uid {user}"
    if request.who == name:
        return request
    return msgspec.structs.replace(request, who=f"{request.who[:900]} (asked by {name})")


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name for `path` that fits into the address of a socket (108 bytes, unix(7)), wherever the archive lies."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
