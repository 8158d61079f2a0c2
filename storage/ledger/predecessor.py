"""What is left of a broken ledger, and what a log that goes on after it says of it.

Nothing is believed of it but its checkpoint's signature; its lines are taken over as far as they can be read.
"""

import base64
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from storage.errors import DeviceKeyError, LedgerError
from storage.ledger import checkpoint as checkpoints
from storage.ledger import devicekey, entries
from storage.ledger.checkpoint import Checkpoint
from storage.ledger.checkpointfiles import KEPT, NEWEST, PUBLIC_KEY
from storage.ledger.entries import OWN, Entry, Key, Log, NextLog
from storage.ledger.ledgerfile import ENTRIES
from storage.ledger.settings import Attribution

REPAIRING = "repairing.json"
"""In the ledger's folder while it is repaired."""
SHARED_AS = "share-checkpoint.txt"
"""What the copy of the newest checkpoint on the share is called in `quarantine/`."""
_NUMBERED = re.compile(r"(rokubox/[0-9A-Za-z._-]{1,59})\.([0-9]{1,4})")
_MOST_ORIGIN_CHARACTERS = 67


@dataclass(frozen=True, slots=True, kw_only=True)
class Predecessor:
    """A broken log."""

    origin: str
    """Its name; empty when that could not be read."""
    checkpoint: str
    """The last one that it was signed with; empty when none is left."""
    kept_as: str
    """Folder in `quarantine/` that holds what was there of it."""
    by: Attribution
    """Who has another log begun, and why."""

    def next_origin(self, own: str) -> str:
        """The name of the log that goes on, which must be another one: `.2`, `.3` and so on behind the first's.

        `own` is what this box would call a log of its own.
        """
        before = self.origin or own
        named = _NUMBERED.fullmatch(before)
        if named:
            return f"{named[1]}.{int(named[2]) + 1}"
        return f"{before[:_MOST_ORIGIN_CHARACTERS]}.2"


def lines(folder: Path) -> Iterator[bytes]:
    """Every line in `folder`, readable or not. Raises OSError."""
    with (folder / ENTRIES).open("rb") as file:
        while stored := file.readline(entries.MAX_ENTRY_BYTES + 1):
            yield stored.rstrip(b"\n")


def readings(folder: Path) -> Iterator[Entry | None]:
    """What each line says; None of one that cannot be read. Raises OSError."""
    for stored in lines(folder):
        try:
            yield entries.parse(stored)
        except LedgerError:
            yield None


def readable(folder: Path) -> Iterator[Entry]:
    """What the lines say that can be read. Raises OSError."""
    return (entry for entry in readings(folder) if entry is not None)


def taken_over(folder: Path) -> Iterator[Entry]:
    """What a log that goes on takes over, in order. Raises OSError."""
    return (entry for entry in readable(folder) if not isinstance(entry, OWN))


def found(folder: Path, by: Attribution) -> Predecessor:
    """What lies in `folder`. Raises OSError."""
    signed = _last_signed(folder)
    first = next(readable(folder), None)
    named = first if isinstance(first, Log | NextLog) else signed
    stored = checkpoints.serialize(signed).decode() if signed else ""
    return Predecessor(origin=named.origin if named else "", checkpoint=stored, kept_as=folder.name, by=by)


def _last_signed(folder: Path) -> Checkpoint | None:
    """The checkpoint over most lines that one of the log's keys signed."""
    keys = _keys(folder)
    files = (folder / NEWEST, folder / SHARED_AS, *(folder / KEPT).glob("*.txt"))
    signed = [one for path in files if (one := _parsed(path)) and any(one.is_signed_by(key) for key in keys)]
    return max(signed, key=lambda one: one.size, default=None)


def _keys(folder: Path) -> set[bytes]:
    """The public keys that the lines name, and the one beside them."""
    named = (entry.public_key for entry in readable(folder) if isinstance(entry, Log | NextLog | Key))
    keys = {base64.b64decode(key) for key in named}
    with suppress(DeviceKeyError):
        keys.add(devicekey.read_public(folder / PUBLIC_KEY))
    return keys


def _parsed(path: Path) -> Checkpoint | None:
    try:
        return checkpoints.parse(path.read_bytes())
    except (OSError, LedgerError):
        return None
