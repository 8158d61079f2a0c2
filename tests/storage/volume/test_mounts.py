"""Mounts as the kernel lists them: real lines, and which of them a path lies on."""

from pathlib import Path, PurePosixPath

import pytest

from storage.volume.mounts import Mount, parse, under

LINES = r"""
22 1 254:2 / / rw,relatime shared:1 - ext4 /dev/vda2 rw,errors=remount-ro
23 22 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
98 22 8:1 / /mnt/usb\040disk rw,relatime - ext4 /dev/sda1 ro
99 98 8:17 / /mnt/usb\040disk rw,relatime - vfat /dev/sdb1 rw
101 22 0:45 /@data /srv ro,relatime shared:50 master:1 - btrfs /dev/sdc1 rw,subvol=/@data
not a mount
1 2 x / / rw - ext4 /dev/x rw
"""


def test_lines() -> None:
    mounts = parse(LINES)
    assert len(mounts) == 5
    assert mounts[2] == Mount(major=8, minor=1, point="/mnt/usb disk", kind="ext4", source="/dev/sda1", read_only=True)
    assert [one.read_only for one in mounts] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("/", "/dev/vda2"),
        ("/mnt/usb disk/archive", "/dev/sdb1"),
        ("/mnt/usb disks", "/dev/vda2"),
        ("/srv", "/dev/sdc1"),
        ("/srv/rokubox/recordings", "/dev/sdc1"),
    ],
)
def test_the_longest_and_latest_that_fits(path: str, source: str) -> None:
    found = under(parse(LINES), PurePosixPath(path))
    assert found is not None
    assert found.source == source


def test_no_mount_fits() -> None:
    assert under([], PurePosixPath("/")) is None


def test_this_machine() -> None:
    assert under(parse(Path("/proc/self/mountinfo").read_text()), PurePosixPath("/proc/self")) is not None
