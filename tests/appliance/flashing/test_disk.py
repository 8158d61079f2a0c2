"""Which disks there are, and which must not be written to: lsblk's own words."""

import json
from typing import Any

import pytest

from appliance.flashing import disk

GB = 10**9


def _device(**changes: Any) -> dict[str, Any]:
    stick: dict[str, Any] = {
        **{"name": "sdb", "path": "/dev/sdb", "size": 32 * GB, "type": "disk", "model": "Ultra ", "serial": "4C53AB12"},
        **{"tran": "usb", "rm": True, "ro": False, "fstype": None, "label": None, "mountpoints": [None]},
        **{"pttype": None, "log-sec": 512},
    }
    return stick | changes


def _part(**changes: Any) -> dict[str, Any]:
    return _device(name="sdb1", path="/dev/sdb1", type="part", model=None, serial=None, **changes)


def _read(*devices: dict[str, Any]) -> list[disk.Disk]:
    return disk.parse(json.dumps({"blockdevices": devices}))


def test_a_stick_as_a_person_knows_it() -> None:
    (stick,) = _read(_device(children=[_part(fstype="vfat", label="PHOTOS")]))
    assert stick.name == "/dev/sdb · Ultra · 32.0 GB · USB · S/N 4C53AB12"
    assert stick.content == ("vfat PHOTOS",)
    assert stick.secret_word == "AB12"
    assert disk.refusal(stick, 2 * GB) == ""


def test_without_a_serial_number_its_name_is_typed() -> None:
    (one,) = _read(_device(name="vda", path="/dev/vda", serial=None, model=None, tran="virtio"))
    assert one.secret_word == "vda"


@pytest.mark.parametrize(
    ("device", "why"),
    [
        (_device(mountpoints=["/mnt"]), "in use: mounted at /mnt"),
        (_device(children=[_part(mountpoints=["/boot", "[SWAP]"])]), "in use: mounted at /boot, [SWAP]"),
        (
            _device(children=[_part(children=[_device(name="vg-root", type="lvm", mountpoints=["/"])])]),
            "in use: mounted at /",
        ),
        (_device(children=[_part(children=[_device(name="luks-1", type="crypt")])]), "in use by crypt luks-1"),
        (_device(children=[_part(children=[_device(name="md0", type="raid1")])]), "in use by raid1 md0"),
        (_device(ro=True), "read-only (a switch on the stick?)"),
        (_device(**{"log-sec": 4096}), "its sectors have 4096 bytes, only 512 are supported"),
        (_device(size=GB), "too small: 1.5 GB are needed"),
    ],
)
def test_what_must_not_be_written_to(device: dict[str, Any], why: str) -> None:
    (found,) = _read(device)
    assert disk.refusal(found, 3 * GB // 2) == why


def test_what_is_no_disk_is_not_offered() -> None:
    assert not _read(
        _device(name="loop0", type="loop"), _device(name="zram0"), _device(name="sr0", type="rom"), _device(size=0)
    )


def test_this_machine_has_disks_and_the_one_it_runs_from_is_in_use() -> None:
    found = disk.disks()
    assert all(each.path.startswith("/dev/") and each.size_bytes > 0 for each in found)
    for each in found:
        if "/" in each.mounted:
            assert disk.refusal(each, 0).startswith("in use")
