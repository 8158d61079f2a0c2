"""ARP on a mirror port, by a packet socket that gets nothing else: what passes the filter pays nothing for it."""

import socket
import struct
import time

from capture.arptable import FRAME_BYTES, ArpTable

MAX_FRAMES = 1000
"""Read each time; a storm of them is no reason to fall behind."""
_ETH_P_ARP = 0x0806
_SOL_PACKET = 263
_PACKET_IGNORE_OUTGOING = 23
_BUFFER_BYTES = 64 << 10


class ArpWatch:
    """Listens at one port."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._interface = ""
        self._table = ArpTable()

    def unanswered(self, interface: str) -> list[str]:
        """Return the addresses that are asked for in vain; none where that cannot be heard."""
        try:
            if self._socket is None or interface != self._interface:
                self.close()
                self._socket, self._interface = _opened(interface), interface
            self._read(self._socket)
        except OSError:
            self.close()
        return self._table.unanswered(time.monotonic())

    def close(self) -> None:
        """Listen no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _read(self, opened: socket.socket) -> None:
        for _ in range(MAX_FRAMES):
            try:
                frame = opened.recv(FRAME_BYTES)
            except BlockingIOError:
                return
            self._table.take(frame, time.monotonic())


def _opened(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, struct.pack("=i", 1))
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        opened.bind((interface, _ETH_P_ARP))
    except OSError:
        opened.close()
        raise
    return opened
