"""The file system and the disk under an archive, and whether it is the right one.

The kernel knows which device a folder lies on, udev (pyudev) what that is: its UUID, and the disk that a partition is
part of. Where no udev runs, blkid(8) reads the UUID from the device itself.
"""

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyudev

from storage.errors import ArchiveError, VolumeError, from_os_error
from storage.volume import mounts, smart
from storage.volume.mounts import Mount
from storage.volume.smart import Health, Verdict

_MOUNTINFO = Path("/proc/self/mountinfo")
_ASK_S = 20.0
"""How long a disk may take to tell of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """What an archive lies on."""

    mount: Mount
    """The mounted file system."""
    uuid: str
    """Its UUID; empty when it has none."""
    disk: str
    """Device file of the whole disk; empty when there is none."""


def describe(folder: Path) -> Volume:
    """Find out. Raises ArchiveError when the folder is not there."""
    try:
        whole = folder.resolve(strict=True)
        mount = mounts.under(mounts.parse(_MOUNTINFO.read_text("utf-8", "replace")), PurePosixPath(whole))
    except OSError as error:
        raise from_os_error(error, "see which disk the archive is on") from error
    if mount is None:
        raise ArchiveError("cannot see which disk the archive is on")
    uuid, disk = _from_udev(mount)
    if not uuid and mount.source.startswith("/dev/"):
        uuid = _asked(["blkid", "-p", "-s", "UUID", "-o", "value", mount.source]).decode("ascii", "replace").strip()
    return Volume(mount=mount, uuid=uuid, disk=disk or (mount.source if mount.source.startswith("/dev/") else ""))


def require(folder: Path, uuid: str) -> None:
    """Make sure that the folder, or the nearest one above it that exists, lies on the file system of this UUID.

    Raises VolumeError when it does not: nothing may be written there then. An empty UUID asks for nothing.
    """
    if not uuid:
        return
    there = next(above for above in (folder, *folder.absolute().parents) if above.exists())
    found = describe(there)
    if found.uuid.lower() != uuid.lower():
        held = f"file system {found.uuid}" if found.uuid else f"a {found.mount.kind} without UUID"
        raise VolumeError(f"{folder}: here is {held}, not {uuid} ([storage] volume_uuid); nothing is written")
    if found.mount.read_only:
        raise VolumeError(f"{folder}: file system {uuid} is mounted read-only")


def health(volume: Volume) -> Health:
    """What the disk says of itself; unknown without a disk, without smartctl, or without leave to ask."""
    if not volume.disk:
        return Health(verdict=Verdict.UNKNOWN, problems=("no disk of its own",))
    told = _asked(["smartctl", "--json", "--all", volume.disk])
    return smart.parse(told) if told else Health(verdict=Verdict.UNKNOWN, problems=("smartctl is not installed",))


def _from_udev(mount: Mount) -> tuple[str, str]:
    """UUID, and the device file of the whole disk; empty where udev knows nothing."""
    try:
        context = pyudev.Context()
        device = pyudev.Devices.from_device_number(context, "block", os.makedev(mount.major, mount.minor))
    except (pyudev.DeviceNotFoundError, ImportError, OSError):
        return "", ""
    below = _lowest(context, device)
    whole = below.find_parent("block", "disk") or below
    return str(device.properties.get("ID_FS_UUID", "")), str(whole.device_node or "")


def _lowest(context: pyudev.Context, device: pyudev.Device) -> pyudev.Device:
    """What a device of device-mapper (an encrypted one) lies on, the first of several; else the device itself."""
    for below in sorted(Path(device.sys_path, "slaves").glob("*")):
        with suppress(pyudev.DeviceNotFoundError):
            return _lowest(context, pyudev.Devices.from_path(context, str(below.resolve())))
    return device


def _asked(command: list[str]) -> bytes:
    """What a program says; nothing when it is not there or takes too long. Its exit code says nothing of that."""
    try:
        return subprocess.run(command, capture_output=True, timeout=_ASK_S, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return b""
