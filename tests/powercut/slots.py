"""Whether a disk boots, seen from outside: what GRUB would read of the ESP, which slot it would start, and whether that
slot is whole to its last block. Nothing is mounted."""

import hashlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from appliance.firmware import bootstate, grubenv
from tests.powercut import rescue

GRUBENV = "EFI/BOOT/grubenv"
LOADER = ("EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grub.cfg")
"""Files of the ESP that an update never touches."""
_SLOT = ("vmlinuz", "initrd.img", "slot.cfg")
_ROOT_HASH = re.compile(rb"rokubox\.hash=([0-9a-f]{64}) rokubox\.offset=(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Esp:
    """What is on an ESP."""

    loader: tuple[str, ...]
    """Digests of what GRUB consists of; empty for a file that cannot be read."""
    variables: dict[str, str] | None
    """What grubenv says; None when it is no environment block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What is in a slot."""

    digests: tuple[str, ...]
    """Of kernel, initial file system and root hash; empty for a file that cannot be read."""
    is_whole: bool
    """Every block of its root is what the root hash says."""


def esp(disk: Path, folder: Path) -> Esp:
    """Read the ESP of a raw disk as a boot loader does."""
    part = rescue.partition(disk, "esp", folder / "esp.part")
    block = _file(part, GRUBENV)
    try:
        variables: dict[str, str] | None = grubenv.parse(block)
    except grubenv.EnvironmentBlockError:
        variables = None
    return Esp(loader=tuple(digest(_file(part, name)) for name in LOADER), variables=variables)


def started(variables: dict[str, str] | None) -> str:
    """The slot that GRUB starts (`image/grub.cfg`)."""
    return bootstate.primary(variables or {})


def slot(disk: Path, name: str, folder: Path) -> Slot:
    """Read a slot, `A` or `B`, of a raw disk."""
    part = rescue.partition(disk, f"boot-{name.lower()}", folder / "boot.part")
    files = {file: _file(part, file) for file in _SLOT}
    told = _ROOT_HASH.search(files["slot.cfg"])
    return Slot(
        digests=tuple(digest(content) for content in files.values()),
        is_whole=told is not None and _is_verified(disk, name, told[1].decode(), int(told[2]), folder),
    )


def _is_verified(disk: Path, name: str, root_hash: str, offset: int, folder: Path) -> bool:
    part = rescue.partition(disk, f"root-{name.lower()}", folder / "root.part")
    command = ["veritysetup", "verify", f"--hash-offset={offset}", str(part), str(part), root_hash]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _file(part: Path, name: str) -> bytes:
    """A file of a FAT; empty when it cannot be read."""
    return subprocess.run(["mtype", "-i", str(part), f"::{name}"], check=False, capture_output=True).stdout


def digest(content: bytes) -> str:
    """Of a file; empty for one that cannot be read."""
    return hashlib.sha256(content).hexdigest() if content else ""
