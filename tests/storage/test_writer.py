import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from storage.archive import Archive, read_record
from storage.errors import ArchiveBusyError, ArchiveError, ConflictError, DamagedRecordError
from storage.json_form import to_json
from storage.timestamps import local_time
from storage.vocabulary import EndCause, Form
from storage.writer import ArchiveWriter
from tests.storage.samples import CALL_ID, START_NS, STEM, TOKYO, at, call_record, linear, metadata, sound

REPOSITORY = Path(__file__).parents[2]


def unexpected(damage: DamagedRecordError) -> None:
    pytest.fail(str(damage))


def write_part(writer, frames=1000):
    started = local_time(START_NS, TOKYO)
    return writer.write_part(
        call_id=CALL_ID,
        number=1,
        stem=STEM,
        started=started,
        form=Form.ZIP,
        sound=sound(linear(frames)),
        metadata=metadata,
    )


def test_where_everything_lies(tmp_path):
    archive = Archive(tmp_path / "new" / "archive")
    with ArchiveWriter(archive) as writer:
        part = write_part(writer)
        assert writer.write_call(call_record())
    assert archive.part_path(part.name) == archive.root / f"recordings/2026/01/02/{STEM}.zip"
    with zipfile.ZipFile(archive.part_path(part.name)) as stored:
        assert stored.testzip() is None
    record = archive.root / f"calls/2026/01/02/{CALL_ID}.json"
    assert read_record(record) == call_record()
    assert os.listdir(archive.spool) == []
    for path in archive.root.rglob("*"):
        assert path.stat().st_mode & 0o7777 == (0o750 if path.is_dir() else 0o640)


def test_a_record_is_written_once(tmp_path):
    archive = Archive(tmp_path)
    with ArchiveWriter(archive) as writer:
        assert writer.write_call(call_record())
        assert not writer.write_call(call_record())
        with pytest.raises(ConflictError, match=r"^the record of call 0123456789 is in the archive with other content"):
            writer.write_call(call_record(end_cause=EndCause.MEDIA_TIMEOUT))
    assert list(archive.calls(unexpected)) == [call_record()]


def test_every_changed_directory_is_synced_once(tmp_path):
    with ArchiveWriter(Archive(tmp_path)) as writer:
        writer.sync()
        write_part(writer)
        assert writer.sync() == 4
        write_part(writer)
        assert writer.sync() == 1


def test_calls_come_in_order_of_their_start(tmp_path):
    ids = [f"{number:064x}" for number in range(6)]
    starts = [5, 0, 86_400, 5, -86_400, 0.001]
    archive = Archive(tmp_path)
    with ArchiveWriter(archive) as writer:
        for call_id, start in zip(ids, starts, strict=True):
            writer.write_call(call_record(call_id=call_id, started_at=at(start)))
    assert [ids.index(record.call_id) for record in archive.calls(unexpected)] == [4, 1, 5, 0, 3, 2]


def test_damaged_records_are_reported_and_left_out(tmp_path):
    archive = Archive(tmp_path)
    with ArchiveWriter(archive) as writer:
        writer.write_call(call_record())
    day = archive.record_path(call_record()).parent
    whole = to_json(call_record())
    (day / f"{'1' * 64}.json").write_bytes(whole[:500])
    (day / f"{'2' * 64}.json").write_bytes(whole)
    (day / f"{'3' * 64}.json").write_bytes(b"")
    (day / f"{'4' * 64}.json").mkdir()
    (day / f"{'5' * 64}.json").symlink_to("nowhere")
    (day / f"{'6' * 64}.json").write_bytes(
        to_json(replace(call_record(), call_id="6" * 64, started_at="2026-19-02T03:04:05.123456789+09:00"))
    )
    (day / f"{'7' * 64}.json").write_bytes(b"[" * 100_000)
    (day / ".hidden.json").write_bytes(b"")
    (day / "note.txt").write_bytes(b"")
    (archive.records / "lost+found").mkdir()
    (archive.records / "2026" / "99").write_bytes(b"")
    damage: list[DamagedRecordError] = []
    assert list(archive.calls(damage.append)) == [call_record()]
    assert [str(error)[:22] for error in damage] == [f"call record {str(digit) * 10}" for digit in range(1, 8)]


def test_an_archive_that_is_not_there(tmp_path):
    with pytest.raises(ArchiveError, match="is not a directory"):
        list(Archive(tmp_path / "none").calls(unexpected))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArchiveError, match="is not a directory"):
        Archive(tmp_path / "file")
    assert list(Archive(tmp_path).calls(unexpected)) == []


def test_one_writer_at_a_time(tmp_path):
    with ArchiveWriter(Archive(tmp_path)):
        with pytest.raises(ArchiveBusyError, match=rf"another process \(pid {os.getpid()}\)"):
            ArchiveWriter(Archive(tmp_path)).__enter__()
        assert list(Archive(tmp_path).calls(unexpected)) == []
    with ArchiveWriter(Archive(tmp_path)) as writer:
        assert write_part(writer).created


def test_a_lock_that_is_a_symbolic_link_is_not_followed(tmp_path):
    archive = Archive(tmp_path)
    archive.run.mkdir()
    (archive.run / "archive.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArchiveError, match="cannot open the archive's lock"):
        ArchiveWriter(archive).__enter__()
    assert not (tmp_path / "elsewhere").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from storage.archive import Archive
from storage.disk import Disk
from storage.writer import ArchiveWriter
from tests.storage.test_writer import write_part

class Killed(Disk):
    def {call}(self, *arguments):
        result = super().{call}(*arguments) if {after} else None
        os.kill(os.getpid(), signal.SIGKILL)
        return result

with ArchiveWriter(Archive(Path(sys.argv[1])), Killed()) as writer:
    write_part(writer)
"""


@pytest.mark.parametrize(("call", "after"), [("write", True), ("fsync", True), ("link", False), ("link", True)])
def test_killed_at_any_point_it_leaves_a_whole_part_or_none(tmp_path, call, after):
    script = KILLED.format(call=call, after=after)
    run = subprocess.run([sys.executable, "-c", script, tmp_path], cwd=REPOSITORY, check=False)
    assert run.returncode == -signal.SIGKILL
    archive = Archive(tmp_path)
    final = archive.part_path(f"{STEM}.zip")
    assert final.exists() is ((call, after) == ("link", True))
    assert len(os.listdir(archive.spool)) == 1
    with ArchiveWriter(archive) as writer:
        assert os.listdir(archive.spool) == []
        assert write_part(writer).created is not ((call, after) == ("link", True))
    with zipfile.ZipFile(final) as stored:
        assert stored.testzip() is None


def test_only_drafts_are_cleared_from_the_spool(tmp_path):
    archive = Archive(tmp_path)
    archive.spool.mkdir()
    (archive.spool / ".part.zip.tmp-1-0").write_bytes(b"")
    (archive.spool / "kept").write_bytes(b"")
    with ArchiveWriter(archive):
        assert os.listdir(archive.spool) == ["kept"]
