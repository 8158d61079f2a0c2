"""A first boot of which the power was cut: what must be on the disk whatever was written last."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.datapartition import table as tables
from appliance.datapartition.errors import TableError
from appliance.datapartition.table import State
from appliance.datapartition.tablefile import Disk
from appliance.flashing.gpt import BACKUP_SECTORS, SECTOR_BYTES, TABLE_SECTORS, Table
from tests.image import writelog
from tests.image.writelog import Entry, Rebuilder, WriteLog

ESP, SLOTS, DATA = 1, (2, 3, 4, 5), 6
_GRUBENV = (b"# GRUB Environment Block\n", 1024)
_FSCK_MENDED, _FSCK_LEFT = 2, 4
_MADE_LATER = ("var", "machine-id")
"""What the initial file system makes on the data partition, each under another name first."""


@dataclass(slots=True, kw_only=True)
class Left:
    """What a cut has left."""

    point: int
    seed: int
    state: str = ""
    """The data partition's."""
    notes: list[str] = field(default_factory=list)
    """What the next boot has to put right."""
    problems: list[str] = field(default_factory=list)
    """What it cannot."""


def points(log: WriteLog, sectors: int, count: int, seed: int) -> list[tuple[int, int]]:
    """Where the power goes, each with a seed: so many at random, and all in the writing of a partition table."""
    aimed = [
        number + after
        for number, entry in enumerate(log.entries)
        if any(_overlaps(entry, *copy) for copy in _copies(sectors))
        for after in (0, 1)
    ]
    # In there it is the sectors that matter: several draws for each place.
    drawn = [(point, seed) for point in log.points(count, seed)]
    return sorted({*drawn, *((point, seed + draw) for point in aimed for draw in range(6))})


def touched(log: WriteLog, table: Table) -> Iterator[str]:
    """Writes into a slot, of which there must be none."""
    for number in SLOTS:
        slot = table.partitions[number - 1]
        for at, entry in enumerate(log.entries):
            if _overlaps(entry, slot.first_sector, slot.last_sector):
                yield f"write {at} is into {slot.name}"


def without_slots(base: Path, out: Path, table: Table) -> None:
    """The disk with holes where the slots are: they are never written to, and large."""
    writelog.copy(base, out)
    for number in SLOTS:
        slot = table.partitions[number - 1]
        length = (slot.last_sector + 1 - slot.first_sector) * SECTOR_BYTES
        offset = slot.first_sector * SECTOR_BYTES
        subprocess.run(["fallocate", "-p", "-o", str(offset), "-l", str(length), str(out)], check=True)


def left(rebuilder: Rebuilder, point: int, seed: int, base: Path, folder: Path) -> Left:
    """Rebuild the disk at a point, and look at it as the next boot will."""
    found = Left(point=point, seed=seed)
    path = folder / "cut.raw"
    rebuilder.rebuild(path, point, seed)
    disk = Disk(path)
    try:
        table = disk.read()
        state = tables.state(table, DATA)
    except TableError as error:
        found.problems.append(str(error))
        return found
    found.state = state.value
    if not disk.is_whole():
        found.notes.append("one copy of the partition table")
    _look_at_esp(found, path, base, table, folder)
    if state is State.MADE:
        _look_at_data(found, path, table, folder)
    elif state is not State.UNMADE:
        found.problems.append(f"the data partition is {state.value}")
    return found


def _look_at_esp(found: Left, path: Path, base: Path, table: Table, folder: Path) -> None:
    esp, before = folder / "esp", folder / "esp.before"
    partition(path, table, ESP, esp)
    partition(base, table, ESP, before)
    checked = subprocess.run(["fsck.fat", "-n", str(esp)], check=False, capture_output=True, text=True)
    if checked.returncode:
        found.problems.append(f"ESP: {checked.stdout.strip()}")
    for name in ("BOOTX64.EFI", "grub.cfg"):
        if _file(esp, name) != _file(before, name):
            found.problems.append(f"ESP: {name} is another one")
    variables = _file(esp, "grubenv")
    if not variables.startswith(_GRUBENV[0]) or len(variables) != _GRUBENV[1]:
        found.problems.append("ESP: grubenv is damaged")


def _look_at_data(found: Left, path: Path, table: Table, folder: Path) -> None:
    data = folder / "data"
    partition(path, table, DATA, data)
    # As the initial file system does.
    code = subprocess.run(["e2fsck", "-p", str(data)], check=False, capture_output=True).returncode
    if code > _FSCK_MENDED:
        found.notes.append("file system mended")
        subprocess.run(["e2fsck", "-y", str(data)], check=False, capture_output=True)
    again = subprocess.run(["e2fsck", "-fn", str(data)], check=False, capture_output=True, text=True)
    if again.returncode >= _FSCK_LEFT:
        found.problems.append(f"data: {again.stdout.strip()[-300:]}")
    listed = subprocess.run(["debugfs", "-R", "ls -p /", str(data)], check=True, capture_output=True, text=True).stdout
    names = {line.split("/")[5] for line in listed.splitlines() if line.count("/") > 5}
    found.notes += [f"no {name} yet" for name in _MADE_LATER if name not in names]
    if "var" in names:
        inside = subprocess.run(
            ["debugfs", "-R", "stat /var/lib/dpkg/status", str(data)], check=True, capture_output=True
        )
        if b"Type: regular" not in inside.stdout:
            found.problems.append("data: var is not whole")


def _overlaps(entry: Entry, first: int, last: int) -> bool:
    return bool(entry.sectors) and entry.first_sector <= last and entry.first_sector + entry.sectors > first


def _copies(sectors: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last sector of both copies of the table."""
    return (0, TABLE_SECTORS - 1), (sectors - BACKUP_SECTORS, sectors - 1)


def partition(path: Path, table: Table, number: int, out: Path) -> None:
    """A partition as a file of its own, with holes."""
    partition = table.partitions[number - 1]
    first = partition.first_sector * SECTOR_BYTES
    count = (partition.last_sector + 1 - partition.first_sector) * SECTOR_BYTES
    out.unlink(missing_ok=True)
    order = ["dd", f"if={path}", f"of={out}", "bs=1M", f"skip={first}", f"count={count}", "status=none"]
    subprocess.run([*order, "iflag=skip_bytes,count_bytes", "conv=sparse"], check=True)
    with out.open("r+b") as file:
        file.truncate(count)


def _file(esp: Path, name: str) -> bytes:
    return subprocess.run(["mtype", "-i", esp, f"::EFI/BOOT/{name}"], check=False, capture_output=True).stdout
