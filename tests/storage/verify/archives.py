"""A small archive with everything in it: both forms, two days, an erased call, a changed key, kept checkpoints."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from storage.archive import Archive
from storage.call_record import PartEntry
from storage.index.rows import PartRow
from storage.index.writer import IndexWriter
from storage.json_form import to_json
from storage.layout import part_stem
from storage.ledger import checkpoint as checkpoints
from storage.ledger import proof
from storage.ledger.checkpoint import Checkpoint
from storage.ledger.entries import Call, Erasure, Late, Part
from storage.ledger.ledger import Ledger
from storage.ledger.settings import Attribution
from storage.retention import certificate
from storage.retention.certificate import Certificate, Left, ProvenEntry
from storage.timestamps import local_time, rfc3339
from storage.verify.trust import Seen
from storage.verify.verification import Report, Request, verify
from storage.vocabulary import Direction, Form
from storage.writer import ArchiveWriter
from tests.storage.ledger.books import DAY_NS, settings
from tests.storage.samples import START_NS, TOKYO, call_record, late_record, linear, part_record, sound

SOMEBODY = Attribution(who="suzuki", why="yearly rotation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was made, with the checkpoints that somebody else may have kept."""

    root: Path
    checkpoints: tuple[Checkpoint, ...]
    parts: tuple[Path, ...]
    records: tuple[Path, ...]
    """Of calls and of late packets."""


def call_id(number: int) -> str:
    return hashlib.sha256(f"call {number}".encode()).hexdigest()


def record(writer: ArchiveWriter, number: int, start_ns: int, form: Form = Form.ZIP, frames: int = 100) -> list[Any]:
    """Write one call of one part, and return its lines for the ledger."""
    one = call_id(number)
    at = rfc3339(start_ns, TOKYO)
    common: dict[str, Any] = {"call_id": one, "origin_at": at, "answered_at": at, "started_at": at}
    stem = part_stem(
        start_ns=start_ns,
        zone=TOKYO,
        direction=Direction.OUT,
        caller="0312345678",
        callee="0698765432",
        call_id=one,
        part=1,
    )
    written = writer.write_part(
        call_id=one,
        number=1,
        stem=stem,
        started=local_time(start_ns, TOKYO),
        form=form,
        sound=sound(linear(frames)),
        metadata=lambda wav: to_json(part_record(**common, form=form, samples=frames, wav_sha256=wav)),
    )
    entry = PartEntry(
        name=written.name,
        number=1,
        wav_sha256=written.wav_sha256,
        call_json_sha256=written.call_json_sha256,
        first_sample=0,
        samples=frames,
    )
    call = call_record(**common, parts=(entry,))
    writer.write_call(call)
    part = Part(
        call_id=one,
        part=1,
        day=at[:10],
        form=form,
        call_json_sha256=written.call_json_sha256,
        wav_sha256=written.wav_sha256,
        at=at,
    )
    return [part, Call(call_id=one, day=at[:10], record_sha256=hashlib.sha256(to_json(call)).hexdigest(), at=at)]


def late(writer: ArchiveWriter, number: int, first_ns: int) -> Late:
    """Write a record of packets that came after the end of a call, and return its line."""
    one = late_record(call_id=call_id(number), first_at=rfc3339(first_ns, TOKYO))
    writer.write_late(one)
    return Late(
        call_id=one.call_id,
        day=one.first_at[:10],
        ssrc=one.ssrc,
        first_ns=first_ns,
        record_sha256=hashlib.sha256(to_json(one)).hexdigest(),
        at=one.first_at,
    )


def make(root: Path) -> Made:
    archive = Archive(root)
    kept = []
    with ArchiveWriter(archive) as writer, Ledger(settings(root), START_NS) as ledger:
        ledger.append(record(writer, 1, START_NS))
        ledger.append(record(writer, 2, START_NS, Form.WAV))
        kept.append(ledger.commit(START_NS))
        ledger.append([*record(writer, 3, START_NS), late(writer, 3, START_NS), late(writer, 1, START_NS)])
        ledger.commit(START_NS)
        ledger.append([Erasure(**_erased(call_id(3)))])
        kept.append(ledger.commit(START_NS))
        _certify(archive, ledger)
        for folder in (archive.recordings, archive.records, archive.late):
            for path in folder.rglob(f"*{call_id(3)[:10]}*"):
                path.unlink()
        ledger.rotate(SOMEBODY, START_NS)
        ledger.append(record(writer, 4, START_NS + DAY_NS))
        kept.append(ledger.commit(START_NS + DAY_NS))
    return Made(
        root=root,
        checkpoints=tuple(kept),
        parts=tuple(sorted(path for path in archive.recordings.rglob("*_p01.*"))),
        records=(*sorted(archive.records.rglob("*.json")), *sorted(archive.late.rglob("*.json"))),
    )


def make_small(root: Path) -> None:
    """An archive of one call, whose ledger is small enough to change each of its bytes."""
    with ArchiveWriter(Archive(root)) as writer, Ledger(settings(root), START_NS) as ledger:
        ledger.append(record(writer, 1, START_NS))
        ledger.commit(START_NS)


def _certify(archive: Archive, ledger: Ledger) -> None:
    """The certificate of what was erased."""
    line = ledger.erasure(call_id(3))
    assert line is not None
    entry = ProvenEntry(line=line.stored.decode(), proof=proof.serialize(ledger.prove_entry(line.number)).decode())
    done = Certificate(
        software="rokubox 0.1.0",
        customer="客先",
        site="大阪",
        subject="enterprise E1",
        rule="enterprise E1: contract_end",
        who="policy",
        why="retention",
        at=rfc3339(START_NS, TOKYO),
        **certificate.sums([entry.line])._asdict(),
        left={Left.HELD: 1},
        journal_clean=True,
        backup_days=90,
        entries=(entry,),
    )
    folder = archive.retention / certificate.FOLDER
    folder.mkdir(parents=True)
    (folder / "E1.json").write_bytes(certificate.to_json(done))
    (folder / "E1.txt").write_text(certificate.to_text(done), "utf-8")


def indexed(made: Made) -> None:
    """Make the index of an archive, with the writer's own means."""
    archive = Archive(made.root)
    with IndexWriter(made.root / "index.sqlite") as index:
        for record in archive.calls(lambda damage: pytest.fail(str(damage))):
            parts = []
            for part in record.parts:
                path = archive.part_path(part.name)
                files = [path] if path.suffix == ".zip" else [path, path.with_suffix(".json")]
                size = sum(file.stat().st_size for file in files)
                parts.append(PartRow(number=part.number, day=int(part.name[:8]), samples=part.samples, size_bytes=size))
            index.add(record, parts)


def _erased(one: str) -> dict[str, Any]:
    return {
        "call_ids": (one,),
        "rule": "90 days",
        "who": "policy",
        "why": "retention",
        "counts": {"calls": 1},
        "at": rfc3339(START_NS, TOKYO),
    }


def verified(root: Path, *older: Checkpoint, **options: Any) -> Report:
    seen = [
        Seen(subject="the checkpoint kept elsewhere", path="kept.txt", checkpoint=one, is_ours=False) for one in older
    ]
    waits: list[float] = []
    return verify(Request(archive=root, checkpoints=tuple(seen), **options), wait=waits.append)


def kinds(report: Report) -> set[str]:
    return {defect.kind.value for defect in report.defects}


def reread(checkpoint: Checkpoint) -> Checkpoint:
    return checkpoints.parse(checkpoints.serialize(checkpoint))
