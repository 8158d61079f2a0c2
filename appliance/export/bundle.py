"""An export: one ZIP with recordings, call records, proofs and a manifest; complete under its name, or not there.

originals/      parts as they lie in the archive, each with a proof that the ledger holds it; left out when the
                treatment is to hide something
treated/        audio made from them, with its metadata
calls/          call records
manifest.json   every file with its hash and origin; README.txt says how to read and verify it
"""

import hashlib
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from appliance.export import audio, redaction
from appliance.export.manifest import ExportedFile, Manifest, to_json
from appliance.export.notes import NOTES
from appliance.export.treatment import Treatment
from storage import partreader
from storage.archive import Archive
from storage.call_record import CallRecord, PartEntry
from storage.disk import Disk, Draft, publish_all
from storage.json_form import to_json as record_to_json
from storage.layout import ID_DIGITS
from storage.part_record import PartRecord

_COPY_BYTES = 1 << 20
_Record = TypeVar("_Record", PartRecord, CallRecord)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be exported, for whom."""

    calls: Sequence[CallRecord]
    """Which calls, all their parts."""
    treatment: Treatment
    """What is done to them."""
    who: str
    """Who asks for it."""
    why: str
    """What for."""
    at: datetime
    """When, with its zone."""
    software: str
    """What makes it."""


Prove = Callable[[str, int], bytes]
"""Call id and part number to the text of the proof that the ledger holds the part."""


Step = Callable[[PartEntry], None]
"""Told each part that is in the bundle."""


def write(
    archive: Archive,
    order: Order,
    target: Path,
    *,
    prove: Prove,
    keys: Mapping[str, bytes],
    step: Step,
) -> Manifest:
    """Write the bundle to `target`, which must not exist yet, and return what it says of itself.

    `keys`: files that the proofs are checked with, by name. `step` is told each part.

    Raises:
        DamagedPartError, DamagedRecordError: a part cannot be read.
        StorageError: the bundle cannot be written; ConflictError when `target` is there with other content.
    """
    with Draft(Disk(), target.parent, target, "the export") as draft:
        with zipfile.ZipFile(_Sink(draft), "w", zipfile.ZIP_STORED) as bundle:
            writer = _Writer(bundle=bundle, archive=archive, order=order, prove=prove)
            files = tuple(file for call in order.calls for file in writer.call(call, step))
            manifest = Manifest(
                software=order.software,
                exported_at=order.at.isoformat(timespec="seconds"),
                who=order.who,
                why=order.why,
                treatment=order.treatment,
                files=files,
            )
            for name, content in {**keys, "manifest.json": to_json(manifest), "README.txt": NOTES}.items():
                writer.add(name, content)
        publish_all((draft,))
    return manifest


class _Sink(io.RawIOBase):
    """The draft as a file that can only be appended to, which is all that `zipfile` needs."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def writable(self) -> bool:
        """Yes, and nothing else."""
        return True

    def write(self, data: Any) -> int:
        """Append any buffer."""
        content = memoryview(data)
        self._draft.write(content)
        return content.nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writer:
    bundle: zipfile.ZipFile
    archive: Archive
    order: Order
    prove: Prove

    def add(self, name: str, content: bytes) -> str:
        """Add a small file; return its SHA-256."""
        self.bundle.writestr(self._entry(name), content)
        return hashlib.sha256(content).hexdigest()

    def call(self, call: CallRecord, step: Step) -> Iterator[ExportedFile]:
        """Add everything of one call."""
        for entry in call.parts:
            if not self.order.treatment.hides:
                yield from self._original(call, entry)
            if self.order.treatment.alters:
                yield from self._treated(call, entry)
            step(entry)
        name = f"calls/{call.call_id}.json"
        sha256 = self.add(name, record_to_json(self._hidden(call)))
        yield ExportedFile(
            name=name, sha256=sha256, call_id=call.call_id, part=None, original_wav_sha256=None, treated=None
        )

    def _original(self, call: CallRecord, entry: PartEntry) -> Iterator[ExportedFile]:
        path = self.archive.part_path(entry.name)
        paths = [path] if path.suffix == ".zip" else [path, path.with_suffix(".json")]
        for stored in paths:
            with stored.open("rb") as content:
                sha256 = self._copy(f"originals/{stored.name}", content)
            yield self._file(f"originals/{stored.name}", sha256, call, entry)
        name = f"originals/{path.stem}.proof.txt"
        yield self._file(name, self.add(name, self.prove(call.call_id, entry.number)), call, entry)

    def _treated(self, call: CallRecord, entry: PartEntry) -> Iterator[ExportedFile]:
        path = self.archive.part_path(entry.name)
        record = partreader.read_record(path)
        stem = f"treated/{self._stem(path, call, entry)}"
        with tempfile.TemporaryFile() as wav:
            treated = audio.write(path, record, self.order.treatment, wav)
            if treated is None:
                return
            wav.seek(0)
            sha256 = self._copy(f"{stem}.wav", wav)
        file = self._file(f"{stem}.wav", sha256, call, entry)
        yield replace(file, treated=treated)
        name = f"{stem}.json"
        yield self._file(name, self.add(name, record_to_json(self._hidden(record))), call, entry)

    def _stem(self, path: Path, call: CallRecord, entry: PartEntry) -> str:
        return f"{call.call_id[:ID_DIGITS]}_p{entry.number:02d}" if self.order.treatment.redact else path.stem

    def _hidden(self, record: _Record) -> _Record:
        if self.order.treatment.mask_keys:
            record = redaction.without_keys(record)
        return redaction.without_numbers(record) if self.order.treatment.redact else record

    def _file(self, name: str, sha256: str, call: CallRecord, entry: PartEntry) -> ExportedFile:
        return ExportedFile(
            name=name,
            sha256=sha256,
            call_id=call.call_id,
            part=entry.number,
            original_wav_sha256=entry.wav_sha256,
            treated=None,
        )

    def _copy(self, name: str, content: BinaryIO) -> str:
        digest = hashlib.sha256()
        with self.bundle.open(self._entry(name), "w", force_zip64=True) as target:
            while chunk := content.read(_COPY_BYTES):
                digest.update(chunk)
                target.write(chunk)
        return digest.hexdigest()

    def _entry(self, name: str) -> zipfile.ZipInfo:
        entry = zipfile.ZipInfo(name, self.order.at.timetuple()[:6])
        entry.external_attr = 0o100640 << 16
        return entry
