"""The disks of a machine, as lsblk(8) tells them, and which of them must not be written to. Pure but for `disks`."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.flashing.errors import ToolMissingError
from appliance.flashing.gpt import SECTOR_BYTES

_COLUMNS = "NAME,PATH,SIZE,TYPE,MODEL,SERIAL,TRAN,RM,RO,FSTYPE,LABEL,MOUNTPOINTS,PTTYPE,LOG-SEC"
_NOT_DISKS = ("loop", "ram", "zram", "sr", "fd", "nbd", "md", "dm-")
_HELD = ("crypt", "lvm", "raid", "mpath", "dm", "linear")
"""Beginnings of what lsblk calls something that stands upon a partition and is in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A whole disk."""

    path: str
    size_bytes: int
    sector_bytes: int
    model: str
    serial: str
    transport: str
    """`usb`, `sata`, `nvme`, `virtio` ...; empty when nobody knows."""
    is_read_only: bool
    mounted: tuple[str, ...]
    """Where something of it is mounted, or used for swapping."""
    held_by: tuple[str, ...]
    """What stands upon it: encryption, volumes, RAID."""
    content: tuple[str, ...]
    """What is on it: file systems and their labels."""

    @property
    def secret_word(self) -> str:
        """What has to be typed to have it erased: the end of its serial number, or its name."""
        return self.serial[-4:] if len(self.serial) >= 4 else self.path.rpartition("/")[2]

    @property
    def name(self) -> str:
        """How a person knows it."""
        told = [self.path, self.model, amount(self.size_bytes), self.transport.upper()]
        if self.serial:
            told.append(f"S/N {self.serial}")
        return " · ".join(part for part in told if part)


def disks() -> list[Disk]:
    """Every disk of this machine.

    Raises:
        ToolMissingError: no lsblk here.
    """
    command = ["lsblk", "--json", "--bytes", "--output", _COLUMNS]
    try:
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolMissingError("lsblk (util-linux) does not tell the disks; this program needs Linux") from error
    return parse(told)


def parse(told: str) -> list[Disk]:
    """Read the output of `lsblk --json --bytes`."""
    return [
        _disk(device)
        for device in json.loads(told)["blockdevices"]
        if device["type"] == "disk" and not str(device["name"]).startswith(_NOT_DISKS) and device["size"]
    ]


def refusal(disk: Disk, wanted_bytes: int) -> str:
    """Say why an image of so many bytes must not be written to a disk; empty when it may."""
    if disk.mounted:
        return f"in use: mounted at {', '.join(disk.mounted)}"
    if disk.held_by:
        return f"in use by {', '.join(disk.held_by)}"
    if disk.is_read_only:
        return "read-only (a switch on the stick?)"
    if disk.sector_bytes != SECTOR_BYTES:
        return f"its sectors have {disk.sector_bytes} bytes, only {SECTOR_BYTES} are supported"
    if disk.size_bytes < wanted_bytes:
        return f"too small: {amount(wanted_bytes)} are needed"
    return ""


def amount(number: int) -> str:
    """A size as disks are sold."""
    for unit, size in (("TB", 10**12), ("GB", 10**9)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number / 10**6:.0f} MB"


def _disk(device: Mapping[str, Any]) -> Disk:
    everything = list(_walk(device))
    mounted = [place for each in everything for place in each["mountpoints"] if place]
    held = [f"{each['type']} {each['name']}" for each in everything if str(each["type"]).startswith(_HELD)]
    content = [" ".join(filter(None, (each["fstype"], each["label"]))) for each in everything if each["fstype"]]
    if not content and device["pttype"]:
        content = [f"{device['pttype']} partitions"]
    return Disk(
        path=device["path"],
        size_bytes=int(device["size"]),
        sector_bytes=int(device["log-sec"]),
        model=(device["model"] or "").strip(),
        serial=(device["serial"] or "").strip(),
        transport=device["tran"] or "",
        is_read_only=bool(device["ro"]),
        mounted=tuple(dict.fromkeys(mounted)),
        held_by=tuple(dict.fromkeys(held)),
        content=tuple(dict.fromkeys(content)),
    )


def _walk(device: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield device
    for child in device.get("children", ()):
        yield from _walk(child)
