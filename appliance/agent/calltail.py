"""Calls as they end: the ledger's lines from where the agent was, and the record of each call in them.

The ledger is the order in which records became part of the archive; the place in it is kept with what was told of them,
so each call is told of once.
"""

from dataclasses import dataclass
from typing import BinaryIO

import msgspec

from storage import archive as archives
from storage.archive import Archive
from storage.call_record import CallRecord
from storage.errors import DamagedRecordError, LedgerError
from storage.layout import day_folder
from storage.ledger import entries
from storage.ledger.entries import MAX_ENTRY_BYTES, Call, Configuration
from storage.ledger.ledgerfile import ENTRIES
from storage.vocabulary import Source

READ_BYTES = 1 << 18
"""Looked at in one turn: some hundred lines."""
_FIRST_LINE_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far the ledger was read."""

    begins: str = ""
    """How it begins: another log begins otherwise."""
    offset: int = 0
    """In bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a turn brought."""

    place: Place
    calls: tuple[CallRecord, ...] = ()
    """Live calls that ended, in order; those of an import are nobody's news."""
    configurations: int = 0
    """How often another configuration came into force."""
    more: bool = False
    """There is more to read at once."""


def read(archive: Archive, place: Place | None) -> News:
    """Read on. Without a place it begins at the end: what was before is history.

    Raises OSError.
    """
    path = archive.ledger / ENTRIES
    with path.open("rb") as lines:
        begins = lines.readline(_FIRST_LINE_BYTES).decode("utf-8", "replace")
        size = lines.seek(0, 2)
        if place is None:
            return News(place=Place(begins=begins, offset=_last_line_end(lines, size)))
        if place.begins != begins or place.offset > size:
            place = Place(begins=begins)
        lines.seek(place.offset)
        content = lines.read(READ_BYTES + MAX_ENTRY_BYTES)
    end = _end_of_lines(content)
    calls, configurations = [], 0
    for stored in content[:end].splitlines():
        try:
            entry = entries.parse(stored)
        except LedgerError:  # for `verify` to tell
            continue
        configurations += isinstance(entry, Configuration)
        if isinstance(entry, Call) and (record := _record(archive, entry)) is not None:
            calls.append(record)
    return News(
        place=Place(begins=begins, offset=place.offset + end),
        calls=tuple(calls),
        configurations=configurations,
        more=end > 0 and place.offset + end < size,
    )


def dump(place: Place) -> str:
    """The place as text."""
    return msgspec.json.encode(place).decode()


def load(text: str) -> Place | None:
    """The place of a text; None when it is none."""
    try:
        return msgspec.json.decode(text, type=Place)
    except msgspec.MsgspecError:
        return None


def _end_of_lines(content: bytes) -> int:
    """Where the last whole line ends that begins within `READ_BYTES`."""
    if len(content) <= READ_BYTES:
        return content.rfind(b"\n") + 1
    return content.find(b"\n", READ_BYTES) + 1 or content.rfind(b"\n") + 1


def _last_line_end(lines: BinaryIO, size: int) -> int:
    at = max(0, size - MAX_ENTRY_BYTES)
    lines.seek(at)
    return at + lines.read().rfind(b"\n") + 1


def _record(archive: Archive, entry: Call) -> CallRecord | None:
    """The live call's record; None when it was erased since, or is an import's, or damaged, which `verify` tells."""
    try:
        record = archives.read_record(archive.records / day_folder(entry.day) / f"{entry.call_id}.json")
    except DamagedRecordError:
        return None
    return record if record.source is Source.SPAN else None
