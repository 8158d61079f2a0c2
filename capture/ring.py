"""The receive ring of a mirror port: AF_PACKET, TPACKET_V3 (Linux `Documentation/networking/packet_mmap.rst`).

The ring is memory that the kernel and we share, cut into blocks. They are filled in turn, for ever:

| a block                 | status  | is                                                               |
|-------------------------|---------|------------------------------------------------------------------|
| being filled, or free   | kernel  | not to be touched                                                |
| full, or `timeout_ms` old | user  | ours, until it is handed back                                    |

Blocks are handed back once what they hold is stored. The ring lives as long as any process holds the socket: one that
takes the socket over from a process that was killed finds every block that was not handed back, and goes on with the
oldest. Blocks are numbered from 1 in the order they are filled, so that a block's number says where it lies.

No statement orders our reading of a status before that of the block: the machine does (x86), and the many thousand
instructions of the interpreter between the two.
"""

import contextlib
import errno
import mmap
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from capture.bpf import INSTRUCTION
from capture.errors import RingError
from capture.octets import Octets
from capture.records import GUARD_BYTES
from capture.ringblock import ALIGNMENT, BLOCK_HEADER, RingBytes, used_bytes

_SOL_PACKET = 263
_SO_ATTACH_FILTER = 26
_PACKET_ADD_MEMBERSHIP = 1
_PACKET_RX_RING = 5
_PACKET_STATISTICS = 6
_PACKET_VERSION = 10
_PACKET_IGNORE_OUTGOING = 23
_PACKET_MR_PROMISC = 1
_TPACKET_V3 = 2
_ETH_P_ALL = 3
_ARPHRD_ETHER = 1
_STATUS_KERNEL = 0
_STATUS_USER = 1
LEAST_BLOCK_BYTES = 1 << 16
"""Blocks are not made smaller than this: there is a price for each, and whole frames have to fit."""
_LEAST_FRAME_BYTES = 2048
"""TPACKET_V3 asks for a frame size, and ignores it."""
_REQUEST = struct.Struct("=7I")
"""`struct tpacket_req3`."""
_STATISTICS = struct.Struct("=3I")
"""`struct tpacket_stats_v3`."""
_MEMBERSHIP = struct.Struct("=iHH8x")
"""`struct packet_mreq`."""
_OTHER_RING = "the ring to take over was opened with other settings"
_REASONS = {
    errno.ENODEV: "there is no such interface",
    errno.EPERM: "not permitted; capturing takes CAP_NET_RAW",
    errno.ENOMEM: "the kernel has no memory for a ring of this size",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RingSettings:
    """How large a ring is and how long a packet may wait in it."""

    ring_bytes: int = 256 << 20
    """Memory of the ring, a multiple of `block_bytes`: what arrives while the disk stalls has to fit."""
    block_bytes: int = 1 << 19
    """One block; a multiple of the page size. With few packets one is closed every `timeout_ms`, so that a ring holds
    its number of blocks times that: 30 s."""
    timeout_ms: int = 60
    """A block is handed over when it is so old, even if it is not full."""

    def __post_init__(self) -> None:
        if self.block_bytes % mmap.PAGESIZE or self.ring_bytes % self.block_bytes or self.ring_bytes <= 0:
            raise ValueError("a ring consists of whole blocks, a block of whole pages")

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return self.ring_bytes // self.block_bytes

    def shared_among(self, ports: int) -> Self:
        """Return what each of several ports gets of this memory: as many blocks, but smaller ones."""
        share = self
        while share.ring_bytes * ports > self.ring_bytes and share.block_bytes // 2 >= LEAST_BLOCK_BYTES:
            share = replace(share, ring_bytes=share.ring_bytes // 2, block_bytes=share.block_bytes // 2)
        return share


@dataclass(frozen=True, slots=True, kw_only=True)
class RingStatistics:
    """What the kernel counted since the ring was opened, or since its last owner asked."""

    packets: int
    """Packets that passed the filter, those that were dropped included."""
    drops: int
    """Packets that found no room in the ring."""
    freezes: int
    """Times that the kernel found the next block not handed back yet."""


class Ring:
    """One mirror port's ring; `open` makes it, `adopt` takes it over. Poll `fileno()` for reading.

    The kernel calls the socket readable as long as the block that it filled last is not handed back.
    """

    def __init__(self, packet_socket: socket.socket, interface_name: str, settings: RingSettings) -> None:
        self._socket = packet_socket
        self._settings = settings
        try:
            self._map = mmap.mmap(packet_socket.fileno(), settings.ring_bytes, mmap.MAP_SHARED)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise RingError(f"{interface_name}: {_OTHER_RING}") from error
            raise
        self._blocks: Octets = np.frombuffer(self._map, np.uint8).reshape(settings.blocks, settings.block_bytes)
        self._headers: npt.NDArray[np.void] = self._blocks[:, : BLOCK_HEADER.itemsize].view(BLOCK_HEADER)[:, 0]
        self._copy = np.zeros(0, np.uint8)
        self._totals = np.zeros(3, np.int64)
        self._sequence = self._first_sequence()
        if not self._sequence:
            raise RingError(f"{interface_name}: {_OTHER_RING}")

    @classmethod
    def open(
        cls, interface_name: str, program: bytes, settings: RingSettings, keep: Callable[[int], object] = lambda _: None
    ) -> Self:
        """Begin to capture what the interface receives and `program`, an array of `struct sock_filter`, lets pass.

        `keep` is given the socket's descriptor before the first packet comes: whoever keeps it alive keeps them all.

        Raises:
            RingError: no such interface, not Ethernet, not permitted, or no memory.
        """
        with _failures_told(interface_name):
            # Of protocol 0 it receives nothing until everything is in place: not one packet gets round the filter.
            packet_socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with _failures_told(interface_name, packet_socket):
            _set_up(packet_socket, interface_name, program, settings)
            ring = cls(packet_socket, interface_name, settings)
            keep(packet_socket.fileno())
            packet_socket.bind((interface_name, _ETH_P_ALL))
            return ring

    @classmethod
    def adopt(cls, fileno: int, interface_name: str, settings: RingSettings) -> Self:
        """Take over the socket of a ring that another process opened with the same settings, which lives no more.

        Owns `fileno` from here on. When the interface is gone, the ring can still be read to its end.

        Raises:
            RingError: no such socket, one of another interface, or another ring.
        """
        with _failures_told(interface_name):
            packet_socket = socket.socket(fileno=fileno)
        with _failures_told(interface_name, packet_socket):
            _check_adopted(packet_socket, interface_name)
            return cls(packet_socket, interface_name, settings)

    @property
    def block_bytes(self) -> int:
        """Size of a block."""
        return self._settings.block_bytes

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return self._settings.blocks

    @property
    def sequence(self) -> int:
        """Number of the next block: the first is 1, and every block has one of its own as long as the ring lives."""
        return self._sequence

    def fileno(self) -> int:
        """Return the socket's descriptor: to poll, and to hand to whoever keeps the ring alive."""
        return self._socket.fileno()

    def ready(self) -> int:
        """Count the blocks that can be read now."""
        status = self._headers["status"]
        for count in range(self._settings.blocks):
            if not status[self._place(self._sequence + count)] & _STATUS_USER:
                return count
        return self._settings.blocks

    def copy(self, count: int) -> RingBytes:
        """Copy the next `count` blocks, all of them ready, out of the ring; they stay ours until `release`.

        A copy, because a block must hold what was on the wire until it is handed back, even if we are killed; and
        because parsing writes into its input. The memory of the copy, as large as the most blocks ever asked for at a
        time, is used again by the next one.
        """
        blocks = [self._blocks[self._place(self._sequence + ahead)] for ahead in range(count)]
        sizes = [used_bytes(block) for block in blocks]
        if len(self._copy) < count * self._settings.block_bytes + GUARD_BYTES:
            self._copy = np.empty(count * self._settings.block_bytes + GUARD_BYTES, np.uint8)
        extents: list[tuple[int, int]] = []
        end = 0
        for block, size in zip(blocks, sizes, strict=True):
            self._copy[end : end + size] = block[:size]
            extents.append((end, size))
            end += -(-size // ALIGNMENT) * ALIGNMENT
        self._copy[end : end + GUARD_BYTES] = 0
        return RingBytes(buffer=self._copy[: end + GUARD_BYTES], extents=tuple(extents), sequence=self._sequence)

    def release(self, count: int) -> None:
        """Hand the next `count` blocks back to the kernel, the oldest first."""
        for _ in range(count):
            header = self._headers[self._place(self._sequence)]
            # Of no use to anyone, and written anew when the kernel opens the block: so it can tell a block that was
            # handed back from the one being filled. Before the status, because from then on the block is the kernel's.
            header["offset_to_priv"] = 0
            header["status"] = _STATUS_KERNEL
            self._sequence += 1

    def statistics(self) -> RingStatistics:
        """Read the kernel's counters, which begin anew each time they are read, and add them up."""
        fresh = _STATISTICS.unpack(self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size))
        self._totals += fresh
        packets, drops, freezes = self._totals.tolist()
        return RingStatistics(packets=packets, drops=drops, freezes=freezes)

    def interface_number(self) -> int:
        """Return the number of the interface that fills the ring; 0 when it is gone, and the ring can only be read."""
        try:
            return socket.if_nametoindex(str(self._socket.getsockname()[0]))
        except OSError:
            return 0

    def attach(self, program: bytes) -> None:
        """Let pass from now on what this program, an array of `struct sock_filter`, lets pass.

        Raises:
            RingError: the kernel does not take it.
        """
        try:
            _attach(self._socket, program)
        except OSError as error:
            raise RingError(f"the kernel does not take the filter: {error.strerror}") from error

    def begun_ns(self, count: int) -> list[int]:
        """Return the real time at which each of the next `count` blocks was begun, all of them ready."""
        places = [self._place(self._sequence + ahead) for ahead in range(count)]
        times = self._headers["times"][places].astype(np.int64)
        begun: list[int] = (times[:, 0] * 1_000_000_000 + times[:, 1]).tolist()
        return begun

    def take_error(self) -> int:
        """Return the socket's error number (ENETDOWN when the interface went down or away), 0 without one.

        Until it is taken, poll reports nothing but the error.
        """
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def close(self) -> None:
        """Leave the ring; it ends when nobody else holds the socket."""
        # The mapping cannot be closed while arrays show it.
        self._blocks, self._headers = np.zeros((0, 0), np.uint8), np.zeros(0, BLOCK_HEADER)
        self._map.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _place(self, sequence: int) -> int:
        return (sequence - 1) % self._settings.blocks

    def _first_sequence(self) -> int:
        """Find the oldest block that was not handed back, or else the one that is filled next; 0 when the numbers are
        not where they must be.

        The newest block is looked for first: whatever the kernel fills meanwhile comes behind it.
        """
        sequences = self._headers["sequence"].astype(np.int64)
        newest = int(sequences.max())
        filled = np.flatnonzero(sequences)
        if not newest or any(self._place(int(sequences[place])) != place for place in filled):
            return 0
        header = self._headers[self._place(newest)]
        # The kernel opens a block when it closes the one before, unless that block is not free: then it may be that the
        # newest one is handed back already.
        handed_back = not header["offset_to_priv"] and not header["status"] & _STATUS_USER
        first = newest + int(handed_back)
        while first > 1 and first > newest - self._settings.blocks + 1 and self._is_ready(first - 1):
            first -= 1
        return first

    def _is_ready(self, sequence: int) -> bool:
        return bool(self._headers["status"][self._place(sequence)] & _STATUS_USER)


def _set_up(packet_socket: socket.socket, interface_name: str, program: bytes, settings: RingSettings) -> None:
    packet_socket.bind((interface_name, 0))
    if packet_socket.getsockname()[3] != _ARPHRD_ETHER:
        raise RingError(f"{interface_name}: not an Ethernet interface")
    _attach(packet_socket, program)
    packet_socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
    packet_socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, _request(settings))
    try:
        packet_socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:  # before Linux 4.20; a mirror port sends nothing anyway
            raise
    membership = _MEMBERSHIP.pack(socket.if_nametoindex(interface_name), _PACKET_MR_PROMISC, 0)
    packet_socket.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, membership)


def _attach(packet_socket: socket.socket, program: bytes) -> None:
    instructions = np.frombuffer(program, np.uint8)
    filter_program = struct.pack("HP", len(program) // INSTRUCTION.size, instructions.ctypes.data)
    packet_socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_program)


def _request(settings: RingSettings) -> bytes:
    frames = settings.ring_bytes // _LEAST_FRAME_BYTES
    return _REQUEST.pack(settings.block_bytes, settings.blocks, _LEAST_FRAME_BYTES, frames, settings.timeout_ms, 0, 0)


def _check_adopted(packet_socket: socket.socket, interface_name: str) -> None:
    if packet_socket.family != socket.AF_PACKET:
        raise RingError(f"{interface_name}: the socket to take over is no packet socket")
    if packet_socket.getsockopt(_SOL_PACKET, _PACKET_VERSION) != _TPACKET_V3:
        raise RingError(f"{interface_name}: the socket to take over has no TPACKET_V3 ring")
    bound, protocol = packet_socket.getsockname()[:2]
    if not protocol:
        raise RingError(f"{interface_name}: the ring to take over was never begun")
    if bound not in (interface_name, ""):  # the kernel has no name for an interface that is gone
        raise RingError(f"{interface_name}: the ring to take over is that of {bound}")


@contextlib.contextmanager
def _failures_told(interface_name: str, packet_socket: socket.socket | None = None) -> Iterator[None]:
    """Turn what goes wrong into one clear line, and let go of the socket."""
    try:
        yield
    except (OSError, RingError) as error:
        if packet_socket is not None:
            packet_socket.close()
        if isinstance(error, OSError):
            reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
            raise RingError(f"{interface_name}: {reason}") from error
        raise
