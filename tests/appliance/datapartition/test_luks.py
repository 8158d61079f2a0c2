"""A LUKS2 volume in a file, by cryptsetup itself. What needs device-mapper is left to the emulated machine."""

import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.datapartition import luks
from appliance.datapartition.errors import DataPartitionError

pytestmark = pytest.mark.skipif(shutil.which("cryptsetup") is None, reason="cryptsetup-bin is not installed")


@pytest.fixture(name="device")
def _device(tmp_path: Path) -> Path:
    path = tmp_path / "device"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    return path


def opens(device: Path, key: str) -> bool:
    done = subprocess.run(
        ["cryptsetup", "open", "--test-passphrase", "--key-file", "-", str(device)],
        input=key.encode(),
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def test_a_volume_with_two_keys_until_they_are_destroyed(device: Path) -> None:
    recovery_key = luks.new_recovery_key()
    assert not luks.is_volume(device)
    luks.make(device, recovery_key)
    luks.add_passphrase(device, recovery_key, "a long phrase")
    assert luks.is_volume(device)
    assert not luks.has_tpm_key(device)
    assert opens(device, recovery_key)
    assert opens(device, "a long phrase")
    assert not opens(device, "another phrase")
    luks.destroy_keys(device)
    assert not opens(device, recovery_key)
    assert not opens(device, "a long phrase")


def test_what_cryptsetup_says_is_told(device: Path) -> None:
    with pytest.raises(DataPartitionError, match=r"cryptsetup: .*not a valid LUKS device"):
        luks.destroy_keys(device)


def test_recovery_keys_differ() -> None:
    keys = {luks.new_recovery_key() for _ in range(20)}
    assert len(keys) == 20
    assert all(len(key) == 39 for key in keys)
