"""`smartctl` as it is run: its exit code has a bit for each thing that is wrong, and its answer comes all the same."""

import json
import shutil
import stat
from pathlib import Path

import pytest

from storage.volume import volume
from storage.volume.mounts import Mount
from storage.volume.smart import Verdict
from storage.volume.volume import Volume
from tests.storage.volume.test_smart import ata, nvme


def disk(device: str) -> Volume:
    mount = Mount(major=8, minor=1, point="/", kind="ext4", source=device, read_only=False)
    return Volume(mount=mount, uuid="", disk=device)


def program(folder: Path, told: dict, code: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of smartctl: it tells this, and notes how it was called."""
    file = folder / "smartctl"
    (folder / "told.json").write_text(json.dumps(told, indent=2))
    file.write_text(f'#!/bin/sh\necho "$@" >{folder}/called\ncat {folder}/told.json\nexit {code}\n')
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / "called"


@pytest.mark.parametrize(
    ("told", "code", "verdict", "temperature_c"),
    [
        (ata(), 0, Verdict.GOOD, 38),
        (ata(passed=False), 8, Verdict.FAILING, 38),  # bit 3: the disk says that it is failing
        (ata(reallocated=3), 64, Verdict.WARNING, 38),  # bit 6: there are errors in its log
        (nvme(critical_warning=4), 8, Verdict.FAILING, 41),
    ],
)
def test_an_answer_counts_whatever_the_exit_code(told, code, verdict, temperature_c, tmp_path, monkeypatch) -> None:
    called = program(tmp_path, told, code, monkeypatch)
    found = volume.health(disk("/dev/sda"))
    assert (found.verdict, found.temperature_c) == (verdict, temperature_c)
    assert called.read_text() == "--json --all /dev/sda\n"


def test_a_machine_without_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert volume.health(disk("/dev/sda")).problems == ("smartctl is not installed",)


@pytest.mark.skipif(shutil.which("smartctl", path="/usr/sbin:/usr/bin") is None, reason="no smartctl")
def test_the_real_one_says_why_it_knows_nothing(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/usr/sbin:/usr/bin")
    found = volume.health(disk("/dev/null"))
    assert (found.verdict, found.problems) == (Verdict.UNKNOWN, ("/dev/null: Unable to detect device type",))
