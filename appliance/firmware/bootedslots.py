"""The disk that was booted from, and its partitions: what the root file system lies on, and what lies beside it.

Nothing is found by a label or an id: another disk with the same image is another disk.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from appliance.errors import FirmwareError

SYSFS = Path("/sys")
COMMAND_LINE = Path("/proc/cmdline")
LINKS = Path("/run/rokubox/slots")
"""Where the configuration of RAUC looks for them."""
NUMBERS: Mapping[str, int] = {"esp": 1, "boot-a": 2, "root-a": 3, "boot-b": 4, "root-b": 5}
"""Partitions by name (image/genimage.cfg)."""


def arguments(path: Path = COMMAND_LINE) -> dict[str, str]:
    """Arguments of the kernel that are this product's own, without the `rokubox.` before them."""
    words = path.read_text("ascii", "replace").split()
    told = (word.removeprefix("rokubox.").partition("=") for word in words if word.startswith("rokubox."))
    return {name: value for name, _, value in told}


def partitions(root: Path = Path("/"), sysfs: Path = SYSFS) -> dict[str, str]:
    """Names of the partitions of the booted disk, such as `vda2`, by what they are.

    Raises:
        FirmwareError: the root file system is not a slot.
    """
    device = os.stat(root).st_dev
    verified = sysfs / "dev/block" / f"{os.major(device)}:{os.minor(device)}"
    slaves = sorted((verified / "slaves").iterdir()) if (verified / "slaves").is_dir() else []
    if not slaves:
        raise FirmwareError("this machine does not run the appliance's image: its root is no checked slot")
    disk = slaves[0].resolve().parent
    found = {}
    for partition in disk.iterdir():
        number = partition / "partition"
        if number.is_file():
            found[int(number.read_text("ascii"))] = partition.name
    missing = [name for name, number in NUMBERS.items() if number not in found]
    if missing:
        raise FirmwareError(f"{disk.name}: has no partition {missing[0]}")
    return {name: found[number] for name, number in NUMBERS.items()}


def link(folder: Path = LINKS) -> None:
    """Make a link for each partition. Raises FirmwareError, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, device in partitions().items():
        draft = folder / f".{name}"
        draft.unlink(missing_ok=True)
        draft.symlink_to(f"/dev/{device}")
        draft.rename(folder / name)
