"""What the archive's owner has done by processes of their own, and what it says of how that went."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.condition import observed
from appliance.condition.board import Board
from appliance.condition.concerns import Concern
from appliance.condition.record import NAME, Condition
from appliance.custody.archivekeeping import ArchiveKeeping, KeepingSettings
from storage.archive import Archive
from storage.backup.settings import BackupSettings
from storage.verify import scrub
from storage.writer import ArchiveWriter
from tests.storage.retention.archives import books, make

_PATIENCE_S = 60


def command(root: Path, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "appliance", *words, "--archive", str(root))


def kept(root: Path, settings: KeepingSettings, until: Callable[[Condition], bool]) -> tuple[Condition, list[str]]:
    """Keep an archive until its condition is so; return that, and what was told."""
    told: list[str] = []
    archive = Archive(root)
    board = Board(archive.run, told.append)
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


def test_what_ends_badly_is_a_concern(tmp_path: Path) -> None:
    make(tmp_path, 1)
    bad = (sys.executable, "-c", "raise SystemExit(4)")
    backup = BackupSettings(directory=str(tmp_path / "backups"))
    settings = KeepingSettings(reserve_bytes=0, backup_command=bad, backup=backup, scrub_command=bad, scrub_first_s=0)
    wanted = {Concern.BACKUP_FAILED, Concern.SCRUB_FAILED}
    _, told = kept(tmp_path, settings, lambda it: wanted <= {one.concern for one in it.concerns})
    assert {"alarm: the backup ended with exit code 4", "alarm: the scrub ended with exit code 4"} <= set(told)
