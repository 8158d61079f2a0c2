"""An archive read back as an account: streams of several parts summed up, media in no part included."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.auditing.archiveaccount import read_account
from appliance.auditing.audit import StreamKey
from appliance.auditing.auditrules import StreamFigures
from storage.archive import Archive
from storage.call_record import CallRecord
from storage.errors import DamagedRecordError
from storage.json_form import to_json
from storage.part_record import PartRecord
from tests.storage.samples import STEM, call_record, part_record

RECORDED = StreamKey(0xBEEF, "192.0.2.1:10000", "[2001:db8::1]:20000")
UNRECORDED = StreamKey(0xCAFE, "192.0.2.1:10002", "192.0.2.2:20002")


def store(archive: Archive, call: CallRecord, parts: dict[str, PartRecord]) -> None:
    record = archive.record_path(call)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_bytes(to_json(call))
    for name, part in parts.items():
        path = archive.part_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as bundle:
                bundle.writestr("call.json", to_json(part))
        else:
            path.with_suffix(".json").write_bytes(to_json(part))


def test_parts_of_both_forms_and_unrecorded_media(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    call = call_record()
    [entry], [silent] = call.parts, call.unrecorded
    names = f"{STEM}.zip", f"{STEM.removesuffix('01')}02.wav"
    call = replace(
        call,
        parts=tuple(replace(entry, name=name, number=number) for number, name in enumerate(names, 1)),
        unrecorded=(silent, replace(silent, ssrc="0x0000cafe", codec="G722")),
    )
    store(archive, call, dict.fromkeys(names, part_record()))
    account = read_account(archive, packets=210)
    assert account.packets == 210
    assert account.sip_calls == account.answered == {"a84b4c76e66710@192.0.2.1"}
    assert account.streams == {
        RECORDED: StreamFigures(packets=198, lost=2, duplicates=4, reordered=2, codec="PCMU"),
        UNRECORDED: StreamFigures(packets=7, lost=None, codec="G722"),
    }


def test_an_unsignalled_and_an_unanswered_call(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    store(archive, call_record(sip=None, parts=()), {})
    store(archive, call_record(call_id="ab" * 32, answered_at=None, parts=()), {})
    account = read_account(archive, packets=0)
    assert account.sip_calls == {"a84b4c76e66710@192.0.2.1"}
    assert account.answered == frozenset()


def test_a_damaged_record_is_not_passed_over(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    call = call_record(parts=())
    store(archive, call, {})
    archive.record_path(call).write_bytes(b"{}")
    with pytest.raises(DamagedRecordError):
        read_account(archive, packets=0)
