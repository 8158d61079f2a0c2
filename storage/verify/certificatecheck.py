"""The certificates of erasure that the archive keeps: each text says what its JSON says, and that what the ledger says.

Both forms are made again from the JSON and must be the same, byte for byte. Each of the ledger's lines in it must be in
the log by its proof, whose signed checkpoint is held against the ledger as any other.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from storage.archive import Archive
from storage.errors import LedgerError
from storage.ledger import entries, proof
from storage.ledger.entries import Erasure
from storage.ledger.proof import Proof
from storage.retention import certificate
from storage.retention.certificate import Certificate, ProvenEntry
from storage.verify.defects import Defect, Kind
from storage.verify.trust import Seen

MAX_BYTES = 64 << 20
SUBJECT = "a certificate of erasure"
_JSON, _TEXT = ".json", ".txt"


class CertificatesFound:
    """What is there, read. Names of files may hold what a person asked for: only their paths are told."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.defects: list[Defect] = []
        """What is wrong with them in themselves."""
        self.seen: list[Seen] = []
        """The checkpoints in them."""
        folder = archive.retention / certificate.FOLDER
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        for path in (folder / name for name in names if not name.startswith(".")):  # a draft is on its way
            if path.suffix == _JSON:
                self._examine(path)
            elif path.suffix != _TEXT or path.with_suffix(_JSON).name not in names:
                self._add(Kind.UNEXPECTED, path, "no certificate is of this name")

    def _examine(self, path: Path) -> None:
        try:
            stored, found = _read(path)
            forms = certificate.to_json(found), certificate.to_text(found).encode()
        except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError):
            self._add(Kind.ALTERED, path, "it cannot be read, or is none")
            return
        if forms[0] != stored:
            self._add(Kind.ALTERED, path, "it is in another form than it was written")
        text = path.with_suffix(_TEXT)
        try:
            said = text.read_bytes()
        except OSError:
            self._add(Kind.MISSING, text, "its text is missing")
        else:
            if forms[1] != said:
                self._add(Kind.ALTERED, text, "text and JSON say different things")
        for what in self._problems(path, found):
            self._add(Kind.ALTERED, path, what)

    def _problems(self, path: Path, found: Certificate) -> Iterator[str]:
        """Whether it says what the ledger's lines in it say, and each is in the log of its checkpoint."""
        try:
            proven = [(one, proof.parse(one.proof.encode())) for one in found.entries]
            erasures = [_erasure(one) for one in found.entries]
            sums = certificate.sums(one.line for one in found.entries)
        except (LedgerError, UnicodeEncodeError):
            yield "a line or a proof in it is none"
            return
        for one, found_proof in proven:
            if not found_proof.holds_for(entries.leaf(entries.parse(one.line.encode()), one.line.encode())):
                yield "a line in it is not proved"
            self.seen.append(self._seen(path, found_proof))
        if (found.calls, found.parts, found.bytes) != sums or any(one.why != found.why for one in erasures):
            yield "it says something else than the ledger's lines in it"

    def _seen(self, path: Path, given: Proof) -> Seen:
        where = os.path.relpath(path, self._archive.root)
        return Seen(subject=f"the checkpoint in {SUBJECT}", path=where, checkpoint=given.checkpoint, is_ours=True)

    def _add(self, kind: Kind, path: Path, what: str) -> None:
        where = os.path.relpath(path, self._archive.root)
        self.defects.append(Defect(kind=kind, subject=SUBJECT, path=where, what=what))


def _read(path: Path) -> tuple[bytes, Certificate]:
    with path.open("rb") as file:
        stored = file.read(MAX_BYTES)
    return stored, msgspec.json.decode(stored, type=Certificate)


def _erasure(one: ProvenEntry) -> Erasure:
    entry = entries.parse(one.line.encode())
    if not isinstance(entry, Erasure):
        raise LedgerError("not an erasure")
    return entry
