"""Where the ledger speaks of which call: a derived file beside it, and a compact set of it in memory.

    ledger/names   rows of 24 bytes in the ledger's order: key, entry, offset of its line, each u64 little-endian

The key is 64 bits of the call's id, mixed with the part's number (0: the whole call; `LATE`: its late packets;
`DELIVERY`, `INBOX`); an entry that names no call has one row with key 0. In memory lie 12 bytes a row: sorted keys
and the rows' numbers. A key that matches is a hint, never an answer: the line itself is read.
"""

import struct
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from storage.ledger.appendfile import AppendFile
from storage.ledger.entries import Call, Configuration, Delivery, Entry, Erasure, Hold, Inbox, Key, Late, Part

ROW = np.dtype([("key", "<u8"), ("entry", "<u8"), ("offset", "<u8")])
NO_NAME = 0
KEY_CHANGE = 1
"""The key under which changes of the device key are found."""
HOLD = 2
"""The key under which legal holds are found."""
CONFIGURATION = 3
"""The key under which changes of the configuration are found."""
LATE = 1 << 32
"""In place of a part's number: records of late packets."""
DELIVERY = 2 << 32
"""In place of a part's number: deliveries of the call's parts."""
INBOX = 3 << 32
"""In place of a part's number: that the call was delivered to us."""
_ROW = struct.Struct("<QQQ")
_MIX = 0x9E37_79B9_7F4A_7C15
_MERGE_ROWS = 1 << 16


def key(call_id: str, part: int = 0) -> int:
    """The key of a part, or of a whole call."""
    return int(call_id[:16], 16) ^ part * _MIX & (1 << 64) - 1


def keys_of(entry: Entry) -> list[int]:
    """The keys under which an entry is found, at least one."""
    match entry:
        case Part():
            return [key(entry.call_id, entry.part)]
        case Call():
            return [key(entry.call_id)]
        case Late():
            return [key(entry.call_id, LATE)]
        case Erasure():
            named = [key(call_id) for call_id in entry.call_ids]
            return [*named, *(key(call_id, part) for call_id, part in entry.parts)] or [NO_NAME]
        case Delivery():
            return [key(call_id, DELIVERY) for call_id in dict.fromkeys(part.call_id for part in entry.parts)]
        case Inbox():
            return [key(entry.call_id, INBOX)]
        case Key():
            return [KEY_CHANGE]
        case Hold():
            return [HOLD]
        case Configuration():
            return [CONFIGURATION]
        case _:
            return [NO_NAME]


def rows_of(entry: Entry, number: int, offset: int) -> bytes:
    """The rows of an entry, as they are stored."""
    return b"".join(_ROW.pack(one, number, offset) for one in keys_of(entry))


class Names:
    """The rows of one ledger."""

    def __init__(self, file: AppendFile) -> None:
        self._file = file
        self._sorted: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._order: npt.NDArray[np.uint32] = np.empty(0, np.uint32)
        self._recent: dict[int, list[int]] = {}
        self._rows = 0

    def reaches(self, size: int) -> bool:
        """Whether the rows of the first `size` entries are there, of which the last has one row."""
        count = self._file.size_bytes // ROW.itemsize
        return not size or (count > 0 and self._row(count - 1)[1] >= size - 1)

    def offset(self, entry: int) -> int:
        """Where the line of `entry` begins."""
        return self._row(self._first_row(entry))[2]

    def cut(self, entries: int) -> None:
        """Forget the rows of all but the first `entries` entries."""
        self._file.cut(self._first_row(entries) * ROW.itemsize)
        self._load()

    def add(self, entry: Entry, number: int, offset: int) -> None:
        """Add the rows of entry `number`, whose line begins at `offset`."""
        for one in keys_of(entry):
            self._file.append(_ROW.pack(one, number, offset))
            self._recent.setdefault(one, []).append(self._rows)
            self._rows += 1
        if len(self._recent) >= _MERGE_ROWS:
            self._merge()

    def places(self, wanted: Iterable[int]) -> list[tuple[int, int]]:
        """Number and offset of the lines that may speak of one of these keys, in the ledger's order, each once."""
        return sorted({self._row(row)[1:] for one in wanted for row in self._rows_with(one)})

    def _rows_with(self, one: int) -> list[int]:
        first, last = (int(np.searchsorted(self._sorted, np.uint64(one), side)) for side in ("left", "right"))
        return [*self._order[first:last].tolist(), *self._recent.get(one, ())]

    def _row(self, row: int) -> tuple[int, int, int]:
        one, entry, offset = _ROW.unpack(self._file.read(row * ROW.itemsize, ROW.itemsize))
        return one, entry, offset

    def _first_row(self, entry: int) -> int:
        """The first row of an entry not before `entry`."""
        low, high = 0, self._file.size_bytes // ROW.itemsize
        while low < high:
            middle = (low + high) // 2
            if self._row(middle)[1] < entry:
                low = middle + 1
            else:
                high = middle
        return low

    def _load(self) -> None:
        stored = np.frombuffer(self._file.read(0, self._file.size_bytes), ROW)["key"]
        self._rows = len(stored)
        self._recent = {}
        self._order = np.argsort(stored, kind="stable").astype(np.uint32)
        self._sorted = stored[self._order]

    def _merge(self) -> None:
        recent = sorted((one, row) for one, rows in self._recent.items() for row in rows)
        keys = np.array([one for one, _ in recent], np.uint64)
        places = np.searchsorted(self._sorted, keys, "right")
        self._sorted = np.insert(self._sorted, places, keys)
        self._order = np.insert(self._order, places, np.array([row for _, row in recent], np.uint32))
        self._recent = {}
