"""One stream's RTP packets, read back from the journal's extents as columns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from crc32c import crc32c

from capture import rtp
from capture.errors import JournalError, JournalForgottenError
from capture.journal import ROW_PREFIX_BYTES, Bytes

IntArray = npt.NDArray[np.int64]
_PADDING_BIT = np.uint8(0x20)
ReadInto = Callable[[int, memoryview], None]
"""Fills the memory with the journal's bytes at an address; raises `JournalError`."""


class Extent(NamedTuple):
    """Packets of one flow and one size in the journal."""

    address: int
    rows: int
    captured: int
    wire: int
    crc: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Packets:
    """RTP packets in arrival order; arrays of length `n`. What is not RTP (RFC 3550 A.1) is left out and counted."""

    arrival_ns: IntArray
    """Capture time."""
    sequence: npt.NDArray[np.uint16]
    rtp_time: npt.NDArray[np.uint32]
    payload_type: npt.NDArray[np.uint8]
    payload_start: IntArray
    """Offset of the payload in its row of `pieces`."""
    payload_bytes: IntArray
    """Payload bytes that are present."""
    missing_bytes: IntArray
    """Payload bytes that the snap length cut off."""
    piece: IntArray
    """Which of `pieces` holds the packet."""
    row: IntArray
    """Its row there."""
    extent: IntArray
    """Number of the extent it came from, in the order given to `read`."""
    pieces: tuple[Bytes, ...]
    """Rows `(capture time, RTP packet)` of equal size, shape `(m, 8 + captured)`."""
    invalid: int
    """Rows that are not RTP."""
    damaged: tuple[Extent, ...]
    """Extents that could not be read or fail their checksum."""
    forgotten: bool = False
    """Whether one of them is in a part of the journal that is not there any more."""

    def __len__(self) -> int:
        return len(self.arrival_ns)

    def select(self, chosen: npt.NDArray[np.bool_] | IntArray) -> "Packets":
        """Return some of the packets; the pieces stay shared."""
        return Packets(
            arrival_ns=self.arrival_ns[chosen],
            sequence=self.sequence[chosen],
            rtp_time=self.rtp_time[chosen],
            payload_type=self.payload_type[chosen],
            payload_start=self.payload_start[chosen],
            payload_bytes=self.payload_bytes[chosen],
            missing_bytes=self.missing_bytes[chosen],
            piece=self.piece[chosen],
            row=self.row[chosen],
            extent=self.extent[chosen],
            pieces=self.pieces,
            invalid=self.invalid,
            damaged=self.damaged,
            forgotten=self.forgotten,
        )

    def datagram(self, index: int) -> bytes:
        """Return one packet from RTP's first byte."""
        packet: bytes = self.pieces[self.piece[index]][self.row[index], ROW_PREFIX_BYTES:].tobytes()
        return packet


def read(extents: Sequence[Extent], read_into: ReadInto) -> Packets:
    """Read the packets of one stream. Damage costs the extent it is in and nothing else."""
    sizes: dict[tuple[int, int], list[int]] = {}
    for number, extent in enumerate(extents):
        sizes.setdefault((extent.captured, extent.wire), []).append(number)
    damaged: list[Extent] = []
    forgotten: list[Extent] = []
    columns: list[Packets] = []
    # Sizes in order, so that packets of one capture time have an order that does not depend on the journal's blocks.
    for piece, ((captured, wire), members) in enumerate(sorted(sizes.items())):
        rows, numbers = _read_rows(extents, members, captured, read_into, damaged, forgotten)
        columns.append(_columns(piece, rows, wire, numbers))
    joined = columns[0] if len(columns) == 1 and not damaged else _join(columns, tuple(damaged))
    if forgotten:
        joined = replace(joined, forgotten=True)
    if (joined.arrival_ns[1:] < joined.arrival_ns[:-1]).any():
        return joined.select(np.argsort(joined.arrival_ns, kind="stable"))
    return joined


def replace_datagrams(packets: Packets, datagrams: Sequence[bytes | None]) -> tuple[Packets, IntArray]:
    """Put other bytes in the packets' places, decrypted ones for example.

    Returns:
        The packets that have one and are RTP, and which of the old ones they are.
    """
    kept = np.array([index for index, datagram in enumerate(datagrams) if datagram is not None], np.int64)
    present = [datagram for datagram in datagrams if datagram is not None]
    lengths = np.array([len(datagram) for datagram in present], np.int64)
    parts: list[Packets] = []
    order: list[IntArray] = []
    for number, length in enumerate(np.unique(lengths).tolist()):
        members = np.flatnonzero(lengths == length)
        rows = np.frombuffer(b"".join(bytes(ROW_PREFIX_BYTES) + present[i] for i in members), np.uint8)
        rows = rows.reshape(len(members), ROW_PREFIX_BYTES + length).copy()
        rows[:, :ROW_PREFIX_BYTES] = packets.arrival_ns[kept[members]].astype("<i8").view(np.uint8).reshape(-1, 8)
        columns = _columns(number, rows, length, packets.extent[kept[members]])
        parts.append(columns)
        order.append(kept[members[columns.row]])
    joined = replace(_join(parts, packets.damaged), forgotten=packets.forgotten)
    if not order:
        return joined, kept
    which = np.concatenate(order)
    sending = np.argsort(which, kind="stable")
    return joined.select(sending), which[sending]


def _read_rows(
    extents: Sequence[Extent],
    members: list[int],
    captured: int,
    read_into: ReadInto,
    damaged: list[Extent],
    forgotten: list[Extent],
) -> tuple[Bytes, IntArray]:
    """Read extents of equal packet size; return their rows, and the extent each row is from."""
    width = ROW_PREFIX_BYTES + captured
    rows = np.empty((sum(extents[number].rows for number in members), width), np.uint8)
    whole = rows.reshape(-1).data
    filled = 0
    good: list[int] = []
    for number in members:
        extent = extents[number]
        target = whole[filled : filled + extent.rows * width]
        try:
            read_into(extent.address, target)
        except JournalError as error:
            damaged.append(extent)
            if isinstance(error, JournalForgottenError):
                forgotten.append(extent)
            continue
        if crc32c(target) != extent.crc:
            damaged.append(extent)
            continue
        filled += len(target)
        good.append(number)
    return rows[: filled // width], np.repeat(good, [extents[number].rows for number in good]).astype(np.int64)


def _columns(number: int, rows: Bytes, wire: int, extent: IntArray) -> Packets:
    captured = rows.shape[1] - ROW_PREFIX_BYTES
    if captured < wire:
        rows[:, ROW_PREFIX_BYTES] &= ~_PADDING_BIT  # its count was the last byte on the wire, which is not there
    columns = rtp.parse(rows[:, ROW_PREFIX_BYTES:])
    valid = np.flatnonzero(columns.valid)
    packets = Packets(
        arrival_ns=rows[:, :ROW_PREFIX_BYTES].copy().view("<i8")[:, 0] if len(rows) else np.zeros(0, np.int64),
        sequence=columns.seq,
        rtp_time=columns.rtp_time,
        payload_type=columns.payload_type,
        payload_start=columns.payload_start + ROW_PREFIX_BYTES,
        payload_bytes=columns.payload_end - columns.payload_start,
        missing_bytes=np.full(len(rows), max(wire - captured, 0)),
        piece=np.full(len(rows), number),
        row=np.arange(len(rows)),
        extent=extent,
        pieces=(rows,),
        invalid=len(rows) - len(valid),
        damaged=(),
    )
    return packets if len(valid) == len(rows) else packets.select(valid)


def _join(columns: list[Packets], damaged: tuple[Extent, ...]) -> Packets:
    if not columns:
        columns = [_columns(0, np.zeros((0, ROW_PREFIX_BYTES + rtp.HEADER_BYTES), np.uint8), 0, np.zeros(0, np.int64))]
    return Packets(
        arrival_ns=np.concatenate([c.arrival_ns for c in columns]),
        sequence=np.concatenate([c.sequence for c in columns]),
        rtp_time=np.concatenate([c.rtp_time for c in columns]),
        payload_type=np.concatenate([c.payload_type for c in columns]),
        payload_start=np.concatenate([c.payload_start for c in columns]),
        payload_bytes=np.concatenate([c.payload_bytes for c in columns]),
        missing_bytes=np.concatenate([c.missing_bytes for c in columns]),
        piece=np.concatenate([c.piece for c in columns]),
        row=np.concatenate([c.row for c in columns]),
        extent=np.concatenate([c.extent for c in columns]),
        pieces=tuple(c.pieces[0] for c in columns),
        invalid=sum(c.invalid for c in columns),
        damaged=damaged,
    )
