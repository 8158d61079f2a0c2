"""RTP headers of a media block's extents as columns (RFC 3550 section 5.1). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capture.journal import ROW_PREFIX_BYTES
from capture.packets import ReadInto

_RTP_BYTES = 12
MAX_ROWS = 2000
"""Of one extent, which is a second of a stream or so: more is no telephone, and costs what it is not worth."""
_SILENT = (0xFF, 0x7F, 0xD5, 0x55)
"""Digital silence of G.711, mu-law and A-law, either sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Packets of several extents; arrays of shape `(n,)`."""

    stream: npt.NDArray[np.int64]
    """Number of the extent's stream."""
    arrival_ns: npt.NDArray[np.int64]
    """Capture time."""
    sequence: npt.NDArray[np.int64]
    """Sequence number."""
    rtp_time: npt.NDArray[np.int64]
    """Timestamp."""
    is_speech: npt.NDArray[np.bool_]
    """Payload type 0 or 8: G.711."""
    is_dead: npt.NDArray[np.bool_]
    """Speech that is one octet of digital silence throughout."""


def read(extents: Sequence[tuple[int, int, int, int]], read_into: ReadInto) -> Columns:
    """Read extents given as (stream, address, rows, captured bytes); what cannot be read raises JournalError."""
    parts = [
        _columns(stream, address, min(rows, MAX_ROWS), captured, read_into)
        for stream, address, rows, captured in extents
        if captured >= _RTP_BYTES
    ]
    if not parts:
        return _columns(0, 0, 0, _RTP_BYTES, read_into)
    return Columns(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in Columns.__slots__})


def _columns(stream: int, address: int, rows: int, captured: int, read_into: ReadInto) -> Columns:
    octets = np.empty((rows, ROW_PREFIX_BYTES + captured), np.uint8)
    if rows:
        read_into(address, octets.reshape(-1).data)
    octets = octets[octets[:, ROW_PREFIX_BYTES] >> 6 == 2]
    head = np.ascontiguousarray(octets[:, : ROW_PREFIX_BYTES + _RTP_BYTES])
    payload = octets[:, ROW_PREFIX_BYTES + _RTP_BYTES :]
    payload_type = head[:, ROW_PREFIX_BYTES + 1] & 0x7F
    is_speech = (payload_type == 0) | (payload_type == 8)
    if payload.shape[1]:
        first = payload[:, 0]
        silent = np.isin(first, _SILENT) & is_speech
        is_dead = silent & (payload == payload[:, :1]).all(axis=1) if silent.any() else silent
    else:
        is_dead = np.zeros(len(octets), np.bool_)
    return Columns(
        stream=np.full(len(octets), stream, np.int64),
        arrival_ns=head[:, :8].copy().view("<i8")[:, 0].astype(np.int64),
        sequence=head[:, 10:12].copy().view(">u2")[:, 0].astype(np.int64),
        rtp_time=head[:, 12:16].copy().view(">u4")[:, 0].astype(np.int64),
        is_speech=is_speech,
        is_dead=is_dead,
    )
