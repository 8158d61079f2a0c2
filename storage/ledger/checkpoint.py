"""Checkpoints, C2SP tlog-checkpoint: a signed note that says how long the log was and what its root was. Pure.

    <origin>
    <tree size, decimal>
    base64(root hash)

Who holds an old one can prove later that the log is not what it was.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from storage.errors import LedgerError
from storage.ledger import note
from storage.ledger.merkle import HASH_BYTES
from storage.ledger.note import Note, Signer

MAX_SIZE = (1 << 63) - 1
_TEXT = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The log at one moment, with the signatures under it, verified or not."""

    origin: str
    """Which log; also the name of its keys."""
    size: int
    """Entries."""
    root: bytes
    """Root of the Merkle tree over them, 32 bytes."""
    note: Note
    """The signed note that says so."""

    def is_signed_by(self, public_key: bytes) -> bool:
        """Whether this key of the log signed it."""
        return note.is_signed_by(self.note, self.origin, public_key)


def text(origin: str, size: int, root: bytes) -> str:
    """What is signed."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def sign(origin: str, size: int, root: bytes, signers: Sequence[Signer]) -> Checkpoint:
    """Make a checkpoint signed by each of `signers`."""
    body = text(origin, size, root)
    signed = Note(text=body, signatures=tuple(note.sign(body, origin, signer) for signer in signers))
    return Checkpoint(origin=origin, size=size, root=root, note=signed)


def serialize(checkpoint: Checkpoint) -> bytes:
    """The checkpoint as it is stored and sent."""
    return note.serialize(checkpoint.note)


def parse(stored: bytes) -> Checkpoint:
    """Read a checkpoint without extension lines. Raises LedgerError for anything else; signatures are not verified."""
    signed = note.parse(stored)
    matched = _TEXT.fullmatch(signed.text)
    if matched is None or int(matched[2]) > MAX_SIZE:
        raise LedgerError("not a checkpoint: no origin, size and root hash")
    try:
        root = base64.b64decode(matched[3], validate=True)
    except binascii.Error as error:
        raise LedgerError("not a checkpoint: no root hash") from error
    if len(root) != HASH_BYTES or text(matched[1], int(matched[2]), root) != signed.text:
        raise LedgerError("not a checkpoint: no root hash")
    return Checkpoint(origin=matched[1], size=int(matched[2]), root=root, note=signed)
