"""The ledger as others than its writer may look at it, while it grows: how far it is, where calls stand, which holds.

Nothing is verified here, and nothing written. What the writer has derived beside the lines (`names`) is believed.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.errors import ArchiveError, from_os_error
from storage.ledger import entries, names
from storage.ledger.entries import Hold
from storage.ledger.ledgerfile import ENTRIES, NAMES, Line


class LedgerView:
    """One state of a ledger."""

    def __init__(self, directory: Path) -> None:
        """Raises ArchiveError when it cannot be read; no ledger is one without entries."""
        self._lines = directory / ENTRIES
        try:
            stored = (directory / NAMES).read_bytes()
        except FileNotFoundError:
            if self._lines.exists():
                raise ArchiveError(
                    "the ledger's table of names is missing; the archive's next writer makes it"
                ) from None
            stored = b""
        except OSError as error:
            raise from_os_error(error, "read the ledger") from error
        rows = np.frombuffer(stored[: len(stored) // names.ROW.itemsize * names.ROW.itemsize], names.ROW)
        self.size = int(rows["entry"][-1]) + 1 if len(rows) else 0
        """Entries in this state."""
        order = np.argsort(rows["key"], kind="stable")
        self._keys: npt.NDArray[np.uint64] = rows["key"][order]
        self._entries: npt.NDArray[np.uint64] = rows["entry"][order]
        self._holds = rows["offset"][rows["key"] == names.HOLD].tolist()

    def position(self, call_id: str) -> int | None:
        """Number of the last entry about the call as a whole; None before its record is in the ledger."""
        wanted = np.uint64(names.key(call_id))
        end = int(np.searchsorted(self._keys, wanted, "right"))
        return int(self._entries[end - 1]) if end and self._keys[end - 1] == wanted else None

    def lines(self, first: int = 0) -> Iterator[Line]:
        """The lines from number `first` on, as many as this state has. Raises ArchiveError, LedgerError."""
        if first >= self.size:
            return
        offset = 0
        try:
            with self._lines.open("rb") as lines:
                for number in range(self.size):
                    stored = lines.readline(entries.MAX_ENTRY_BYTES + 1)
                    if number >= first:
                        whole = stored.rstrip(b"\n")
                        yield Line(number=number, offset=offset, stored=whole, entry=entries.parse(whole))
                    offset += len(stored)
        except OSError as error:
            raise from_os_error(error, "read the ledger") from error

    def holds(self) -> Iterator[Hold]:
        """Every entry about a legal hold, oldest first. Raises ArchiveError, or LedgerError at a damaged one."""
        if not self._holds:
            return
        try:
            with self._lines.open("rb") as lines:
                for offset in self._holds:
                    lines.seek(offset)
                    entry = entries.parse(lines.readline(entries.MAX_ENTRY_BYTES + 1).rstrip(b"\n"))
                    if isinstance(entry, Hold):
                        yield entry
        except OSError as error:
            raise from_os_error(error, "read the ledger") from error
