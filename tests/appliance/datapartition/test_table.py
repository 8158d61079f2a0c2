"""A partition table as genimage and others write it: parsed, changed, written back, and never lost to a power cut."""

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.datapartition import table
from appliance.datapartition.errors import TableError
from appliance.datapartition.table import State
from appliance.datapartition.tablefile import Disk
from appliance.flashing import gpt
from tests.appliance.flashing import disks

SECTOR_BYTES = gpt.SECTOR_BYTES
DISK_SECTORS = 32 << 11
"""32 MiB; the image on it has 6 MiB."""
DATA = 3
FLASHED = table.named(disks.table(), DATA, State.UNMADE)
NEW = table.named(table.grown(FLASHED, DATA, DISK_SECTORS), DATA, State.MADE)


def flash(path: Path) -> Path:
    """A disk onto which a smaller image was copied as it is: its second copy lies in the middle."""
    primary, backup = gpt.serialize(FLASHED)
    with path.open("wb") as file:
        file.truncate(DISK_SECTORS * SECTOR_BYTES)
        file.write(primary)
        file.seek((disks.SECTORS - gpt.BACKUP_SECTORS) * SECTOR_BYTES)
        file.write(backup)
    return path


def test_others_read_what_was_written(tmp_path: Path) -> None:
    flashed = flash(tmp_path / "disk")
    Disk(flashed).write(NEW)
    order = ["partx", "--show", "--noheadings", "--type", "gpt", "--output", "NR,START,END,NAME", str(flashed)]
    shown = subprocess.run(order, check=True, capture_output=True, text=True).stdout
    assert [line.split() for line in shown.splitlines()][-1] == ["3", "6144", str(DISK_SECTORS - 2049), "data"]


def test_it_takes_the_whole_disk_and_keeps_the_rest() -> None:
    grown = table.grown(FLASHED, DATA, DISK_SECTORS)
    assert grown.disk_sectors == DISK_SECTORS
    assert grown.partitions[-1].last_sector == DISK_SECTORS - 2048 - 1
    assert table.sectors_of(grown, DATA) == DISK_SECTORS - 2048 - disks.DATA_FIRST
    assert grown.partitions[:-1] == FLASHED.partitions[:-1]
    assert table.grown(grown, DATA, DISK_SECTORS) is grown
    assert table.grown(FLASHED, 1, DISK_SECTORS) == FLASHED, "another one is behind it"


def test_its_name_is_its_state() -> None:
    assert table.state(FLASHED, DATA) is State.UNMADE
    assert table.state(NEW, DATA) is State.MADE
    with pytest.raises(TableError, match="partition 1 is named 'esp', not 'data'"):
        table.state(FLASHED, 1)
    with pytest.raises(TableError, match="partition 9 is named '', not 'data'"):
        table.state(FLASHED, 9)


class Interrupted(Disk):
    """A disk whose writes go to its cache, and of which the power is cut: any sector may be there or not."""

    def __init__(self, path: Path, cut_at: int, seed: int) -> None:
        super().__init__(path)
        self.left = cut_at
        self.chance = random.Random(seed)

    def _put(self, at: int, octets: bytes) -> None:
        if self.left == 0:
            pieces = [
                (at + sector, octets[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES])
                for sector in range(len(octets) // SECTOR_BYTES)
                if self.chance.random() < 0.5
            ]
            for place, piece in pieces:
                super()._put(place, piece)
            raise InterruptedError
        self.left -= 1
        super()._put(at, octets)


@settings(max_examples=30, deadline=None)
@given(cut_at=st.integers(0, 1), seed=st.integers(0, 1 << 32))
def test_a_power_cut_leaves_the_old_table_or_the_new_one(
    tmp_path_factory: pytest.TempPathFactory, cut_at: int, seed: int
) -> None:
    path = flash(tmp_path_factory.mktemp("cut") / "disk")
    with pytest.raises(InterruptedError):
        Interrupted(path, cut_at, seed).write(NEW)
    disk = Disk(path)
    assert disk.read() in (FLASHED, NEW)
    # Whoever finds the second copy half written has the first, and the other way round; mending it makes both whole.
    disk.write(disk.read())
    assert disk.is_whole()
    path.unlink()


def test_with_both_copies_in_the_cache_at_once_nothing_would_be_left(tmp_path: Path) -> None:
    """Why it is not left to a program that writes both and flushes then."""
    lost = 0
    for seed in range(20):
        path = flash(tmp_path / "disk")
        with pytest.raises(InterruptedError):
            Interrupted(path, 0, seed).write(NEW)
        primary, _ = gpt.serialize(NEW)
        torn = random.Random(seed)
        with path.open("r+b") as file:
            for at in range(0, len(primary), SECTOR_BYTES):
                if torn.random() < 0.5:
                    file.seek(at)
                    file.write(primary[at : at + SECTOR_BYTES])
        try:
            Disk(path).read()
        except TableError:
            lost += 1
    assert lost


def test_a_second_copy_elsewhere_is_not_whole(tmp_path: Path) -> None:
    disk = Disk(flash(tmp_path / "disk"))
    assert not disk.is_whole()
    disk.write(disk.read())
    assert disk.is_whole()
    assert disk.read().partitions == FLASHED.partitions


def test_no_copy_at_all(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    problem = "no GUID partition table at its beginning; no GUID partition table at its end"
    with pytest.raises(TableError, match=problem):
        Disk(tmp_path / "disk").read()
