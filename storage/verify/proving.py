"""Proofs from a ledger that is only read: beside its writer, or from a copy, by whoever may read it."""

from pathlib import Path

from storage.errors import LedgerError, from_os_error
from storage.ledger import checkpoint as checkpoints
from storage.ledger import entries, merkle
from storage.ledger.checkpoint import Checkpoint
from storage.ledger.checkpointfiles import NEWEST
from storage.ledger.entries import Part
from storage.ledger.ledgerfile import ENTRIES, HASHES
from storage.ledger.merkle import HASH_BYTES, Frontier
from storage.ledger.proof import Proof


def prove(directory: Path, call_id: str, part: int) -> Proof:
    """The proof that a part is in the log of the newest checkpoint of the ledger in `directory`.

    Raises LedgerError when it is not, or the lines are not those of the checkpoint; ArchiveError when there are none.
    """
    try:
        checkpoint = checkpoints.parse((directory / NEWEST).read_bytes())
        index = _find(directory / ENTRIES, checkpoint.size, call_id, part)
        proof = _stored(directory, checkpoint, index[0]) or _computed(directory, checkpoint, index[0])
    except OSError as error:
        raise from_os_error(error, "read the ledger") from error
    if proof is None or not proof.holds_for(index[1]):
        raise LedgerError("the ledger's lines are not those of its checkpoint; `rokubox verify` tells more")
    return proof


def _find(lines: Path, size: int, call_id: str, part: int) -> tuple[int, bytes]:
    """Number and leaf of the line of a part."""
    wanted = call_id.encode()
    with lines.open("rb") as file:
        for index, stored in enumerate(file):
            if index == size:
                break
            if wanted not in stored:
                continue
            entry = entries.parse(stored.rstrip(b"\n"))
            if isinstance(entry, Part) and (entry.call_id, entry.part) == (call_id, part):
                return index, entries.leaf(entry, stored)
    raise LedgerError(f"part {part} of call {call_id[:10]} is not in the ledger")


def _stored(directory: Path, checkpoint: Checkpoint, index: int) -> Proof | None:
    """From the hashes that are stored, if they are right."""
    try:
        with (directory / HASHES).open("rb", buffering=0) as file:

            def read(place: int) -> bytes:
                file.seek(place * HASH_BYTES)
                return file.read(HASH_BYTES)

            path = merkle.inclusion_proof(index, checkpoint.size, read)
            if merkle.root(checkpoint.size, read) == checkpoint.root:
                return Proof(index=index, path=tuple(path), checkpoint=checkpoint)
    except FileNotFoundError:
        pass
    return None


def _computed(directory: Path, checkpoint: Checkpoint, index: int) -> Proof | None:
    """From the lines alone, which takes some 150 bytes of memory a line."""
    frontier, hashes = Frontier(), []
    with (directory / ENTRIES).open("rb") as file:
        for stored in file:
            if frontier.size == checkpoint.size:
                break
            line = stored.rstrip(b"\n")
            hashes += frontier.append(merkle.leaf_hash(entries.leaf(entries.parse(line), line)))
    if frontier.size < checkpoint.size or frontier.root() != checkpoint.root:
        return None
    path = merkle.inclusion_proof(index, checkpoint.size, hashes.__getitem__)
    return Proof(index=index, path=tuple(path), checkpoint=checkpoint)
