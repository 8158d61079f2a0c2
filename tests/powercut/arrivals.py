"""When each packet reached the mirror port, by the stamps of the machine's own kernel in the journal of the whole run.

An emulated machine may take a packet long after it was sent. A cut takes what had reached the port; what was still on
its way never got there.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from capture.journal import ROW_PREFIX_BYTES, MediaBlock
from capture.journalreader import JournalReader
from tests.powercut.calls import Sent
from tests.traffic.bulk import SLOT_NS, SLOT_SAMPLES

_TIMESTAMP = slice(ROW_PREFIX_BYTES + 4, ROW_PREFIX_BYTES + 8)
"""Of an RTP packet (RFC 3550, 5.1) in a row of the journal."""
Column = npt.NDArray[np.int64]


def read(journal: Path, sent: Sequence[Sent]) -> tuple[Column, Column]:
    """Times of the plan, rising, and the machine's stamps of the same packets, each shape `(packets,)`."""
    sides = {one.call.ssrcs[side].to_bytes(4, "big"): (one, side) for one in sent for side in (0, 1)}
    pieces = [
        np.stack([_planned_ns(*sides[ssrc], rtp), stamps]) for ssrc, rtp, stamps in _rows(journal) if ssrc in sides
    ]
    planned_ns, stamps = np.concatenate(pieces, axis=1)
    order = np.argsort(planned_ns, kind="stable")
    return planned_ns[order], np.maximum.accumulate(stamps[order])


def block_ends(journal: Path) -> Column:
    """The machine's stamps of the last packet of each block of media, in order, shape `(blocks,)`."""
    found: list[int] = []
    with JournalReader(journal) as reader:
        while (item := reader.next()) is not None:
            if isinstance(item[1], MediaBlock):
                found.append(item[1].last_ns)
    return np.array(found, np.int64)


def _rows(journal: Path) -> Iterator[tuple[bytes, Column, Column]]:
    """SSRC, RTP timestamps and stamps of all packets of a flow in a block."""
    with JournalReader(journal) as reader:
        while (item := reader.next()) is not None:
            if not isinstance(item[1], MediaBlock):
                continue
            for extent in item[1].extents:
                rows = np.empty((int(extent["rows"]), ROW_PREFIX_BYTES + int(extent["captured"])), np.uint8)
                reader.read_into(int(extent["address"]), rows.reshape(-1).data)
                stamps = rows[:, :ROW_PREFIX_BYTES].copy().view("<i8")[:, 0]
                rtp = rows[:, _TIMESTAMP].copy().view(">u4")[:, 0].astype(np.int64)
                yield extent["flow"]["ssrc"].tobytes(), rtp, stamps.astype(np.int64)


def _planned_ns(one: Sent, side: int, rtp: Column) -> Column:
    slots = ((rtp - one.call.starts[1]) & 0xFFFFFFFF) // SLOT_SAMPLES
    return one.call.media_ns(one.start_ns, side) + slots * SLOT_NS
