"""`grubenv` on the ESP: mounted for as long as it is read or written, and written in its place.

Not by grub-editenv(1), which cuts the file to nothing before it writes: a power cut then leaves a box that has
forgotten which slot is good. The file keeps its size and its place on the disk, as GRUB itself leaves them.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import FirmwareError
from appliance.firmware import grubenv
from appliance.firmware.bootedslots import LINKS

NAME = "EFI/BOOT/grubenv"


def read(file: Path) -> dict[str, str]:
    """Its variables. Raises EnvironmentBlockError, OSError."""
    return grubenv.parse(file.read_bytes())


def write(file: Path, variables: dict[str, str]) -> None:
    """Change its variables, on the disk when this returns. Raises EnvironmentBlockError, OSError."""
    block = grubenv.serialize(variables)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_DSYNC | os.O_CLOEXEC, 0o600)
    try:
        if os.pwrite(descriptor, block, 0) != len(block):
            raise OSError(f"{file}: was not written as a whole")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def mounted(*, writable: bool, device: Path = LINKS / "esp") -> Iterator[Path]:
    """The file, while the ESP of the booted disk is mounted. Raises FirmwareError."""
    options = "rw,sync,noatime" if writable else "ro"
    with tempfile.TemporaryDirectory(prefix="rokubox-esp-", dir="/run") as folder:
        _run("mount", "-t", "vfat", "-o", f"{options},nosuid,nodev,noexec,umask=0077", str(device), folder)
        try:
            yield Path(folder) / NAME
        finally:
            _run("umount", folder)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise FirmwareError(f"{command[0]}: {done.stderr.strip() or f'exit code {done.returncode}'}")
