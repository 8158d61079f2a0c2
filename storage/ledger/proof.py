"""Proofs on paper, C2SP tlog-proof v1: one entry's place in the log, its audit path, and a signed checkpoint. Pure.

c2sp.org/tlog-proof@v1
index <number of the entry, from 0>
base64(hash), from the leaf's sibling up, one a line
<empty line>
<checkpoint>
"""

import base64
import binascii
from dataclasses import dataclass

from storage.errors import LedgerError
from storage.ledger import checkpoint as checkpoints
from storage.ledger import merkle
from storage.ledger.checkpoint import Checkpoint

FIRST_LINE = "c2sp.org/tlog-proof@v1"
SUFFIX = ".tlog-proof"
MAX_BYTES = 128 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That an entry is in the log that a checkpoint describes."""

    index: int
    """Number of the entry, from 0."""
    path: tuple[bytes, ...]
    """Hashes from the leaf's sibling up (RFC 6962 section 2.1.1)."""
    checkpoint: Checkpoint
    """The log; its signature is for the reader to verify."""

    def holds_for(self, leaf: bytes) -> bool:
        """Whether the entry's leaf has this data."""
        size, root = self.checkpoint.size, self.checkpoint.root
        return merkle.verify_inclusion(self.index, size, merkle.leaf_hash(leaf), self.path, root)


def serialize(proof: Proof) -> bytes:
    """The proof as it is given out."""
    hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in proof.path)
    head = f"{FIRST_LINE}\nindex {proof.index}\n{hashes}\n"
    return head.encode() + checkpoints.serialize(proof.checkpoint)


def parse(stored: bytes) -> Proof:
    """Read a proof. Raises LedgerError for anything else; nothing is verified."""
    head, separator, checkpoint = stored.partition(b"\n\n")
    if len(stored) > MAX_BYTES or not separator:
        raise LedgerError("not a proof: too long, or without a checkpoint")
    first, index, *path = [*head.split(b"\n"), b""][: max(head.count(b"\n") + 1, 2)]
    number = index.removeprefix(b"index ")
    if first != FIRST_LINE.encode() or not number.isdigit() or b"index %d" % int(number[:20]) != index:
        raise LedgerError("not a proof: another first line, or no index")
    try:
        hashes = tuple(base64.b64decode(one, validate=True) for one in path)
    except binascii.Error as error:
        raise LedgerError("not a proof: a line that is no hash") from error
    proof = Proof(index=int(number), path=hashes, checkpoint=checkpoints.parse(checkpoint))
    if serialize(proof) != stored:
        raise LedgerError("not a proof: another form of one")
    return proof
