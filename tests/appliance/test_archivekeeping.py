"""What the archive's owner starts by itself: the scrub, and the alarm for what it finds."""

import sys
import time
from pathlib import Path

import pytest

from appliance.custody.archivekeeping import LOOK_S, ArchiveKeeping, KeepingSettings
from storage.archive import Archive
from storage.verify import scrub
from storage.writer import ArchiveWriter
from tests.storage.retention.archives import books, make

_PATIENCE_S = 60


def scrubbed(root: Path) -> list[str]:
    """Keep an archive until its scrub is through, and for one look more; return what was told."""
    command = (sys.executable, "-P", "-m", "appliance", "scrub", "--archive", str(root))
    settings = KeepingSettings(reserve_bytes=0, scrub_command=command, scrub_first_s=0)
    told: list[str] = []
    archive = Archive(root)
    with (
        ArchiveWriter(archive, books=books(root)) as writer,
        ArchiveKeeping(archive, writer, settings, erased=lambda: None, tell=told.append) as keeping,
    ):
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            keeping.poll()
            if scrub.read_state(archive.run).round_ended_ns:
                end = min(end, time.monotonic() + LOOK_S + 5)
            time.sleep(0.05)
    return told


@pytest.mark.parametrize("is_rotten", [False, True])
def test_bit_rot_is_an_alarm(tmp_path: Path, is_rotten: bool) -> None:
    make(tmp_path, 2, parts=1)
    if is_rotten:
        part = next((tmp_path / "recordings").rglob("*.zip"))
        content = bytearray(part.read_bytes())
        content[len(content) // 2] ^= 4
        part.write_bytes(content)
    told = scrubbed(tmp_path)
    assert scrub.read_state(tmp_path / "run").last_whole_round_ns
    expected = ["alarm: the scrub ended with exit code 10: what is wrong is in run/scrub.json"] if is_rotten else []
    assert [one for one in told if "scrub" in one] == expected
