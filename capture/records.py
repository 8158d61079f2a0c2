"""A batch of captured records: one buffer, and where each frame lies in it.

Everything that reads packets (capture files, the journal's signalling blocks) hands over this shape, so that parsing is
written once and works on whole batches.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

GUARD_BYTES = 128
"""Zero bytes that follow the last record, so that fixed-size gathers near the end stay inside the buffer."""

LINK_NULL = 0
LINK_ETHERNET = 1
LINK_PPP = 9
LINK_PPP_ETHER = 51
LINK_RAW = 101
LINK_LOOP = 108
LINK_LINUX_SLL = 113
LINK_IPV4 = 228
LINK_IPV6 = 229
LINK_LINUX_SLL2 = 276


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBatch:
    """`n` frames in capture order. All arrays have length `n`."""

    buffer: npt.NDArray[np.uint8]
    """The bytes, shape `(size,)`; at least `GUARD_BYTES` follow the last frame. Valid until the next batch."""
    start: npt.NDArray[np.int64]
    """Offset of each frame's first byte in `buffer`."""
    captured: npt.NDArray[np.int64]
    """Bytes of the frame that are in `buffer`."""
    wire: npt.NDArray[np.int64]
    """Bytes the frame had on the wire; more than `captured` when the snap length cut it."""
    ts_ns: npt.NDArray[np.int64]
    """Capture time, nanoseconds since the epoch."""
    interface: npt.NDArray[np.uint16]
    """Number of the interface that saw the frame."""
    link_type: npt.NDArray[np.uint16]
    """LINKTYPE_ number (the registry of tcpdump.org) of each frame."""

    def __len__(self) -> int:
        return len(self.start)

    def rows(self, low: int, high: int) -> Self:
        """Return some of the frames, in the same buffer."""
        if (low, high) == (0, len(self)):
            return self
        columns = ("start", "captured", "wire", "ts_ns", "interface", "link_type")
        return replace(self, **{name: getattr(self, name)[low:high] for name in columns})

    def copied(self) -> Self:
        """Return the same frames, at least one, in a buffer of their own, as long as frames lie in it."""
        low, high = int(self.start.min()), int((self.start + self.captured).max())
        buffer = np.concatenate((self.buffer[low:high], np.zeros(GUARD_BYTES, np.uint8)))
        return replace(self, buffer=buffer, start=self.start - low)
