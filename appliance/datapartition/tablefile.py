"""The partition table on a disk: read from the copy that is whole, written so that one of them always is.

First the copy at the disk's end, then, once that is there, the one at its beginning. Who begins with the first copy and
finds it half written (the firmware, the kernel told `gpt`, this module) takes the other; GRUB looks at the places of
slots only, which never change.
"""

import os
from pathlib import Path

from appliance.datapartition.errors import TableError
from appliance.datapartition.table import ENTRIES_SECTORS, PRIMARY, SECTOR_BYTES, Header, Table


class Disk:
    """A disk, or a file that holds one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.sectors = os.lseek(descriptor, 0, os.SEEK_END) // SECTOR_BYTES
        finally:
            os.close(descriptor)

    def read(self) -> Table:
        """What the first copy that is whole says. Raises TableError, OSError."""
        problems = []
        for at in (PRIMARY, self.sectors - 1):
            try:
                return self._copy(at)[1]
            except TableError as error:
                problems.append(str(error))
        raise TableError("; ".join(problems))

    def is_whole(self) -> bool:
        """Whether both copies are whole and say the same, the other one at the disk's end."""
        try:
            header, table = self._copy(PRIMARY)
            return header.other_at == self.sectors - 1 and self._copy(header.other_at)[1] == table
        except TableError:
            return False

    def write(self, table: Table) -> None:
        """Replace both copies, one after the other."""
        for at, octets in (
            (self.sectors - 1 - ENTRIES_SECTORS, table.backup(self.sectors)),
            (PRIMARY, table.primary(self.sectors)),
        ):
            self._put(at, octets)

    def _put(self, at: int, octets: bytes) -> None:
        """Octets from a sector on, on the disk before this returns."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.pwrite(descriptor, octets, at * SECTOR_BYTES) != len(octets):
                raise OSError(f"{self._path}: not all was written")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _copy(self, at: int) -> tuple[Header, Table]:
        header = Header.parse(self._get(at, 1), at)
        return header, header.table(self._get(header.entries_at, ENTRIES_SECTORS))

    def _get(self, at: int, sectors: int) -> bytes:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            octets = os.pread(descriptor, sectors * SECTOR_BYTES, at * SECTOR_BYTES)
        finally:
            os.close(descriptor)
        if len(octets) != sectors * SECTOR_BYTES:
            raise TableError(f"{self._path} ends before sector {at + sectors}")
        return octets


def device_of(partition: Path) -> tuple[Path, int]:
    """The disk that a partition (`/dev/sda6`) is on, and its number there. Raises OSError."""
    about = Path("/sys/class/block") / partition.resolve().name
    return Path("/dev") / about.resolve().parent.name, int((about / "partition").read_text("ascii"))
