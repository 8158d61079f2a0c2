"""When each packet reached the mirror port, by the stamps of the machine's own kernel in the journal of the whole run.

An emulated machine may take a packet long after it was sent. A cut takes what had reached the port; what was still on
its way never got there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from capture import journalscan
from capture.journal import ROW_PREFIX_BYTES, MediaBlock
from capture.journalfile import OFFSET_BITS
from capture.journalreader import JournalReader
from tests.powercut.calls import Sent
from tests.traffic.bulk import SLOT_NS, SLOT_SAMPLES

_TIMESTAMP = slice(ROW_PREFIX_BYTES + 4, ROW_PREFIX_BYTES + 8)
"""Of an RTP packet (RFC 3550, 5.1) in a row of the journal."""
Column = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What journals tell; columns rise."""

    planned_ns: Column
    """Times of the plan, shape `(packets,)`."""
    stamps: Column
    """The machine's stamps of the same packets."""
    block_ends: Column
    """Its stamps of the last packet of each block of media, shape `(blocks,)`."""


def read(journals: Iterable[Path], sent: Sequence[Sent]) -> Arrivals:
    """Read one journal at several times of a run: what is recorded it forgets."""
    sides = {one.call.ssrcs[side].to_bytes(4, "big"): (one, side) for one in sent for side in (0, 1)}
    pieces, ends = [], set[int]()
    for journal in journals:
        for last_ns, ssrc, rtp, stamps in _rows(journal):
            ends.add(last_ns)
            if ssrc in sides:
                pieces.append(np.stack([_planned_ns(*sides[ssrc], rtp), stamps]))
    found = np.unique(np.concatenate(pieces, axis=1), axis=1)  # by the plan's time, then by the stamp
    return Arrivals(
        planned_ns=found[0], stamps=np.maximum.accumulate(found[1]), block_ends=np.array(sorted(ends), np.int64)
    )


def _rows(journal: Path) -> Iterator[tuple[int, bytes, Column, Column]]:
    """The last stamp of a block, and of a flow in it SSRC, RTP timestamps and stamps of all packets."""
    numbers = journalscan.numbers(journal)
    with JournalReader(journal, min(numbers, default=0) << OFFSET_BITS) as reader:
        while (item := reader.next()) is not None:
            if not isinstance(item[1], MediaBlock):
                continue
            for extent in item[1].extents:
                rows = np.empty((int(extent["rows"]), ROW_PREFIX_BYTES + int(extent["captured"])), np.uint8)
                reader.read_into(int(extent["address"]), rows.reshape(-1).data)
                stamps = rows[:, :ROW_PREFIX_BYTES].copy().view("<i8")[:, 0]
                rtp = rows[:, _TIMESTAMP].copy().view(">u4")[:, 0].astype(np.int64)
                yield item[1].last_ns, extent["flow"]["ssrc"].tobytes(), rtp, stamps.astype(np.int64)


def _planned_ns(one: Sent, side: int, rtp: Column) -> Column:
    slots = ((rtp - one.call.starts[1]) & 0xFFFFFFFF) // SLOT_SAMPLES
    return one.call.media_ns(one.start_ns, side) + slots * SLOT_NS
