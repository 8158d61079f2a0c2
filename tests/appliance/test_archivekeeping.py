"""What the archive's owner has done by processes of their own, and what it says of how that went."""

import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from appliance.condition import observed
from appliance.condition.board import Board
from appliance.condition.concerns import Concern
from appliance.condition.record import NAME, Condition
from appliance.custody.archivekeeping import ArchiveKeeping, KeepingSettings
from appliance.custody.archiverequests import Erase
from storage.archive import Archive
from storage.backup.settings import BackupSettings
from storage.records import Party
from storage.register import Register
from storage.verify import scrub
from storage.writer import ArchiveWriter
from tests.storage.retention.archives import books, call_id, carried_out, make, write_late

_PATIENCE_S = 60
THEIRS = "07055501234"


def command(root: Path, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "appliance", *words, "--archive", str(root))


def kept(root: Path, settings: KeepingSettings, until: Callable[[Condition], bool]) -> tuple[Condition, list[str]]:
    """Keep an archive until its condition is so; return that, and what was told."""
    told: list[str] = []
    archive = Archive(root)
    board = Board(archive.run, lambda line, **_: told.append(line))
    with ArchiveWriter(archive, books=books(root)) as writer:
        board.begin(writer.check_place)
        with ArchiveKeeping(archive, writer, settings, board, lambda: None) as keeping:
            end = time.monotonic() + _PATIENCE_S
            while time.monotonic() < end:
                keeping.poll()
                board.say(Concern.DISK_REFUSES, str(time.monotonic()))  # has it written at once
                board.poll()
                condition = observed.read(archive.run, NAME, Condition)
                if condition is not None and until(condition):
                    return condition, told
                time.sleep(0.05)
    pytest.fail(f"waited in vain: {told}")


@pytest.mark.parametrize("is_rotten", [False, True])
def test_bit_rot_is_a_concern(tmp_path: Path, is_rotten: bool) -> None:
    make(tmp_path, 2, parts=1)
    if is_rotten:
        part = next((tmp_path / "recordings").rglob("*.zip"))
        content = bytearray(part.read_bytes())
        content[len(content) // 2] ^= 4
        part.write_bytes(content)
    settings = KeepingSettings(reserve_bytes=0, scrub_command=command(tmp_path, "scrub"), scrub_first_s=0)
    condition, told = kept(
        tmp_path, settings, lambda it: it.figures is not None and it.figures.scrub.last_whole_round_ns > 0
    )
    assert scrub.read_state(tmp_path / "run").round_ended_ns
    rot = [one.what for one in condition.concerns if one.concern is Concern.BIT_ROT]
    assert rot == (["1 file not as recorded: run/scrub.json says what"] if is_rotten else [])
    assert [f"alarm: {what}" for what in rot] == [one for one in told if "file" in one]


def test_the_disk_is_observed(tmp_path: Path) -> None:
    make(tmp_path, 1)
    settings = KeepingSettings(
        reserve_bytes=1 << 60, observe_command=command(tmp_path, "storage", "--observe"), observe_first_s=0
    )
    condition, told = kept(tmp_path, settings, lambda it: it.figures is not None and it.figures.disk is not None)
    assert condition.figures is not None
    assert condition.figures.disk is not None
    assert condition.figures.disk.write_median_ms is not None
    assert condition.figures.free_bytes > 0
    assert condition.figures.ledger_entries > 0
    assert Concern.DISK_SPACE in [one.concern for one in condition.concerns]
    assert any("to be kept free" in one for one in told)


def test_the_index_is_purged_beside_recording(tmp_path: Path) -> None:
    """Files and ledger do not wait for it; the index follows when it is done."""
    root = tmp_path / "archive"
    make(root, 4, parts=1, caller=Party(number=THEIRS, display="", uri=""))
    may_end = tmp_path / "may end"
    waiting = f"import time, pathlib\nwhile not pathlib.Path({str(may_end)!r}).exists(): time.sleep(0.01)\n"
    holding = f"import sqlite3; held = sqlite3.connect({str(root / 'index.sqlite')!r}, isolation_level=None)\n"
    run = f"import subprocess, sys\nsys.exit(subprocess.run({command(root, 'reindex', '--purge')!r}).returncode)\n"
    slow = f"{holding}held.execute('BEGIN IMMEDIATE')\n{waiting}held.execute('COMMIT')\n{run}"
    archive = Archive(root)
    told: list[str] = []
    settings = KeepingSettings(reserve_bytes=0, purge_command=(sys.executable, "-c", slow))
    with ArchiveWriter(archive, books=books(root)) as writer:
        register = writer.register
        assert register is not None
        with ArchiveKeeping(
            archive, writer, settings, Board(archive.run, lambda line, **_: told.append(line)), lambda: None
        ) as keeping:
            erase = Erase(calls=((call_id(0), "2026-01-02"),), rule="r", who="w", why="y")
            carried_out(keeping._archivist, erase)
            writer.sync()
            keeping.poll()
            assert rests(register)
            wait_until_locked(root / "index.sqlite")
            write_late(writer, 3)
            writer.sync()
            assert register.ledger is not None
            assert register.index is not None
            assert register.ledger.size > register.index.ledger_size
            assert has_news(writer) is False
            may_end.touch()
            while rests(register):
                keeping.poll()
                time.sleep(0.01)
            assert has_news(writer) is True
            writer.sync()
            assert register.ledger.size == register.index.ledger_size
            assert not register.index_has_traces
    assert told == []


def has_news(writer: ArchiveWriter) -> bool:
    return writer.has_news


def rests(register: Register) -> bool:
    return register.index_rests


def wait_until_locked(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
        while True:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return
            other.execute("ROLLBACK")
            time.sleep(0.01)


def test_what_ends_badly_is_a_concern(tmp_path: Path) -> None:
    make(tmp_path, 1)
    bad = (sys.executable, "-c", "raise SystemExit(4)")
    backup = BackupSettings(directory=str(tmp_path / "backups"))
    settings = KeepingSettings(reserve_bytes=0, backup_command=bad, backup=backup, scrub_command=bad, scrub_first_s=0)
    wanted = {Concern.BACKUP_FAILED, Concern.SCRUB_FAILED}
    _, told = kept(tmp_path, settings, lambda it: wanted <= {one.concern for one in it.concerns})
    assert {"alarm: the backup ended with exit code 4", "alarm: the scrub ended with exit code 4"} <= set(told)
