"""The booted disk's partitions are found by what the root lies on, and by nothing that two disks can have in common."""

import os
from pathlib import Path

import pytest

from appliance.errors import FirmwareError
from appliance.firmware import bootedslots

WHAT = ("esp", "boot-a", "root-a", "boot-b", "root-b", "data")


def a_disk(sysfs: Path, disk: str, separator: str = "") -> Path:
    """A disk with six partitions in a /sys; returns its folder."""
    folder = sysfs / "devices/pci0" / disk
    for number in range(1, len(WHAT) + 1):
        partition = folder / f"{disk}{separator}{number}"
        partition.mkdir(parents=True)
        (partition / "partition").write_text(f"{number}\n")
    (folder / "queue").mkdir()
    return folder


def lies_on(sysfs: Path, partition: Path, root: Path) -> None:
    """The root's device is a checked one above a partition."""
    device = os.stat(root).st_dev
    slaves = sysfs / "dev/block" / f"{os.major(device)}:{os.minor(device)}" / "slaves"
    slaves.mkdir(parents=True)
    (slaves / partition.name).symlink_to(partition)


@pytest.mark.parametrize(("disk", "separator"), [("sda", ""), ("nvme0n1", "p")])
def test_partitions_are_those_beside_the_root(tmp_path: Path, disk: str, separator: str) -> None:
    a_disk(tmp_path, "sdz")
    folder = a_disk(tmp_path, disk, separator)
    lies_on(tmp_path, folder / f"{disk}{separator}5", tmp_path)
    found = bootedslots.partitions(tmp_path, tmp_path)
    assert found == {name: f"{disk}{separator}{number}" for number, name in enumerate(WHAT[:5], 1)}


def test_a_machine_without_the_image(tmp_path: Path) -> None:
    with pytest.raises(FirmwareError, match="does not run the appliance's image"):
        bootedslots.partitions(tmp_path, tmp_path)


def test_a_disk_that_lacks_one(tmp_path: Path) -> None:
    folder = a_disk(tmp_path, "sda")
    (folder / "sda4/partition").unlink()
    lies_on(tmp_path, folder / "sda3", tmp_path)
    with pytest.raises(FirmwareError, match="sda: has no partition boot-b"):
        bootedslots.partitions(tmp_path, tmp_path)


def test_arguments_of_the_kernel_are_ours_alone(tmp_path: Path) -> None:
    line = tmp_path / "cmdline"
    line.write_text("boot=rokubox rokubox.slot=B rauc.slot=B rokubox.trial rokubox.root=ab-1 ro panic=5\n")
    assert bootedslots.arguments(line) == {"slot": "B", "trial": "", "root": "ab-1"}
