"""The ledger followed by another process than its writer: the lines that a checkpoint covers, and no others.

A line behind the newest checkpoint may be cut off by a power cut and written anew; one before it stands for good.
"""

from dataclasses import dataclass
from pathlib import Path

from storage.errors import from_os_error
from storage.ledger import checkpoint, entries
from storage.ledger.checkpointfiles import NEWEST
from storage.ledger.ledgerfile import ENTRIES, Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a ledger was followed."""

    origin: str = ""
    """Which ledger; another one is followed from its beginning."""
    number: int = 0
    """Lines that were followed."""
    offset: int = 0
    """Where the next one begins, in bytes."""


def size(directory: Path) -> int:
    """Lines that the newest checkpoint covers; 0 without a ledger. Raises ArchiveError, LedgerError."""
    newest = _newest(directory)
    return newest.size if newest else 0


def follow(directory: Path, place: Place, most: int) -> tuple[list[Line], Place]:
    """The next lines, at most so many, and the place behind them. Raises ArchiveError, LedgerError."""
    newest = _newest(directory)
    if newest is None:
        return [], place
    if newest.origin != place.origin or newest.size < place.number:
        place = Place(origin=newest.origin)
    lines: list[Line] = []
    offset = place.offset
    try:
        with (directory / ENTRIES).open("rb") as file:
            file.seek(offset)
            for number in range(place.number, min(newest.size, place.number + most)):
                stored = file.readline(entries.MAX_ENTRY_BYTES + 1)
                whole = stored.removesuffix(b"\n")
                lines.append(Line(number=number, offset=offset, stored=whole, entry=entries.parse(whole)))
                offset += len(stored)
    except OSError as error:
        raise from_os_error(error, "read the ledger") from error
    return lines, Place(origin=place.origin, number=place.number + len(lines), offset=offset)


def _newest(directory: Path) -> checkpoint.Checkpoint | None:
    try:
        return checkpoint.parse((directory / NEWEST).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error(error, "read the ledger's checkpoint") from error
