"""A backup made, killed, restored on another box: the ledger goes on there, and the archive verifies."""

import io
import shutil
import sqlite3
import tarfile
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from appliance import cli
from storage.archive import Archive
from storage.backup import bundle, restoring
from storage.disk import Disk
from storage.errors import BackupError
from storage.ledger import checkpoint as checkpoints
from storage.ledger import devicekey
from storage.ledger.entries import Key
from storage.ledger.ledger import Ledger
from storage.retention import clockfile
from storage.retention.clockguard import ClockState
from storage.verify.verification import Request, verify
from storage.writer import ArchiveWriter
from tests.storage.fatal import in_a_process_killed_at
from tests.storage.ledger.books import NOW_NS, SOMEBODY, settings
from tests.storage.retention.archives import books, call_id, make

SETTINGS = '[site]\nserial = "RB-0001"\n'


def rokubox(*words: str, code: int = 0) -> str:
    told = io.StringIO()
    with redirect_stdout(told), redirect_stderr(told):
        assert cli.main(words) == code, told.getvalue()
    return told.getvalue()


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """An archive of which something was erased, a configuration, logs, and where backups go."""
    make(tmp_path / "archive", 4)
    certificates = tmp_path / "archive" / "retention" / "certificates"
    certificates.mkdir(parents=True)
    words = ("erase", call_id(3), "--yes", "--why", "asked", "--archive", f"{tmp_path}/archive")
    rokubox(*words, "--certificate", f"{certificates}/E1-20261127T000000Z")
    clockfile.write(tmp_path / "archive" / "retention", ClockState(elapsed_ns=77), Disk())
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "share-access.log").write_text("who read what\n")
    (tmp_path / "rokubox.toml").write_text(
        f'{SETTINGS}[backup]\ndirectory = "{tmp_path}/backups"\nlogs = ["{tmp_path}/logs"]\n'
    )
    return tmp_path


def backed_up(box: Path) -> Path:
    rokubox("backup", "--archive", f"{box}/archive", "--config", f"{box}/rokubox.toml")
    [made] = (box / "backups").iterdir()
    return made


def test_what_is_in_it(box: Path) -> None:
    with tarfile.open(backed_up(box)) as tar:
        names = set(tar.getnames())
    assert names >= {
        "manifest.json",
        "settings.toml",
        "ledger/entries.jsonl",
        "ledger/checkpoint",
        "ledger/device.pub",
        "retention/clock.json",
        "retention/certificates/E1-20261127T000000Z.txt",
        "index.sqlite",
        "logs/logs/share-access.log",
    }
    assert not any("device.key" in name or "recordings" in name for name in names)
    assert not list((box / "backups").glob(".*"))


def test_restored_on_a_new_box_the_ledger_goes_on(box: Path) -> None:
    backup = backed_up(box)
    old = devicekey.read_public(box / "archive/ledger/device.pub")
    older = checkpoints.parse((box / "archive/ledger/checkpoint").read_bytes())
    shutil.copytree(box / "archive/recordings", box / "new/recordings")
    shutil.copytree(box / "archive/calls", box / "new/calls")
    words = ("restore", str(backup), "--archive", f"{box}/new", "--settings", f"{box}/new.toml")
    rokubox(*words, "--who", "tanaka", "--why", "box replaced")
    assert (box / "new.toml").read_text() == (box / "rokubox.toml").read_text()
    assert clockfile.read(box / "new/retention").elapsed_ns == 77
    for suffix in (".txt", ".json"):
        kept = f"retention/certificates/E1-20261127T000000Z{suffix}"
        assert (box / "new" / kept).read_bytes() == (box / "archive" / kept).read_bytes()
    with closing(sqlite3.connect(box / "new/index.sqlite")) as index:
        assert index.execute("SELECT count(*) FROM calls").fetchall() == [(3,)]
    with Ledger(settings(box / "new"), NOW_NS) as ledger:
        [change] = [line.entry for line in ledger.lines() if isinstance(line.entry, Key)]
        assert (change.who, change.why) == ("tanaka", "box replaced")
        assert ledger.origin == "rokubox/RB-0001"
        assert ledger.prove_consistency(older) is not None
    assert devicekey.read_public(box / "new/ledger/device.pub") != old
    rokubox("verify", "--all", "--archive", f"{box}/new")
    assert "nothing to restore" in rokubox(*words[:4], "--why", "again", code=3)


def test_a_backup_that_was_altered_is_refused(box: Path) -> None:
    backup = backed_up(box)
    whole = backup.read_bytes()
    for at in (0, len(whole) // 3, len(whole) // 2, len(whole) - 10):
        backup.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        told = rokubox("restore", str(backup), "--archive", f"{box}/new", "--why", "x", code=3)
        assert "damaged" in told
        assert not (box / "new/ledger").exists()
    backup.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in rokubox("restore", str(backup), "--archive", f"{box}/new", "--why", "x", code=3)


def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("../outside")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    (tmp_path / "into").mkdir()
    with pytest.raises(BackupError):
        bundle.unpack(tmp_path / "bad.tar.gz", tmp_path / "into")
    assert not (tmp_path / "outside").exists()


def test_a_backup_killed_at_any_step_leaves_none_or_a_whole_one(box: Path) -> None:
    sources = bundle.Sources(archive=Archive(box / "archive"), settings=b"x = 1", logs=[box / "logs"])
    folder = box / "backups"
    step = 1
    while in_a_process_killed_at(step, lambda disk: bundle.make(sources, folder, "b.tar.gz", disk)):
        if (folder / "b.tar.gz").exists():
            bundle.unpack(folder / "b.tar.gz", box / f"unpacked-{step}")
            (folder / "b.tar.gz").unlink()
        step += 1
    assert step > 4
    assert [path.name for path in folder.iterdir()] == ["b.tar.gz"]
    assert bundle.SETTINGS in bundle.unpack(folder / "b.tar.gz", box / "unpacked")


def test_a_restoration_killed_at_any_step_can_be_done_again(box: Path) -> None:
    backup = backed_up(box)
    step = 1
    while True:
        root = box / f"new-{step}"
        for folder in ("recordings", "calls"):
            shutil.copytree(box / "archive" / folder, root / folder)

        def work(disk: Disk, root: Path = root) -> None:
            restoring.restore(backup, Archive(root), settings(root), SOMEBODY, NOW_NS, disk)

        killed = in_a_process_killed_at(step, work)
        if killed and not (root / "ledger/device.key").exists():
            work(Disk())
        with Ledger(settings(root), NOW_NS) as ledger:
            assert [line.entry.who for line in ledger.lines() if isinstance(line.entry, Key)] == [SOMEBODY.who]
        assert not (root / ".restoring").exists() or killed
        with ArchiveWriter(Archive(root), books=books(root)):
            pass
        assert verify(Request(archive=root)).defects == []
        if not killed:
            break
        step += 1
    assert step > 10
