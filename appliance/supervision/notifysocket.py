"""The manager's side of sd_notify(3): the socket that one service writes to, and the descriptors kept for it.

Only messages of the service's own process count (`NotifyAccess=main` in systemd): the socket's name is inherited by
whatever the service starts, and an abstract name is open to everybody on the machine.
"""

import array
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Self

STORE_LIMIT = 64
"""Descriptors kept for one service."""
_MESSAGE_BYTES = 4096
_DESCRIPTORS_AT_ONCE = 16
_MESSAGES_AT_ONCE = 1024
"""More than a queue holds (`net.unix.max_dgram_qlen`): one `receive` reads all that a dead process has sent."""
_NAME_LIMIT = 255
_CREDENTIALS = Struct("=iII")
"""`struct ucred` (unix(7)): process, user, group."""
_ANCILLARY_BYTES = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(_DESCRIPTORS_AT_ONCE * 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message of a service."""

    sender: int = 0
    """Process that sent it; 0: unknown."""
    assignments: Mapping[str, str]
    """`READY`, `FDNAME` and so on, with their values."""
    descriptors: tuple[int, ...]
    """Descriptors that came with it; whoever holds the message closes them."""

    @classmethod
    def read(cls, source: socket.socket) -> Self:
        """Read a message from a socket that keeps messages apart; one that is malformed, or none, says nothing.

        Raises:
            OSError: there is none yet, and the socket does not wait for it.
        """
        data, ancillary, flags, _ = source.recvmsg(_MESSAGE_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
        sender, descriptors = _ancillary(ancillary)
        assignments = {} if flags & socket.MSG_TRUNC else _assignments(data)
        return cls(sender=sender, assignments=assignments, descriptors=descriptors)

    def says(self, variable: str) -> bool:
        """Whether this assignment is there, with the value 1."""
        return self.assignments.get(variable) == "1"

    @property
    def name(self) -> str:
        """What the descriptor to be kept, or to be closed, is called."""
        return self.assignments.get("FDNAME", "stored")


class NotifySocket:
    """A datagram socket of its own for one service. Poll `fileno()` for reading."""

    def __init__(self, fileno: int | None = None) -> None:
        """`fileno`: that of such a socket of an earlier manager, with what it has not read; owned from here on."""
        if fileno is not None:
            self._socket = socket.socket(fileno=fileno)
            self._socket.setblocking(False)
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("")  # The kernel chooses a free abstract name.

    @property
    def address(self) -> str:
        """Value of NOTIFY_SOCKET."""
        name: bytes = self._socket.getsockname()
        return f"@{name[1:].decode('ascii')}"

    def fileno(self) -> int:
        """To poll for reading."""
        return self._socket.fileno()

    def receive(self, pid: int) -> Iterator[Notification]:
        """Read what has come from this process, without waiting. What comes from others is thrown away."""
        for _ in range(_MESSAGES_AT_ONCE):
            try:
                message = Notification.read(self._socket)
            except BlockingIOError:
                return
            if message.sender == pid:
                yield message
            else:
                _close(message.descriptors)

    def close(self) -> None:
        """Take no more messages."""
        self._socket.close()


class DescriptorStore:
    """Descriptors that outlive whoever gave them, at most `limit`; one for each name, the newest."""

    def __init__(self, limit: int = STORE_LIMIT) -> None:
        self._limit = limit
        self._descriptors: dict[str, int] = {}

    @property
    def descriptors(self) -> Mapping[str, int]:
        """What is kept, by name."""
        return self._descriptors

    def apply(self, message: Notification) -> bool:
        """Do what a message asks for, and take over its descriptors; False when one could not be kept."""
        if message.says("FDSTOREREMOVE"):
            self.drop(message.name)
        kept = message.says("FDSTORE") and bool(message.descriptors) and self._has_room(message.name)
        if kept:
            self.put(message.name, message.descriptors[0])
        _close(message.descriptors[1 if kept else 0 :])
        return kept or not message.says("FDSTORE")

    def _has_room(self, name: str) -> bool:
        return _is_name(name) and (name in self._descriptors or len(self._descriptors) < self._limit)

    def put(self, name: str, descriptor: int) -> None:
        """Keep a descriptor, in place of another of its name."""
        self.drop(name)
        self._descriptors[name] = descriptor

    def drop(self, name: str) -> None:
        """Close the descriptor of this name, if there is one."""
        if name in self._descriptors:
            os.close(self._descriptors.pop(name))

    def take(self) -> dict[str, int]:
        """Return everything; it is the caller's now."""
        taken, self._descriptors = self._descriptors, {}
        return taken

    def close(self) -> None:
        """Close all that is kept."""
        _close(tuple(self.take().values()))


def _ancillary(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, tuple[int, ...]]:
    """Process that sent the message (0: unknown), and the descriptors in it."""
    sender = 0
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            sender, _, _ = _CREDENTIALS.unpack(data)
        elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) // descriptors.itemsize * descriptors.itemsize])
    return sender, tuple(descriptors)


def _assignments(data: bytes) -> dict[str, str]:
    lines = (line.partition("=") for line in data.decode("utf-8", "replace").split("\n"))
    return {variable: value for variable, separator, value in lines if separator}


def _is_name(name: str) -> bool:
    # LISTEN_FDNAMES joins the names with colons.
    return 0 < len(name) <= _NAME_LIMIT and name.isascii() and name.isprintable() and ":" not in name


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
