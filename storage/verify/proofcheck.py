"""A recording outside its archive, with a proof beside it: whether it is what the recorder signed for."""

from collections.abc import Sequence
from pathlib import Path

from storage import partreader
from storage.errors import DamagedRecordError, StorageError
from storage.ledger import entries, prooftext
from storage.ledger.entries import Part
from storage.ledger.proof import SUFFIX, Proof
from storage.part_record import PartRecord
from storage.partfile import AUDIO_NAME, METADATA_NAME
from storage.verify import partcheck
from storage.verify.defects import Defect, Kind
from storage.vocabulary import Form

MAX_PROOF_BYTES = 256 << 10


def proof_beside(path: Path) -> Path | None:
    """Where the proof of a part lies, under the names that exports give it."""
    candidates = (path.with_suffix(prooftext.SUFFIX), path.with_name(path.name + SUFFIX), path.with_suffix(SUFFIX))
    return next((candidate for candidate in candidates if candidate.exists()), None)


def defects(path: Path, proof: Path, public_keys: Sequence[bytes]) -> list[Defect]:
    """What is wrong with the part at `path`, given its proof and the keys to believe. Raises LedgerError."""
    with proof.open("rb") as stored:
        said = prooftext.from_text(stored.read(MAX_PROOF_BYTES))
    found = [] if any(said.checkpoint.is_signed_by(key) for key in public_keys) else [_unsigned(proof)]
    try:
        record = partreader.read_record(path)
        stem = partcheck.expected_stem(record, path.stem)  # whoever was given a copy may call it what he likes
        part = _part(path, record, stem)
        problems = [] if _is_proved(part, said) else ["it is not what the proof speaks of"]
        problems += partcheck.part_problems(path, part, lambda file, size: file.read(size), stem=stem)
    except DamagedRecordError:
        problems = ["the metadata are no record of a part"]
    except StorageError as error:
        problems = [str(error)]
    return [*found, *(Defect(kind=Kind.ALTERED, subject="the part", path=str(path), what=what) for what in problems)]


def is_proved(path: Path, proof: Proof) -> bool:
    """Whether the part at `path` is what the proof speaks of, its ZIP and name aside. Raises DamagedPartError."""
    leaf = entries.part_leaf(partreader.sha256(path, METADATA_NAME), partreader.sha256(path, AUDIO_NAME))
    return proof.holds_for(leaf)


def _is_proved(part: Part, proof: Proof) -> bool:
    return proof.holds_for(entries.part_leaf(part.call_json_sha256, part.wav_sha256))


def _part(path: Path, record: PartRecord, stem: str) -> Part:
    """The ledger's line as it must have been for what lies here."""
    return Part(
        call_id=record.call_id,
        part=record.part,
        day=f"{stem[:4]}-{stem[4:6]}-{stem[6:8]}",
        form=Form.ZIP if path.suffix == ".zip" else Form.WAV,
        call_json_sha256=partreader.sha256(path, METADATA_NAME),
        wav_sha256=partreader.sha256(path, AUDIO_NAME),
        at=record.started_at,
    )


def _unsigned(proof: Path) -> Defect:
    what = "its checkpoint is not signed by the key that is believed"
    return Defect(kind=Kind.SIGNATURE, subject="the proof", path=str(proof), what=what)
