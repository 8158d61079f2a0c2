"""Disks of a virtual box, written and read without mounting anything."""

import shutil
import struct
import subprocess
from pathlib import Path

SECTOR_BYTES = 512
_GPT_HEADER = struct.Struct("<QII")
_MIB = 1 << 20


def overlay(image: Path, path: Path, size: str) -> None:
    """Make a disk of a size that begins as the image."""
    backing = ["-b", str(image.absolute()), "-F", "raw"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(path), size], check=True)


def stick(path: Path, files: dict[str, bytes], folder: Path) -> None:
    """Make a provisioning stick with some files; `folder` is for them meanwhile."""
    path.write_bytes(bytes(8 * _MIB))
    subprocess.run(["mformat", "-i", str(path), "-v", "ROKUBOX", "::"], check=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        subprocess.run(["mcopy", "-i", str(path), str(folder / name), f"::{name}"], check=True)


def read_stick(path: Path, name: str) -> str:
    """Return a text of a stick; empty when it is not there."""
    told = subprocess.run(["mtype", "-i", str(path), f"::{name}"], capture_output=True, check=False)
    return told.stdout.decode()


def partition(disk: Path, number: int) -> tuple[int, int]:
    """First byte and size of a partition, from the GPT (UEFI 5.3) of a raw disk."""
    with disk.open("rb") as file:
        file.seek(SECTOR_BYTES + 72)
        table, _, entry_bytes = _GPT_HEADER.unpack(file.read(_GPT_HEADER.size))
        file.seek(table * SECTOR_BYTES + (number - 1) * entry_bytes + 32)
        first, last = struct.unpack("<QQ", file.read(16))
    return first * SECTOR_BYTES, (last - first + 1) * SECTOR_BYTES


def read_data(disk: Path, folder: Path) -> int:
    """Copy the data partition's files into `folder`; return the partition's size in bytes."""
    raw, data = folder.with_suffix(".raw"), folder.with_suffix(".ext4")
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(disk), str(raw)], check=True)
    start, size = partition(raw, 6)
    place = [f"skip={start // _MIB}", f"count={size // _MIB}", "bs=1M", "conv=sparse", "status=none"]
    subprocess.run(["dd", f"if={raw}", f"of={data}", *place], check=True)
    raw.unlink()
    subprocess.run(["e2fsck", "-p", str(data)], stdout=subprocess.DEVNULL, check=False)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    subprocess.run(["debugfs", "-R", f"rdump / {folder}", str(data)], stderr=subprocess.DEVNULL, check=True)
    data.unlink()
    return size
