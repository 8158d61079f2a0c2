"""The kernel's rtnetlink socket: notifications as they come, and dumps of all links and addresses. See `rtnetlink`."""

import os
import socket
from collections.abc import Iterator
from types import TracebackType

from capture import rtnetlink
from capture.errors import RtnetlinkError
from capture.rtnetlink import Address, DumpEnd, Link, LinkGone, Message, MessageType

RECEIVE_BYTES = 256 << 10
"""Larger than any message: a link with a hundred virtual functions takes some 30 KiB."""
DATAGRAMS_AT_ONCE = 256
"""Notifications taken in one go; the descriptor stays readable when there are more."""
_QUEUE_LIMIT = 16384
"""More than the socket's buffer can hold."""
_DUMP_ATTEMPTS = 5
_DUMP_TIMEOUT_S = 2.0


class Notifications:
    """What the kernel tells of links and addresses from now on."""

    def __init__(self) -> None:
        self._socket = _open(rtnetlink.GROUPS)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """To poll for reading."""
        return self._socket.fileno()

    def read(self) -> list[Link | LinkGone | Address]:
        """What has come, without waiting.

        Raises:
            RtnetlinkError: something was lost or cannot be read; all that waited is dropped, and only a dump tells.
        """
        messages: list[Link | LinkGone | Address] = []
        try:
            for datagram in self._datagrams():
                messages += [message for message in rtnetlink.parse(datagram) if not isinstance(message, DumpEnd)]
        except (OSError, RtnetlinkError) as error:
            # What waits is older than the dump that the caller makes now, except what comes in between.
            self._drop()
            raise RtnetlinkError("notifications were lost") from error
        return messages

    def _datagrams(self) -> Iterator[bytes]:
        for _ in range(DATAGRAMS_AT_ONCE):
            try:
                yield _receive(self._socket)
            except BlockingIOError:
                return

    def _drop(self) -> None:
        for _ in range(_QUEUE_LIMIT):
            try:
                self._socket.recv(1)
            except BlockingIOError:
                return
            except OSError:
                continue  # The overrun is reported once; behind it the queue can be read again.

    def close(self) -> None:
        """End the subscription."""
        self._socket.close()

    def __enter__(self) -> "Notifications":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def links() -> list[Link]:
    """All links of this network namespace.

    Raises:
        RtnetlinkError: the kernel refused, or the links kept changing.
    """
    return [message for message in _dump(MessageType.GET_LINK) if isinstance(message, Link)]


def addresses() -> list[Address]:
    """All IP addresses of this network namespace.

    Raises:
        RtnetlinkError: the kernel refused, or the addresses kept changing.
    """
    return [message for message in _dump(MessageType.GET_ADDRESS) if isinstance(message, Address)]


def _dump(message_type: MessageType) -> list[Message]:
    with _open(0) as route:
        route.settimeout(_DUMP_TIMEOUT_S)
        for sequence in range(1, _DUMP_ATTEMPTS + 1):
            try:
                route.send(rtnetlink.dump_request(message_type, sequence))
                messages = _answer(route)
            except OSError as error:
                raise RtnetlinkError(f"the kernel does not list its links: {error.strerror or error}") from error
            if messages is not None:
                return messages
    raise RtnetlinkError("the links change faster than they can be listed")


def _answer(route: socket.socket) -> list[Message] | None:
    """One whole answer; None when it was interrupted by a change."""
    messages: list[Message] = []
    while True:
        messages += rtnetlink.parse(_receive(route))
        if messages and isinstance(end := messages[-1], DumpEnd):
            if end.error:
                raise RtnetlinkError(f"the kernel does not list its links: {os.strerror(end.error)}")
            return None if end.interrupted else messages


def _open(groups: int) -> socket.socket:
    try:
        route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    except OSError as error:
        raise RtnetlinkError(f"no rtnetlink socket: {error.strerror}") from error
    try:
        route.bind((0, groups))
    except OSError as error:
        route.close()
        raise RtnetlinkError(f"no rtnetlink notifications: {error.strerror}") from error
    return route


def _receive(route: socket.socket) -> bytes:
    data, _, flags, _ = route.recvmsg(RECEIVE_BYTES)
    if flags & socket.MSG_TRUNC:
        raise RtnetlinkError(f"a datagram of more than {RECEIVE_BYTES} bytes")
    return data
