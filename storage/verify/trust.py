"""Who signed what: the keys of a log, how one followed the other, and which of them can be believed. Pure.

The first key is in the first entry, each later one in a `key` entry that holds its signature over the last checkpoint
of the key before. That alone proves nothing about the new key: whoever has an old checkpoint could make such an entry.
A new key is believed when the verifier was given it, or when a believed key signed a checkpoint over its entry, which
the log keeps as `checkpoints/key-<size>.txt`.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from storage.errors import LedgerError
from storage.ledger import checkpoint as checkpoints
from storage.ledger import note
from storage.ledger.checkpoint import Checkpoint
from storage.ledger.entries import Key
from storage.verify.defects import Defect, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """A `key` entry, where it stands."""

    number: int
    """Number of the entry."""
    entry: Key
    """What it says."""
    root_before: bytes
    """Root of the log before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A checkpoint that somebody holds."""

    subject: str
    """Where it comes from, in words."""
    path: str
    """Its file."""
    checkpoint: Checkpoint
    """What it says."""
    is_ours: bool
    """Whether it lies in the archive, where nobody but the log's own keys signs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of one log."""

    public_keys: tuple[bytes, ...]
    """In the order in which they came into force."""
    changes: tuple[KeyChange, ...]
    """How; one fewer."""

    def in_force(self, size: int) -> bytes:
        """The key that signs the log when it has `size` entries."""
        return self.public_keys[sum(change.number < size for change in self.changes)]

    def believed(self, given: Iterable[bytes], seen: Iterable[Seen], roots: Mapping[int, bytes]) -> set[bytes]:
        """The keys that can be believed when those in `given` are."""
        trusted = set(given)
        ours = [one.checkpoint for one in seen if roots.get(one.checkpoint.size) == one.checkpoint.root]
        for before, after, change in self.successions():
            vouched = (one for one in ours if one.size > change.number)
            if before in trusted and any(one.is_signed_by(before) and one.is_signed_by(after) for one in vouched):
                trusted.add(after)
        return trusted

    def successions(self) -> Iterable[tuple[bytes, bytes, KeyChange]]:
        """Each key, the one after it, and how it came into force."""
        return zip(self.public_keys, self.public_keys[1:], self.changes, strict=False)


def change_defects(origin: str, keys: Keys, roots: Mapping[int, bytes]) -> Iterator[Defect]:
    """What is wrong with the `key` entries."""
    for before, after, change in keys.successions():
        what = _change_problem(origin, before, after, change, roots)
        if what:
            yield Defect(
                kind=Kind.SIGNATURE,
                subject=f"the change of key in line {change.number + 1}",
                path="ledger/entries.jsonl",
                what=what,
            )


def _change_problem(origin: str, before: bytes, after: bytes, change: KeyChange, roots: Mapping[int, bytes]) -> str:
    try:
        previous = checkpoints.parse(change.entry.previous_checkpoint.encode())
    except LedgerError as error:
        return str(error)
    root = change.root_before if previous.size == change.number else roots.get(previous.size)
    if previous.origin != origin or previous.size > change.number or previous.root != root:
        return "it names a checkpoint that is none of this log"
    if not previous.is_signed_by(before):
        return "the checkpoint that it names is not signed by the key before"
    signature = base64.b64decode(change.entry.signature)
    return "" if note.is_signature(after, signature, previous.note.text.encode()) else "the new key did not sign it"


def checkpoint_defects(
    origin: str, size: int, keys: Keys, seen: Iterable[Seen], roots: Mapping[int, bytes]
) -> Iterator[Defect]:
    """What is wrong with checkpoints: bad signatures, and those of which this log is no continuation."""
    for one in seen:
        found = one.checkpoint
        signed = _is_signed(one, keys)
        if not signed:
            yield _defect(one, Kind.SIGNATURE, "it is not signed by the key that the ledger names for it")
        if not signed and one.is_ours:
            continue  # a forgery in the archive says nothing of the log; to who holds one elsewhere it does
        if found.origin != origin:
            yield _defect(one, Kind.LEDGER, f"it is of another log than {origin}")
        elif found.size > size:
            yield _defect(one, Kind.LEDGER, f"the ledger was cut: it had {found.size} lines then and has {size}")
        elif roots.get(found.size) != found.root:
            what = f"the ledger's first {found.size} lines were others then: altered, or forked"
            yield _defect(one, Kind.LEDGER, what)


def _is_signed(one: Seen, keys: Keys) -> bool:
    if not one.checkpoint.is_signed_by(keys.in_force(one.checkpoint.size)):
        return False
    # Others may countersign what left the box; in the archive every signature is one of ours.
    signing = sum(one.checkpoint.is_signed_by(key) for key in keys.public_keys)
    return not one.is_ours or len(one.checkpoint.note.signatures) == signing


def _defect(one: Seen, kind: Kind, what: str) -> Defect:
    return Defect(kind=kind, subject=one.subject, path=one.path, what=what)
