"""A recording's media as journal blocks of their own: what is kept of one that assembly could not make.

Flows have addresses, ports and SSRC; interface, VLANs and the like are not known any more.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from capture import journal
from capture.binding import BoundStream
from capture.endpoint import Endpoint
from capture.errors import JournalError
from capture.flows import FLOW
from capture.journal import EXTENT, ROW_PREFIX_BYTES, Bytes
from capture.packets import Extent, ReadInto
from capture.runs import Run

BLOCK_BYTES = 4 << 20
"""Rows gathered into a block."""


def blocks(streams: Sequence[BoundStream], read_into: ReadInto) -> Iterator[list[Bytes]]:
    """Lay out media blocks of all packets that the streams still hold; what cannot be read is left out."""
    for stream in streams:
        for run in stream.runs:
            rows: list[tuple[Extent, Bytes]] = []
            for extent in run.extents():
                piece = np.empty((extent.rows, ROW_PREFIX_BYTES + extent.captured), np.uint8)
                try:
                    read_into(extent.address, piece.reshape(-1).data)
                except JournalError:
                    continue
                rows.append((extent, piece))
                if sum(piece.size for _, piece in rows) >= BLOCK_BYTES:
                    yield _block(run, rows)
                    rows = []
            if rows:
                yield _block(run, rows)


def _block(run: Run, rows: list[tuple[Extent, Bytes]]) -> list[Bytes]:
    extents = np.zeros(len(rows), EXTENT)
    extents["flow"] = _flow(run)
    for number, (extent, piece) in enumerate(rows):
        times = piece[:, :ROW_PREFIX_BYTES].copy().view("<i8")[:, 0]
        extents[number]["first_ns"], extents[number]["last_ns"] = times.min(), times.max()
        extents[number]["rows"] = extent.rows
        extents[number]["captured"], extents[number]["wire"] = extent.captured, extent.wire
    first_ns, last_ns = int(extents["first_ns"].min()), int(extents["last_ns"].max())
    return journal.serialize_media(first_ns, last_ns, extents, [piece for _, piece in rows])


def _flow(run: Run) -> npt.NDArray[np.void]:
    flow = np.zeros(1, FLOW)
    flow["version"] = 6 if len(run.source.ip) == 16 else 4
    for name, end in (("source", run.source), ("destination", run.destination)):
        flow[name] = np.frombuffer(end.ip.ljust(16, b"\0"), np.uint8)
        flow[f"{name}_port"] = _octets(end)
    flow["ssrc"] = np.frombuffer(run.ssrc.to_bytes(4, "big"), np.uint8)
    return flow


def _octets(end: Endpoint) -> Bytes:
    return np.frombuffer(end.port.to_bytes(2, "big"), np.uint8)
