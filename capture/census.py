"""What comes to a mirror port on which nothing passes the filter: frames to one station, or only to groups.

A port whose mirror session has lost its source is an ordinary port again, and hears what everybody does. A small packet
socket (packet(7)) takes the first bytes of some frames for that; it is open only while it is asked for.
"""

import socket
import struct

from capture.events import Counted

MAX_FRAMES = 500
"""Looked at each time; of more, that is sample enough."""
_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_IGNORE_OUTGOING = 23
_HEAD_BYTES = 14
_BUFFER_BYTES = 64 << 10


class Census:
    """Counts frames by whom they are for."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def count(self, interface: str, *, is_wanted: bool) -> dict[str, int]:
        """Return what came since the last time, by `Counted`; nothing while it is not wanted or cannot be looked at."""
        if not is_wanted:
            self.close()
            return {}
        try:
            if self._socket is None:
                self._socket = _opened(interface)
                return {}
            return _counted(self._socket)
        except OSError:
            self.close()
            return {}

    def close(self) -> None:
        """Look no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _opened(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, struct.pack("=i", 1))
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        opened.bind((interface, _ETH_P_ALL))
    except OSError:
        opened.close()
        raise
    return opened


def _counted(opened: socket.socket) -> dict[str, int]:
    counts = {Counted.UNICAST.value: 0, Counted.GROUP.value: 0}
    for _ in range(MAX_FRAMES):
        try:
            head = opened.recv(_HEAD_BYTES)
        except BlockingIOError:
            break
        if head:
            counts[Counted.GROUP if head[0] & 1 else Counted.UNICAST] += 1
    return counts
