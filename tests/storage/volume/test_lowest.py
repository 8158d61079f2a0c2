"""An encrypted file system's disk is the one below the device that opens it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pyudev

from storage.volume import volume


def test_the_disk_below_a_device_of_device_mapper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sda6, mapped = tmp_path / "sda" / "sda6", tmp_path / "dm-1"
    sda6.mkdir(parents=True)
    (mapped / "slaves").mkdir(parents=True)
    (mapped / "slaves" / "sda6").symlink_to(sda6)
    asked: Any = SimpleNamespace(from_path=lambda _, path: SimpleNamespace(sys_path=path))
    monkeypatch.setattr(pyudev, "Devices", asked)
    context: Any = None
    for path in (mapped, sda6):
        device: Any = SimpleNamespace(sys_path=str(path))
        found = volume._lowest(context, device)
        assert found.sys_path == str(sda6)
