"""What the readers of classic pcap and of pcapng hand over, and how they take numbers out of a window.

A *window* is the part `buffer[begin:end]` of a file that is in memory; `GUARD_BYTES` more follow `end`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from capture.lanes import Bytes, Int64s, Words

MAX_RECORD_BYTES = 256 << 20
"""A record or block that claims more than this is damage."""


class Columns(NamedTuple):
    """The per-record arrays of a `RecordBatch`, without the buffer."""

    start: Int64s
    captured: Int64s
    wire: Int64s
    ts_ns: Int64s
    interface: npt.NDArray[np.uint16]
    link_type: npt.NDArray[np.uint16]

    def clipped(self, end: int) -> Self:
        """The same with no frame reaching behind `end`."""
        return self._replace(captured=np.minimum(self.captured, end - self.start))


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One capture interface as the file describes it."""

    name: str
    """`if_name` of pcapng; empty when the file gives none."""
    link_type: int
    """LINKTYPE_ number."""
    snap_bytes: int
    """Snap length; 0 means no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What one look at a window brought."""

    columns: Columns | None = None
    """The records found, or None."""
    position: int
    """First byte that is not dealt with; the damage lies here when there is any."""
    needs_bytes: int = 0
    """Bytes from `position` that must be in the window to go on; 0: scan again from `position`."""
    damage: str | None = None
    """Why nothing behind `position` can be read."""


class Scanner(Protocol):
    """A reader of one file format."""

    first_record: int
    """Offset of the first record or block in the file."""
    interfaces: list[Interface]
    skipped_blocks: int
    missing_time: int

    def scan(self, buffer: Bytes, begin: int, end: int) -> Scan:
        """Take the whole records from `begin` on."""
        ...

    def tail(self, buffer: Bytes, begin: int, end: int) -> Columns | None:
        """Take what is there of the record at `begin`, which the end of the file cuts short."""
        ...


def anywhere(buffer: Bytes, kind: str) -> npt.NDArray[Any]:
    """View a buffer so that index i gives the number of type `kind` that begins at byte i, aligned or not."""
    dtype = np.dtype(kind)
    return np.ndarray((len(buffer) - dtype.itemsize + 1,), dtype, buffer, strides=(1,))


def gather(buffer: Bytes, starts: Int64s, words: int, order: str) -> Words:
    """Give the 32-bit words of byte order `order` ("<" or ">") that begin at each start; shape `(words, n)`."""
    rows = anywhere(buffer, f"V{4 * words}")[starts].view(f"{order}u4").reshape(len(starts), words)
    return np.array(rows.T, np.uint32, order="C")
