"""What is looked at after a cut during an update: GRUB's files, its variables, and the slot that it would start."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from appliance.firmware import bootstate, grubenv
from tests.powercut import slots, updates
from tests.powercut.slots import Slot

MIB = 1 << 20
PARTS = ("esp", "boot-a", "root-a", "boot-b", "root-b", "data")
MISSING = [tool for tool in ("mkfs.vfat", "mcopy", "mtype", "veritysetup") if shutil.which(tool) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {' '.join(MISSING)}")
FRESH = {"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "B_OK": "0", "B_TRY": "0"}


@pytest.fixture(name="disk")
def _disk(tmp_path: Path) -> Path:
    """A disk with an old version in slot A and a new one in slot B; nothing was told to GRUB of the new one."""
    disk = tmp_path / "disk.raw"
    table = bytearray(MIB)
    for number, name in enumerate(PARTS):
        first = (1 + 4 * number) * MIB // 512
        entry = struct.pack(
            "<16s16sQQQ72s", b"k" * 16, b"i" * 16, first, first + 4 * MIB // 512 - 1, 0, name.encode("utf-16-le")
        )
        table[1024 + 128 * number : 1152 + 128 * number] = entry
    with disk.open("wb") as file:
        file.write(table)
        file.truncate((1 + 4 * len(PARTS)) * MIB)
    loader = dict.fromkeys(slots.LOADER, b"loader")
    _put(disk, 0, _fat(tmp_path, {**loader, slots.GRUBENV: grubenv.serialize(FRESH)}))
    for number, version in ((1, b"old"), (3, b"new")):
        root, root_hash = _root(tmp_path, version)
        told = f'set slot_arguments="rokubox.hash={root_hash} rokubox.offset=8192"\n'.encode()
        _put(disk, number, _fat(tmp_path, {"vmlinuz": b"kernel", "initrd.img": version, "slot.cfg": told}))
        _put(disk, number + 1, root)
    return disk


def _put(disk: Path, number: int, content: bytes) -> None:
    with disk.open("r+b") as file:
        file.seek((1 + 4 * number) * MIB)
        file.write(content)


def _fat(folder: Path, files: dict[str, bytes]) -> bytes:
    image, content = folder / "fat", folder / "content"
    image.write_bytes(bytes(4 * MIB))
    subprocess.run(["mkfs.vfat", image], check=True, capture_output=True)
    if any("/" in name for name in files):
        subprocess.run(["mmd", "-i", image, "::EFI", "::EFI/BOOT"], check=True)
    for name, stored in files.items():
        content.write_bytes(stored)
        subprocess.run(["mcopy", "-i", image, content, f"::{name}"], check=True)
    return image.read_bytes()


def _root(folder: Path, version: bytes) -> tuple[bytes, str]:
    """A root of two blocks with the tree of its hashes behind it, and the root hash."""
    image = folder / "root"
    image.write_bytes(version.ljust(8192, b"."))
    command = ["veritysetup", "format", "--hash-offset=8192", str(image), str(image)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return image.read_bytes(), said.split("Root hash:")[1].split()[0]


def _known(disk: Path, folder: Path) -> dict[str, Slot]:
    return {"old": slots.slot(disk, "A", folder), "new": slots.slot(disk, "B", folder)}


def _look(disk: Path, folder: Path, known: dict[str, Slot]) -> updates.Found:
    loader = tuple(slots.digest(b"loader") for _ in slots.LOADER)
    return updates.look(disk, "write", 1, known, loader, folder)


def test_a_whole_disk_starts_the_old_version_until_grub_is_told(disk: Path, tmp_path: Path) -> None:
    known = _known(disk, tmp_path)
    assert known["old"].is_whole
    assert known["new"].is_whole
    found = _look(disk, tmp_path, known)
    assert (found.started, found.version, found.is_on_trial, found.problems) == ("A", "old", False, ())
    told = {
        **dict.fromkeys(slots.LOADER, b"loader"),
        slots.GRUBENV: grubenv.serialize(bootstate.with_primary(FRESH, "B")),
    }
    _put(disk, 0, _fat(tmp_path, told))
    found = _look(disk, tmp_path, known)
    assert (found.started, found.version, found.is_on_trial, found.problems) == ("B", "new", True, ())


def test_a_half_written_slot_that_is_started_is_told(disk: Path, tmp_path: Path) -> None:
    known = _known(disk, tmp_path)
    _put(disk, 2, b"half")
    assert _look(disk, tmp_path, known).problems == ("slot A would be started, and is not whole",)


def test_a_lost_grubenv_and_a_loader_that_is_another_one_are_told(disk: Path, tmp_path: Path) -> None:
    known = _known(disk, tmp_path)
    _put(disk, 0, _fat(tmp_path, {slots.LOADER[0]: b"loader", slots.LOADER[1]: b"other", slots.GRUBENV: b""}))
    found = _look(disk, tmp_path, known)
    assert found.problems == ("GRUB's own files are not what they were", "grubenv is no environment block")
