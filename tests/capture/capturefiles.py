"""Capture files made with struct, and a plain slow reader to hold the fast one against."""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from capture.pcapfile import CaptureReader

EPOCH_S = 1_700_000_000


class Packet(NamedTuple):
    frame: bytes
    wire: int
    ts_ns: int
    interface: int = 0
    link_type: int = 1


def read_all(path: Path, batch_bytes: int = 1 << 20) -> tuple[list[Packet], CaptureReader]:
    """Every record, with its bytes."""
    packets: list[Packet] = []
    with CaptureReader(path, batch_bytes=batch_bytes) as reader:
        for batch in reader:
            assert len(batch.buffer) >= int((batch.start + batch.captured).max()) + 128
            columns = (batch.start, batch.captured, batch.wire, batch.ts_ns, batch.interface, batch.link_type)
            data = batch.buffer.tobytes()
            assert not any(data[-128:])
            packets += [
                Packet(data[start : start + captured], *rest)
                for start, captured, *rest in zip(*(column.tolist() for column in columns), strict=True)
            ]
    assert reader.records == len(packets)
    return packets, reader


def pcap_header(order: str = "<", magic: int = 0xA1B2C3D4, snap_bytes: int = 65535, link_type: int = 1) -> bytes:
    return struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, snap_bytes, link_type)


def pcap_record(
    frame: bytes, tick: int = 0, *, order: str = "<", second: int = EPOCH_S, wire: int | None = None
) -> bytes:
    return struct.pack(f"{order}IIII", second, tick, len(frame), len(frame) if wire is None else wire) + frame


def pcap(frames: Iterable[bytes], order: str = "<") -> bytes:
    return pcap_header(order) + b"".join(pcap_record(frame, i % 10**6, order=order) for i, frame in enumerate(frames))


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def interface(order: str = "<", link_type: int = 1, snap_bytes: int = 0, options: bytes = b"") -> bytes:
    return block(1, struct.pack(f"{order}HHI", link_type, 0, snap_bytes) + options, order)


def enhanced(frame: bytes, ticks: int, *, order: str = "<", number: int = 0, wire: int | None = None) -> bytes:
    wire = len(frame) if wire is None else wire
    return block(6, struct.pack(f"{order}5I", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), wire) + frame, order)


def obsolete(frame: bytes, ticks: int, *, order: str = "<", number: int = 0) -> bytes:
    head = struct.pack(f"{order}HH4I", number, 7, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(2, head + frame, order)


def simple(frame: bytes, wire: int, order: str = "<") -> bytes:
    return block(3, struct.pack(f"{order}I", wire) + frame, order)


def pcapng(frames: Iterable[bytes], order: str = "<") -> bytes:
    blocks = (enhanced(frame, EPOCH_S * 10**6 + i, order=order) for i, frame in enumerate(frames))
    return section(order) + interface(order) + b"".join(blocks)
