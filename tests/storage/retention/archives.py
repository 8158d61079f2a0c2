"""Small archives with a ledger, for tests that erase in them."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from appliance.custody.archivist import Archivist, Surroundings
from storage.archive import Archive
from storage.call_record import CallRecord, PartEntry
from storage.disk import Disk
from storage.json_form import to_json
from storage.layout import part_stem
from storage.ledger import entries
from storage.ledger.ledger import Ledger
from storage.register import Register, RegisterSettings
from storage.retention.clockguard import Sighting
from storage.timestamps import instant_ns, local_time
from storage.vocabulary import Direction, Form
from storage.writer import ArchiveWriter
from tests.storage.ledger.books import NOW_NS, TOKYO, settings
from tests.storage.samples import at, call_record, late_record, linear, part_record, sound

SEEN = Sighting(boot_id="a", boot_ns=3600 * 10**9, wall_ns=NOW_NS, synchronised=True)


def call_id(number: int) -> str:
    return hashlib.sha256(f"call {number}".encode()).hexdigest()


def make(
    root: Path,
    calls: int,
    *,
    parts: int = 2,
    form: Form = Form.ZIP,
    frames: int = 800,
    late: bool = False,
    **changes: Any,
) -> list[CallRecord]:
    """An archive with so many calls, a minute apart, and everything in the ledger; returns their records.

    `late`: each call has late packets.
    """
    archive = Archive(root)
    with ArchiveWriter(archive, books=books(root)) as writer:
        records = [_call(writer, number, parts, form, frames, changes) for number in range(calls)]
        for number in range(calls if late else 0):
            write_late(writer, number)
    return records


def _call(
    writer: ArchiveWriter, number: int, parts: int, form: Form, frames: int, changes: dict[str, Any]
) -> CallRecord:
    started_at = at(60 * number)
    written = [_part(writer, number, part, form, frames, started_at) for part in range(1, parts + 1)]
    record = replace(call_record(), call_id=call_id(number), started_at=started_at, parts=tuple(written), **changes)
    writer.write_call(record)
    return record


def write_late(writer: ArchiveWriter, number: int, first_s: float = 86_400) -> None:
    """Packets that came so long after the first call's start, the next day."""
    writer.write_late(late_record(call_id=call_id(number), first_at=at(first_s)))


def _part(writer: ArchiveWriter, number: int, part: int, form: Form, frames: int, started_at: str) -> PartEntry:
    start_ns = instant_ns(started_at)
    stem = part_stem(
        start_ns=start_ns,
        zone=TOKYO,
        direction=Direction.OUT,
        caller="0312345678",
        callee="0698765432",
        call_id=call_id(number),
        part=part,
    )
    made = writer.write_part(
        call_id=call_id(number),
        number=part,
        stem=stem,
        started=local_time(start_ns, TOKYO),
        form=form,
        sound=sound(linear(frames)),
        metadata=lambda wav: to_json(
            part_record(
                call_id=call_id(number),
                part=part,
                wav_sha256=wav,
                form=form,
                started_at=started_at,
                origin_at=started_at,
                samples=frames,
            )
        ),
    )
    return PartEntry(
        name=made.name,
        number=part,
        wav_sha256=made.wav_sha256,
        call_json_sha256=made.call_json_sha256,
        first_sample=0,
        samples=frames,
    )


def books(root: Path) -> RegisterSettings:
    return RegisterSettings(ledger=settings(root), now_ns=lambda: NOW_NS)


@contextmanager
def owned(root: Path, disk: Disk | None = None, **surroundings) -> Iterator[Archivist]:
    """The archive's owner."""
    with owned_writing(root, disk, **surroundings) as (archivist, _):
        yield archivist


@contextmanager
def owned_writing(root: Path, disk: Disk | None = None, **surroundings) -> Iterator[tuple[Archivist, ArchiveWriter]]:
    """The archive's owner, and what it records with."""
    archive, disk = Archive(root), disk or Disk()
    with ArchiveWriter(archive, disk, books=books(root)) as writer:
        assert writer.register is not None
        assert writer.register.ledger is not None
        around = Surroundings(
            zone=TOKYO,
            disk=disk,
            settle=writer.sync,
            take_index=partial(taking, writer.register),
            changed=writer.sync,
            **surroundings,
        )
        archivist = Archivist(archive, writer.register.ledger, around)
        archivist.begin(NOW_NS)
        yield archivist, writer


def taking(register: Register) -> Iterator[None]:
    register.take_index()
    yield


def carried_out(archivist: Archivist, request, seen: Sighting = SEEN):
    """The answer to a request."""
    steps = archivist.carry_out(request, seen)
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            return ended.value


def finished(root: Path) -> set[str]:
    """Files of recordings and of records."""
    folders = (root / "recordings", root / "calls", root / "late")
    return {path.name for folder in folders for path in folder.glob("*/*/*/*") if path.is_file()}


def erasures(root: Path) -> list[entries.Erasure]:
    with Ledger(settings(root), NOW_NS) as ledger:
        return [line.entry for line in ledger.lines() if isinstance(line.entry, entries.Erasure)]
