"""The partition table on a disk: read from the copy that is whole, written so that one of them always is.

First the copy at the disk's end, then, once that is there, the one at its beginning. Who begins with the first copy and
finds it half written (the firmware, the kernel told `gpt`, this module) takes the other; GRUB looks at the places of
slots only, which never change.
"""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from appliance.datapartition.errors import TableError
from appliance.flashing import gpt
from appliance.flashing.errors import ImageError
from appliance.flashing.gpt import BACKUP_SECTORS, SECTOR_BYTES, TABLE_SECTORS, Table

_BLOCK = Path("/sys/class/block")


class Disk:
    """A disk, or a file that holds one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as disk:
            self.sectors = disk.seek(0, os.SEEK_END) // SECTOR_BYTES

    def read(self) -> Table:
        """What the first copy that is whole says. Raises TableError, OSError."""
        problems = []
        copies: tuple[Callable[[], Table], ...] = (self._primary, self._backup)
        for copy in copies:
            try:
                return copy()
            except ImageError as error:
                problems.append(str(error))
        raise TableError(f"{self._path}: {'; '.join(problems)}")

    def is_whole(self) -> bool:
        """Whether both copies are whole and say the same, the other one at the disk's end."""
        try:
            return self._primary() == self._backup()
        except ImageError:
            return False

    def write(self, table: Table) -> None:
        """Replace both copies, one after the other."""
        primary, backup = gpt.serialize(replace(table, disk_sectors=self.sectors))
        self._put(self.sectors - BACKUP_SECTORS, backup)
        self._put(0, primary)

    def _put(self, at: int, octets: bytes) -> None:
        """Octets from a sector on, on the disk before this returns."""
        with self._path.open("r+b", buffering=0) as disk:
            disk.seek(at * SECTOR_BYTES)
            if disk.write(octets) != len(octets):
                raise OSError(f"{self._path}: not all was written")
            os.fsync(disk.fileno())

    def _primary(self) -> Table:
        return gpt.parse(self._get(0, TABLE_SECTORS))

    def _backup(self) -> Table:
        return gpt.parse_backup(self._get(self.sectors - BACKUP_SECTORS, BACKUP_SECTORS), self.sectors)

    def _get(self, at: int, sectors: int) -> bytes:
        with self._path.open("rb") as disk:
            disk.seek(at * SECTOR_BYTES)
            return disk.read(sectors * SECTOR_BYTES)


def device_of(partition: Path) -> tuple[Path, int]:
    """The disk that a partition (`/dev/sda6`) is on, and its number there. Raises OSError."""
    about = _BLOCK / partition.resolve().name
    return Path("/dev") / about.resolve().parent.name, int((about / "partition").read_text("ascii"))


def is_on_stick(partition: Path) -> bool:
    """Whether it is on a USB stick: a box that was started to be installed, which keeps nothing there."""
    return re.search(r"/usb[0-9]*/", str((_BLOCK / partition.resolve().name).resolve())) is not None
