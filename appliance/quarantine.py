"""Journal blocks that assembly cannot get past: after three tries a block is set aside and its time is an outage.

An exception leaves the state half changed, so the process ends with it and the next one begins at the snapshot. What
was tried, and what is set aside, is kept in files.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from capture import journal
from capture.journal import Block
from capture.journalreader import JournalReader
from storage.errors import StorageError

TRIES = 3
_TRIED_NAME = "assembly.tried"


class Quarantine:
    """Knows which blocks are set aside, by their addresses."""

    def __init__(self, directory: Path, spool: Path) -> None:
        directory.mkdir(mode=0o750, exist_ok=True)
        self._directory = directory
        self._tried = spool / _TRIED_NAME
        self._held = {int(path.stem, 16) for path in directory.glob("*.rkj")}

    def holds(self, address: int, block: Block) -> tuple[int, int] | None:
        """Return the capture time that is missing when this block is set aside, else None."""
        return (block.first_ns, block.last_ns) if address in self._held else None

    @contextmanager
    def watching(self, address: int, reader: JournalReader) -> Iterator[None]:
        """Count what goes wrong with a block; a disk that fails is not the block's fault."""
        try:
            yield
        except StorageError:
            raise
        except Exception:
            tries = self._count(address)
            if tries >= TRIES:
                self._set_aside(address, reader)
            raise

    def _count(self, address: int) -> int:
        """Note one more try of a block and return how many there were in a row."""
        try:
            known, tries = json.loads(self._tried.read_text("ascii"))
        except (OSError, ValueError):
            known, tries = -1, 0
        tries = tries + 1 if known == address else 1
        self._tried.write_text(json.dumps([address, tries]), "ascii")
        return tries

    def _set_aside(self, address: int, reader: JournalReader) -> None:
        draft = self._directory / f".{address:016x}.tmp"
        draft.write_bytes(_whole(address, reader))
        draft.rename(self._directory / f"{address:016x}.rkj")


def _whole(address: int, reader: JournalReader) -> bytes:
    """Read a block as it lies in the journal."""
    header = bytearray(journal.HEADER.itemsize)
    reader.read_into(address, memoryview(header))
    block = bytearray(int(journal.parse_header(bytes(header))[0]["bytes"]))
    reader.read_into(address, memoryview(block))
    return bytes(block)
