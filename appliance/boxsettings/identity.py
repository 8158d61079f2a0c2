"""Gives the box its serial number, once."""

from contextlib import suppress
from pathlib import Path

from appliance.boxsettings import serial
from storage.disk import Directories, Disk, replace_file

_MODE = 0o644


def give_serial(directory: Path, makers: str, machine_id: Path) -> None:
    """Write the file, unless the box has one: what it is called stays, whatever a later version would choose.

    `makers` is what its maker calls it (`datapartition.identity`).

    Raises:
        OSError, StorageError: it cannot be written.
    """
    file = directory / serial.NAME
    with suppress(OSError, UnicodeDecodeError):
        if serial.parse(file.read_text("ascii")):
            return
    number = serial.chosen(makers, _read(machine_id))
    disk = Disk()
    directories = Directories(disk)
    replace_file(disk, file.with_name(f".{file.name}.tmp"), file, f"{number}\n".encode(), mode=_MODE)
    directories.note(directory)
    directories.sync()


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
