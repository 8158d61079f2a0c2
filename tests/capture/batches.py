"""Batches of records made from frames, as the capture file reader hands them over."""

from collections.abc import Iterable, Sequence

import numpy as np

from capture.records import GUARD_BYTES, LINK_ETHERNET, RecordBatch
from tests.traffic.pcapwriter import Address, Frame, FrameWriter, Packet, Transport, Wire

START_NS = 1_767_287_045_000_000_000
HERE = Address("192.0.2.10", 5004)
THERE = Address("198.51.100.20", 6004)
HERE_6 = Address("2001:db8::10", 5004)
THERE_6 = Address("2001:db8:1::20", 6004)


def batch_of(
    frames: Sequence[bytes],
    *,
    link_type: int | Sequence[int] = LINK_ETHERNET,
    times: Sequence[int] | None = None,
    wires: Sequence[int] | None = None,
    interfaces: Sequence[int] | None = None,
    gap: bytes = b"",
) -> RecordBatch:
    """One batch; `gap` lies before each frame, as record headers do in a file."""
    count = len(frames)
    captured = np.array([len(frame) for frame in frames], np.int64)
    ends = np.cumsum(captured + len(gap))
    return RecordBatch(
        buffer=np.frombuffer(b"".join(gap + frame for frame in frames) + bytes(GUARD_BYTES), np.uint8).copy(),
        start=ends - captured,
        captured=captured,
        wire=captured.copy() if wires is None else np.array(wires, np.int64),
        ts_ns=START_NS + 1000 * np.arange(count) if times is None else np.array(times, np.int64),
        interface=np.zeros(count, np.uint16) if interfaces is None else np.array(interfaces, np.uint16),
        link_type=np.full(count, link_type, np.uint16)
        if isinstance(link_type, int)
        else np.array(link_type, np.uint16),
    )


def cut(batch: RecordBatch, low: int, high: int) -> RecordBatch:
    """Rows `low` to `high` in a buffer of their own."""
    data = batch.buffer.tobytes()
    rows = [
        data[s : s + n] for s, n in zip(batch.start[low:high].tolist(), batch.captured[low:high].tolist(), strict=True)
    ]
    return batch_of(
        rows,
        link_type=batch.link_type[low:high].tolist(),
        times=batch.ts_ns[low:high].tolist(),
        wires=batch.wire[low:high].tolist(),
        interfaces=batch.interface[low:high].tolist(),
    )


def wired(frames: Iterable[Frame], *, link_type: int = LINK_ETHERNET, snap_bytes: int = 1 << 18) -> RecordBatch:
    """A batch of what `pcapwriter` makes, cut at the snap length."""
    frames = list(frames)
    return batch_of(
        [frame.octets[:snap_bytes] for frame in frames],
        link_type=link_type,
        times=[frame.ts_ns for frame in frames],
        wires=[len(frame.octets) for frame in frames],
    )


def datagram(
    payload: bytes,
    source: Address = HERE,
    destination: Address = THERE,
    *,
    ts_ns: int = START_NS,
    transport: Transport = Transport.UDP,
) -> Packet:
    """One packet of the traffic writer."""
    return Packet(ts_ns=ts_ns, source=source, destination=destination, payload=payload, transport=transport)


def frame_of(payload: bytes, source: Address = HERE, destination: Address = THERE, wire: Wire | None = None) -> bytes:
    """The single frame that carries a UDP payload."""
    (frame,) = FrameWriter(wire or Wire()).frames(datagram(payload, source, destination))
    return frame.octets


def rtp(
    sequence: int, rtp_time: int, payload: bytes = b"\xd5" * 160, *, ssrc: int = 0x1234ABCD, payload_type: int = 8
) -> bytes:
    """One RTP packet (RFC 3550 section 5.1)."""
    head = bytes((0x80, payload_type)) + (sequence & 0xFFFF).to_bytes(2, "big")
    return head + (rtp_time & 0xFFFFFFFF).to_bytes(4, "big") + ssrc.to_bytes(4, "big") + payload
