"""Somebody with root on the box: has the device key, can write every file and set the clock, and starts all programs.

Who holds an older checkpoint finds each of these acts.
"""

import dataclasses
import hashlib
import json
import shutil
import sqlite3
from datetime import datetime
from pathlib import Path
from zipfile import ZipFile

import pytest
from isal import isal_zlib

from storage import zipstore
from storage.archive import Archive
from storage.ledger import checkpoint as checkpoints
from storage.ledger import entries as lines
from storage.ledger.checkpoint import Checkpoint
from storage.ledger.ledger import Ledger
from storage.timestamps import rfc3339
from storage.verify.defects import exit_code
from storage.writer import ArchiveWriter
from tests.storage.ledger.books import DAY_NS, settings
from tests.storage.samples import START_NS, TOKYO
from tests.storage.verify.archives import Made, call_id, indexed, kinds, record, verified

LATER_NS = START_NS + 2 * DAY_NS


def forged_log(made: Made, change, *, now_ns: int = LATER_NS) -> None:
    """Write the whole ledger anew with the box's own key and serial, each line as `change` leaves it."""
    ledger = made.root / "ledger"
    with Ledger(settings(made.root), LATER_NS) as old:
        entries = [change(line.entry) for line in old.lines()]
    key = (ledger / "device.key").read_bytes()
    forget_log(made)
    ledger.mkdir()
    (ledger / "device.key").write_bytes(key)
    with Ledger(settings(made.root), now_ns) as new:
        new.append(entry for entry in entries if entry is not None and entry.kind not in ("log", "key", "seal"))
        new.commit(now_ns)


def forget_log(made: Made) -> None:
    """Take away the ledger, the copy of its checkpoint that would stand for it, and certificates with others of it."""
    shutil.rmtree(made.root / "ledger")
    shutil.rmtree(made.root / "retention", ignore_errors=True)
    (made.root / "recordings" / "checkpoint.txt").unlink()


def replaced_part(made: Made) -> tuple[Path, str, str]:
    """Another conversation in the first part, perfect in itself: returns its hashes."""
    path = made.parts[0]
    with ZipFile(path) as bundle:
        wav = bytearray(bundle.read("audio.wav"))
        call_json = bundle.read("call.json")
    wav[100:140] = bytes(40)
    wav_sha256 = hashlib.sha256(wav).hexdigest()
    call_json = call_json.replace(json.loads(call_json)["wav_sha256"].encode(), wav_sha256.encode())
    moment = datetime.strptime(path.stem[:15], "%Y%m%dT%H%M%S")
    audio = zipstore.Entry(
        name="audio.wav", crc32=isal_zlib.crc32(bytes(wav)), size_bytes=len(wav), offset_bytes=0, modified=moment
    )
    head = zipstore.local_header(audio) + wav
    described = zipstore.Entry(
        name="call.json",
        crc32=isal_zlib.crc32(call_json),
        size_bytes=len(call_json),
        offset_bytes=len(head),
        modified=moment,
    )
    body = head + zipstore.local_header(described) + call_json
    path.write_bytes(body + zipstore.central_directory((audio, described), len(body)))
    return path, hashlib.sha256(call_json).hexdigest(), wav_sha256


def found_with(made: Made, older: Checkpoint) -> set[str]:
    report = verified(made.root, older)
    assert exit_code(report.defects), "the attack was not found"
    return kinds(report)


def test_audio_and_metadata_replaced(made):
    replaced_part(made)
    assert "altered" in kinds(verified(made.root))


def test_audio_replaced_and_the_log_written_anew(made):
    _, call_json_sha256, wav_sha256 = replaced_part(made)

    def change(entry):
        if entry.kind == "part" and entry.call_id == call_id(1):
            return dataclasses.replace(entry, call_json_sha256=call_json_sha256, wav_sha256=wav_sha256)
        return entry

    forged_log(made, change)
    assert verified(made.root).defects == []  # perfect in itself: only who kept something can tell
    for older in made.checkpoints:
        assert found_with(made, older) <= {"ledger", "signature"}
    report = verified(made.root, made.checkpoints[-1])
    assert any("altered, or forked" in defect.what or "was cut" in defect.what for defect in report.defects)


def test_a_recording_that_never_was_taken_out_of_files_and_log(made):
    for path in made.root.rglob(f"*{call_id(1)[:10]}*"):
        path.unlink()
    forged_log(made, lambda entry: None if getattr(entry, "call_id", "") == call_id(1) else entry)
    assert verified(made.root).defects == []
    assert all(found_with(made, older) for older in made.checkpoints)


def test_the_end_of_the_log_taken_back(made):
    """The box as it was yesterday: files, ledger and checkpoint, all genuine."""
    yesterday = made.checkpoints[0]
    ledger = made.root / "ledger"
    lines = (ledger / "entries.jsonl").read_bytes().splitlines(keepends=True)
    (ledger / "entries.jsonl").write_bytes(b"".join(lines[: yesterday.size]))
    for name in ("hashes", "names", "checkpoint"):
        (ledger / name).unlink()
    shutil.rmtree(ledger / "checkpoints")
    shutil.rmtree(made.root / "recordings/2026/01/03")
    shutil.rmtree(made.root / "calls/2026/01/03")
    for path in (ledger / "checkpoint", made.root / "recordings/checkpoint.txt"):
        path.write_bytes(checkpoints.serialize(yesterday))
    assert "ledger" in found_with(made, made.checkpoints[-1])


def test_a_time_in_the_log_changed(made):
    path = made.root / "ledger/entries.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"at":"2026-01-03', b'"at":"2026-01-04'))
    assert "ledger" in found_with(made, made.checkpoints[-1])


def test_dates_changed_and_the_log_written_anew(made):
    forged_log(
        made,
        lambda entry: dataclasses.replace(entry, at=rfc3339(START_NS - DAY_NS, TOKYO)),
        now_ns=START_NS - DAY_NS,
    )
    assert all(found_with(made, older) for older in made.checkpoints)


def test_the_clock_set_back_to_slip_a_recording_in(made):
    """Appended by the box itself, so every hash and signature is good: but its place in the log says when."""
    with ArchiveWriter(Archive(made.root)) as writer, Ledger(settings(made.root), START_NS - DAY_NS) as ledger:
        ledger.append(record(writer, 9, START_NS - DAY_NS))
        ledger.commit(START_NS - DAY_NS)
    report = verified(made.root, *made.checkpoints)
    assert report.defects == []
    assert any("the clock was set back" in notice for notice in report.notices)


def test_another_key_and_a_log_of_ones_own(made):
    with Ledger(settings(made.root), LATER_NS) as old:
        entries = [line.entry for line in old.lines()]
    forget_log(made)
    with Ledger(settings(made.root), LATER_NS) as new:
        new.append(entry for entry in entries if entry.kind not in ("log", "key", "seal"))
        new.commit(LATER_NS)
    assert verified(made.root).defects == []
    for older in made.checkpoints:
        assert found_with(made, older) == {"ledger", "signature"}


def test_a_line_appended_twice_with_other_content(made):
    """By hand, past the writer that refuses it: the altered part would else be what the last line says."""
    _, call_json_sha256, wav_sha256 = replaced_part(made)
    with Ledger(settings(made.root), LATER_NS) as ledger:
        part = next(line.entry for line in ledger.lines() if line.entry.kind == "part")
        forged = dataclasses.replace(part, call_json_sha256=call_json_sha256, wav_sha256=wav_sha256)
        ledger._add(forged, lines.serialize(forged))
        ledger.commit(LATER_NS)
    report = verified(made.root, *made.checkpoints)
    assert any(defect.what == "the ledger holds it twice" for defect in report.defects)


@pytest.mark.parametrize("name", ["checkpoint", "device.pub"])
def test_checkpoint_or_key_of_another_box(made, tmp_path, name):
    with Ledger(settings(tmp_path / "other"), START_NS):
        pass
    shutil.copy(tmp_path / "other/ledger" / name, made.root / "ledger" / name)
    assert "signature" in found_with(made, made.checkpoints[-1])


def test_call_record_rewritten(made):
    path = made.records[0]
    path.write_bytes(path.read_bytes().replace(b'"partly"', b'"recorded"', 1))
    assert kinds(verified(made.root)) == {"altered"}


def test_late_packets_made_fewer(made):
    path = made.records[-1]
    path.write_bytes(path.read_bytes().replace(b'"packets": 3', b'"packets": 1', 1))
    assert kinds(verified(made.root)) == {"altered"}


def test_late_packets_taken_out_of_files_and_log(made):
    made.records[-1].unlink()
    forged_log(made, lambda entry: None if entry.kind == "late" else entry)
    assert verified(made.root).defects == []
    assert all(found_with(made, older) for older in made.checkpoints[1:])


def test_a_line_about_late_packets_moved_to_another_stream(made):
    """The file renamed with it: everything fits but the record itself."""
    path = made.records[-1]
    path.rename(path.with_name(path.name.replace("beef", "dead")))
    change = {"ssrc": "0x0000dead"}
    forged_log(made, lambda entry: dataclasses.replace(entry, **change) if entry.kind == "late" else entry)
    assert kinds(verified(made.root)) == {"altered"}


def test_the_index_edited(made):
    indexed(made)
    assert verified(made.root).defects == []
    connection = sqlite3.connect(made.root / "index.sqlite")
    with connection:
        connection.execute("UPDATE calls SET callee = '0300000000' WHERE n = 1")
    connection.close()
    assert kinds(verified(made.root, *made.checkpoints)) == {"index"}
