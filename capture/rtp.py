"""RTP headers of many packets at once (RFC 3550 section 5.1, 5.3.1, appendix A.1), and the unwrapping of their
counters.

Works on a matrix of packets of equal length. It does not sort, remove duplicates, or tell one stream from another.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

MIN_SEQUENTIAL = 2
"""Packets in sequence after which a source is believed (RFC 3550 A.1)."""
MAX_DROPOUT = 3000
"""Largest step ahead that is still loss, not a restart (RFC 3550 A.1)."""
MAX_MISORDER = 100
"""Largest step back that is still reordering, not a restart (RFC 3550 A.1)."""
HEADER_BYTES = 12
"""The fixed header."""

_HEADER: Final = np.dtype([("bits", ">u2"), ("seq", ">u2"), ("rtp_time", ">u4"), ("ssrc", ">u4")])


@dataclass(frozen=True, slots=True, kw_only=True)
class RtpColumns:
    """The headers of `n` packets, one array a field, each of shape `(n,)`."""

    seq: npt.NDArray[np.uint16]
    """Sequence number."""
    rtp_time: npt.NDArray[np.uint32]
    """Timestamp, in units of the payload type's clock."""
    ssrc: npt.NDArray[np.uint32]
    """Synchronisation source."""
    marker: npt.NDArray[np.bool_]
    """The marker bit."""
    payload_type: npt.NDArray[np.uint8]
    """0 to 127."""
    payload_start: npt.NDArray[np.int64]
    """Offset of the payload in the packet, after CSRCs and extension."""
    payload_end: npt.NDArray[np.int64]
    """Offset after the payload, before padding. Equal to `payload_start` where `valid` is false."""
    valid: npt.NDArray[np.bool_]
    """Version 2, not RTCP (types 192 to 223, RFC 5761 section 4), and lengths that fit each other."""

    def __len__(self) -> int:
        """Number of packets."""
        return len(self.seq)


def parse(rows: npt.NDArray[np.uint8]) -> RtpColumns:
    """The headers of `n` packets of equal length.

    `rows` is uint8 `(n, captured)`, UDP payloads from RTP's first byte; each row contiguous, the rows any stride
    apart. Never raises on content: rows that are not RTP have `valid` false. Packets cut by the snap length must not
    be given as whole when padded: their last byte would be taken for the padding count.
    """
    count, captured = rows.shape
    if captured < HEADER_BYTES or count == 0:
        return _nothing_valid(count, captured)
    header = rows[:, :HEADER_BYTES].view(_HEADER)[:, 0]
    bits = header["bits"].astype(np.uint16)
    marker = (bits & 0x80) != 0
    start = np.full(count, HEADER_BYTES, np.int64)
    end = np.full(count, captured, np.int64)
    # The common packet: version 2, no padding, no extension, no CSRC; and not RTCP's 110xxxxx in the second byte.
    plain = ((bits & 0xFF00) == 0x8000) & ((bits & 0xE0) != 0xC0)
    if not plain.all():
        special = np.flatnonzero(~plain)
        start[special], end[special], plain[special] = _extents(rows, special, bits[special])
    return RtpColumns(
        seq=header["seq"].astype(np.uint16),
        rtp_time=header["rtp_time"].astype(np.uint32),
        ssrc=header["ssrc"].astype(np.uint32),
        marker=marker,
        payload_type=(bits & 0x7F).astype(np.uint8),
        payload_start=start,
        payload_end=end,
        valid=plain,
    )


def extend_sequence(seq: npt.NDArray[np.uint16], base: int | None) -> npt.NDArray[np.int64]:
    """Sequence numbers `(n,)` in arrival order, unwrapped: each is the one nearest to the one before it.

    `base` is the unwrapped number of the packet that arrived before the first; without one the count begins at
    `seq[0]`. A block cut in two gives the same result when the second half's `base` is the first half's last.
    """
    return _unwrap(seq, np.dtype(np.uint16), np.dtype(np.int16), base)


def extend_timestamp(rtp_time: npt.NDArray[np.uint32], base: int | None) -> npt.NDArray[np.int64]:
    """RTP timestamps `(n,)` in arrival order, unwrapped like `extend_sequence`."""
    return _unwrap(rtp_time, np.dtype(np.uint32), np.dtype(np.int32), base)


def _unwrap(
    counter: npt.NDArray[np.uint16] | npt.NDArray[np.uint32],
    unsigned: np.dtype[np.uint16] | np.dtype[np.uint32],
    signed: np.dtype[np.int16] | np.dtype[np.int32],
    base: int | None,
) -> npt.NDArray[np.int64]:
    if len(counter) == 0:
        return np.empty(0, np.int64)
    first = int(counter[0])
    before = first if base is None else base
    previous = np.empty(len(counter), unsigned)
    previous[0] = before & int(np.iinfo(unsigned).max)
    previous[1:] = counter[:-1]
    steps = (counter - previous).view(signed)
    return np.cumsum(steps, dtype=np.int64) + before


def _extents(
    rows: npt.NDArray[np.uint8], which: npt.NDArray[np.intp], bits: npt.NDArray[np.uint16]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Payload start and end, and validity, of rows with CSRCs, an extension or padding, or that are no RTP."""
    captured = rows.shape[1]
    start = HEADER_BYTES + 4 * ((bits >> 8) & 0x0F).astype(np.int64)
    extended = (bits & 0x1000) != 0
    length_at = np.minimum(start + 2, captured - 2)  # inside the row, whatever the CSRC count claims
    words = rows[which, length_at].astype(np.int64) << 8 | rows[which, length_at + 1]
    start += np.where(extended, 4 + 4 * words, 0)
    padded = (bits & 0x2000) != 0
    padding = np.where(padded, rows[which, -1], 0).astype(np.int64)
    end = captured - padding
    valid = ((bits >> 14) == 2) & ((bits & 0xE0) != 0xC0) & (start <= end) & ~(padded & (padding == 0))
    return np.where(valid, start, captured), np.where(valid, end, captured), valid


def _nothing_valid(count: int, captured: int) -> RtpColumns:
    """Rows too short for a header, or no rows."""
    return RtpColumns(
        seq=np.zeros(count, np.uint16),
        rtp_time=np.zeros(count, np.uint32),
        ssrc=np.zeros(count, np.uint32),
        marker=np.zeros(count, np.bool_),
        payload_type=np.zeros(count, np.uint8),
        payload_start=np.full(count, captured, np.int64),
        payload_end=np.full(count, captured, np.int64),
        valid=np.zeros(count, np.bool_),
    )
