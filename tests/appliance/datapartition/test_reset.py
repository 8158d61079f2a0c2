"""A data partition destroyed, on a loop device: nothing of it is left, and the stick says so."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from appliance.datapartition import luks, medium, reset, texts
from appliance.datapartition.consoles import Consoles
from appliance.datapartition.medium import Medium

_SIZE = 48 << 20


@pytest.fixture(name="device")
def _device(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() or shutil.which("losetup") is None or shutil.which("cryptsetup") is None:
        pytest.skip("a loop device is made by root")
    file = tmp_path / "disk"
    file.write_bytes(b"x" * _SIZE)
    made = subprocess.run(["losetup", "-f", "--show", str(file)], check=False, capture_output=True, text=True)
    if made.returncode:
        pytest.skip("no loop device here")
    yield Path(made.stdout.strip())
    subprocess.run(["losetup", "-d", made.stdout.strip()], check=True)


@pytest.fixture(name="stick")
def _stick(tmp_path: Path) -> Medium:
    """A folder in place of what would be mounted."""
    (tmp_path / "stick").mkdir()
    return Medium(folder=tmp_path / "stick", is_writable=True)


def test_what_was_there_is_told(tmp_path: Path) -> None:
    assert reset.evidence(tmp_path) == "0 files in recordings, no checkpoint of the ledger"
    archive = tmp_path / "var/lib/rokubox"
    (archive / "recordings/2026/01/02").mkdir(parents=True)
    (archive / "recordings/2026/01/02/one.zip").touch()
    (archive / "ledger").mkdir()
    (archive / "ledger/checkpoint").write_text("rokubox\n2\nq83v\n\n\u2014 rokubox Az3g\n", "utf-8")
    wanted = "1 files in recordings, the ledger's last checkpoint: rokubox 2 q83v \u2014 rokubox Az3g"
    assert reset.evidence(tmp_path) == wanted


def test_what_is_not_encrypted_is_overwritten(device: Path, stick: Medium) -> None:
    begun = texts.BEGUN.format(serial="RB-1", confirmed="2026-01-02T03:04:05Z", evidence="12 files")
    stick.write(medium.DESTROYED, begun)
    with Consoles([]) as consoles:
        reset.destroy(device, consoles, "RB-1", lambda: nullcontext(stick))
    assert not any(device.read_bytes())
    told = (stick.folder / medium.DESTROYED).read_text("utf-8")
    assert f"the whole data partition overwritten with zeroes ({_SIZE} bytes)" in told
    assert "confirmed at its console: 2026-01-02T03:04:05Z (the box's clock, UTC)\n" in told
    assert "what was there: 12 files\n" in told
    assert "NOT FINISHED" not in told


def test_of_what_is_encrypted_the_keys_are_destroyed(device: Path, stick: Medium) -> None:
    luks.make(device, luks.new_recovery_key())
    with Consoles([]) as consoles:
        reset.destroy(device, consoles, "RB-1", lambda: nullcontext(stick))
    assert not luks.is_volume(device)
    assert not any(device.read_bytes()[: luks.HEADER_BYTES])
    assert "LUKS2 key slots erased" in (stick.folder / medium.DESTROYED).read_text("utf-8")
