import base64
import json
import os
import shutil
from dataclasses import replace

import pytest

from storage.archive import Archive
from storage.errors import ArchiveError
from storage.ledger import checkpoint as checkpoints
from storage.ledger import devicekey
from storage.ledger.ledger import Ledger
from storage.verify.defects import Defect, Kind, exit_code
from storage.verify.verification import Request, verify
from storage.writer import ArchiveWriter
from tests.storage.ledger.books import DAY_NS, opened, settings
from tests.storage.samples import START_NS
from tests.storage.verify.archives import SOMEBODY, call_id, kinds, late, make, record, verified


def test_a_sound_archive(pristine):
    report = verified(pristine.root, *pristine.checkpoints)
    assert report.defects == []
    assert (report.parts, report.calls, report.late, report.size) == (3, 3, 1, 19)
    assert report.origin == "rokubox/RB-0001"


def test_a_copy_elsewhere_with_the_public_key_alone(pristine, tmp_path):
    """Recordings, call records, lines and checkpoints: nothing derived, no key but the one that the verifier has."""
    for name in ("recordings", "calls", "late"):
        shutil.copytree(pristine.root / name, tmp_path / name)
    (tmp_path / "ledger").mkdir()
    for name in ("entries.jsonl", "checkpoint"):
        shutil.copy(pristine.root / "ledger" / name, tmp_path / "ledger" / name)
    key = devicekey.read_public(pristine.root / "ledger/device.pub")
    report = verified(tmp_path, public_keys=(key,))
    assert report.defects == []
    assert report.notices == []
    assert report.parts == 3


def test_a_missing_part(made):
    made.parts[0].unlink()
    report = verified(made.root)
    assert exit_code(report.defects) == 11
    (defect,) = report.defects
    assert defect.subject == f"part 1 of call {call_id(1)[:10]} of 2026-01-02"
    assert "0312345678" not in defect.subject + defect.what


@pytest.mark.parametrize("suffix", [".wav", ".json"])
def test_a_missing_half(made, suffix):
    next(path for path in made.parts if path.suffix == suffix).unlink()
    assert "missing" in kinds(verified(made.root))


def test_a_missing_call_record(made):
    made.records[0].unlink()
    assert exit_code(verified(made.root).defects) == 11


def test_a_missing_record_of_late_packets(made):
    made.records[-1].unlink()
    report = verified(made.root)
    assert exit_code(report.defects) == 11
    (defect,) = report.defects
    assert defect.subject == f"a record of late packets of call {call_id(1)[:10]} of 2026-01-02"
    assert (report.calls, report.late) == (3, 0)


@pytest.mark.parametrize(
    "name",
    [
        "recordings/2026/01/02/Thumbs.db",
        "recordings/2026/01/02/.hidden",
        "recordings/2026/01/02/20260102T030405+0900_out_0312345678_0698765432_0000000000_p01.zip",
        "recordings/notes.txt",
        "recordings/2026/13/x",
        "recordings/2026/01/1/x",
        "recordings/1999/01/01/x.zip",
        "calls/2026/01/02/" + "0" * 64 + ".json",
        "late/2026/01/02/" + "0" * 64 + "_0x0000beef_1.json",
        "late/2026/01/04/" + "0" * 64 + "_0x0000beef_01.json",
        "late/2026/notes.txt",
        "ledger/entries.jsonl.bak",
        "ledger/checkpoints/other.txt",
    ],
)
def test_an_extra_file(made, name):
    path = made.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    report = verified(made.root)
    assert exit_code(report.defects) == 12
    assert len(report.defects) == 1


def test_a_copy_under_another_name_is_not_expected(made):
    part = made.parts[0]
    shutil.copy(part, part.with_name(part.name.replace("0698765432", "0699999999")))
    report = verified(made.root)
    assert kinds(report) == {"unexpected"}
    assert report.parts == 3


@pytest.mark.parametrize(
    ("old", "new"),
    [("0698765432", "0699999999"), ("T030405", "T030406"), ("_out_", "_in_"), ("T030405+0900", "T180405-0900")],
)
def test_a_renamed_part_is_altered(made, old, new):
    part = made.parts[0]
    part.rename(part.with_name(part.name.replace(old, new)))
    assert "altered" in kinds(verified(made.root))


def test_a_part_moved_to_another_day(made):
    part = made.parts[0]
    part.rename(made.root / "recordings/2026/01/03" / part.name)
    assert kinds(verified(made.root)) == {"missing", "unexpected"}


def test_late_packets_of_an_erased_call_that_are_there_are_not_expected(made):
    with ArchiveWriter(Archive(made.root)) as writer:
        late(writer, 3, START_NS)
    report = verified(made.root)
    assert exit_code(report.defects) == 12
    assert report.defects[0].path.startswith("late/2026/01/02/")


def test_an_erased_part_that_is_there_is_not_expected(made, tmp_path):
    other = make(tmp_path / "other")
    with ArchiveWriter(Archive(other.root)) as writer:
        record(writer, 3, START_NS)
    found = next((other.root / "recordings").rglob(f"*{call_id(3)[:10]}*"))
    shutil.copy(found, made.parts[0].parent)
    report = verified(made.root)
    assert exit_code(report.defects) == 12
    assert report.defects[0].subject == f"a file named for part 1 of call {call_id(3)[:10]}"


def test_since_and_paths(made):
    for part in made.parts[:1] + made.parts[-1:]:
        content = bytearray(part.read_bytes())
        content[200] ^= 1
        part.write_bytes(content)
    assert len({defect.subject for defect in verified(made.root).defects}) == 2
    assert {defect.path for defect in verified(made.root, since=20260103).defects} == {
        str(made.parts[-1].relative_to(made.root))
    }
    assert verified(made.root, paths=(made.parts[1],)).defects == []
    assert kinds(verified(made.root, paths=(made.parts[0],))) == {"altered"}
    assert kinds(verified(made.root, paths=(made.parts[0].parent,))) == {"altered"}
    for path in made.records:
        assert verified(made.root, paths=(path,)).defects == []


def test_a_truncated_ledger(made):
    path = made.root / "ledger/entries.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-3]))
    found = [defect for defect in verified(made.root).defects if defect.kind is Kind.LEDGER]
    assert any("the ledger was cut: it had 19 lines then and has 16" in defect.what for defect in found)


def test_no_archive(tmp_path):
    with pytest.raises(ArchiveError, match="cannot read the ledger"):
        verified(tmp_path)


def test_the_wrong_key(pristine, tmp_path):
    with opened(tmp_path):
        pass
    wrong = devicekey.read_public(tmp_path / "ledger/device.pub")
    report = verified(pristine.root, public_keys=(wrong,))
    assert exit_code(report.defects) == 14
    assert "not the one that is believed" in report.defects[0].what


def test_the_key_before_vouches_for_the_one_after(pristine):
    with (pristine.root / "ledger/entries.jsonl").open() as lines:
        before = base64.b64decode(json.loads(next(lines))["public_key"])
    assert before != devicekey.read_public(pristine.root / "ledger/device.pub")
    assert verified(pristine.root, public_keys=(before,)).defects == []


def test_a_replaced_box_must_give_its_new_key(made):
    """Nobody can vouch for the key of a new box: whoever believes the old one alone is told."""
    old = devicekey.read_public(made.root / "ledger/device.pub")
    (made.root / "ledger/device.key").unlink()
    with Ledger(settings(made.root), START_NS + DAY_NS, successor=SOMEBODY):
        pass
    new = devicekey.read_public(made.root / "ledger/device.pub")
    assert exit_code(verified(made.root, public_keys=(old,)).defects) == 14
    assert verified(made.root, *made.checkpoints, public_keys=(old, new)).defects == []
    assert verified(made.root, *made.checkpoints, public_keys=(new,)).defects == []


def test_what_a_killed_writer_left_is_covered_after_the_next_start(made):
    with ArchiveWriter(Archive(made.root)) as writer:
        lines = record(writer, 5, START_NS + DAY_NS)
        with opened(made.root) as ledger:
            ledger.append(lines)
            ledger._file.flush()  # killed before the checkpoint
    assert exit_code(verified(made.root).defects) == 14
    with opened(made.root, START_NS + DAY_NS):
        pass
    report = verified(made.root)
    assert (report.defects, report.parts) == ([], 4)


def test_beside_a_writer_what_is_on_its_way_is_waited_for(made):
    with ArchiveWriter(Archive(made.root)) as writer, opened(made.root) as ledger:
        ledger.append(record(writer, 5, START_NS + DAY_NS))
        waits = []

        def commit(seconds: float) -> None:
            waits.append(seconds)
            ledger.commit(START_NS + DAY_NS)

        report = verify(Request(archive=made.root), wait=commit)
        assert report.defects == []
        assert report.parts == 4
        assert len(waits) == 2
        (made.parts[0].parent / "Thumbs.db").write_bytes(b"x")
        assert exit_code(verify(Request(archive=made.root), wait=waits.append).defects) == 12


def test_exit_codes():
    def defect(kind: Kind) -> Defect:
        return Defect(kind=kind, subject="", path="", what="")

    assert exit_code([]) == 0
    assert [exit_code([defect(kind), defect(kind)]) for kind in Kind] == [10, 11, 12, 13, 14, 15]
    assert exit_code([defect(Kind.ALTERED), defect(Kind.INDEX)]) == 16


def test_a_foreign_checkpoint_is_told(pristine, tmp_path):
    with opened(tmp_path) as ledger:
        foreign = ledger.checkpoint
    assert kinds(verified(pristine.root, foreign)) == {"signature", "ledger"}
    other = verified(pristine.root, replace(foreign, origin="rokubox/other"))
    assert any(defect.what == "it is of another log than rokubox/RB-0001" for defect in other.defects)


def test_links_and_folders_are_no_recordings(made):
    part = made.parts[0]
    target = made.root / "elsewhere.zip"
    part.rename(target)
    os.symlink(target, part)
    assert kinds(verified(made.root)) == {"altered"}


def test_all_kept_checkpoints_are_of_the_log(pristine):
    for path in (pristine.root / "ledger/checkpoints").iterdir():
        assert verified(pristine.root, checkpoints.parse(path.read_bytes())).defects == []
