"""A partition table as genimage and others write it: parsed, changed, written back, and never lost to a power cut."""

import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.datapartition.errors import TableError
from appliance.datapartition.table import ENTRIES_SECTORS, PRIMARY, SECTOR_BYTES, Header, Partition, State, Table
from appliance.datapartition.tablefile import Disk

DISK_SECTORS = 32 << 11
"""32 MiB."""
FLASHED_SECTORS = 16 << 11
"""The image on it is 16 MiB long."""
DATA = 2


def table(sectors: int = FLASHED_SECTORS) -> Table:
    """Two partitions of 4 MiB each; the second is the data partition."""
    used = [
        Partition(
            type_id=bytes([number] * 16),
            id=bytes([number + 8] * 16),
            first_sector=number * 8192 + 2048,
            last_sector=number * 8192 + 10239,
            attributes=0,
            name=name,
        )
        for number, name in ((1, "esp"), (2, "data-unmade"))
    ]
    nothing = Partition(type_id=bytes(16), id=bytes(16), first_sector=0, last_sector=0, attributes=0, name="")
    return Table(
        disk_id=bytes(range(16)),
        first_usable=34,
        last_usable=sectors - 34,
        partitions=(*used, *[nothing] * 126),
    )


@pytest.fixture(name="flashed")
def _flashed(tmp_path: Path) -> Path:
    """A disk onto which a smaller image was flashed: its second copy lies in the middle."""
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(DISK_SECTORS * SECTOR_BYTES)
        file.seek(PRIMARY * SECTOR_BYTES)
        file.write(table().primary(FLASHED_SECTORS))
        file.seek((FLASHED_SECTORS - 1 - ENTRIES_SECTORS) * SECTOR_BYTES)
        file.write(table().backup(FLASHED_SECTORS))
    return path


def test_a_copy_is_read_back() -> None:
    octets = table().primary(FLASHED_SECTORS)
    header = Header.parse(octets[:SECTOR_BYTES], PRIMARY)
    assert (header.other_at, header.entries_at, header.first_usable) == (FLASHED_SECTORS - 1, 2, 34)
    assert header.table(octets[SECTOR_BYTES:]) == table()
    assert table().state(DATA) is State.UNMADE


def test_others_read_it_too(flashed: Path) -> None:
    disk = Disk(flashed)
    disk.write(disk.read().grown(DATA, disk.sectors).named(DATA, State.MADE))
    # Whoever reads it wants a protective MBR.
    with flashed.open("r+b") as file:
        file.seek(446)
        file.write(struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, DISK_SECTORS - 1))
        file.seek(510)
        file.write(b"\x55\xaa")
    order = ["partx", "--show", "--noheadings", "--type", "gpt", "--output", "NR,START,END,NAME", str(flashed)]
    shown = subprocess.run(order, check=True, capture_output=True, text=True).stdout
    assert [line.split() for line in shown.splitlines()] == [
        ["1", "10240", "18431", "esp"],
        ["2", "18432", str(DISK_SECTORS - 2049), "data"],
    ]


def test_it_takes_the_whole_disk_and_keeps_the_rest() -> None:
    grown = table().grown(DATA, DISK_SECTORS)
    assert grown.last_usable == DISK_SECTORS - 34
    assert grown.partitions[1].last_sector == DISK_SECTORS - 2048 - 1
    assert grown.partitions[0] == table().partitions[0]
    assert grown.partitions[1].first_sector == table().partitions[1].first_sector
    assert grown.grown(DATA, DISK_SECTORS) is grown
    assert table().grown(1, DISK_SECTORS) == table(), "another one is behind it"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda octets: bytes(len(octets)), "sector 1 holds no header"),
        (lambda octets: octets[:40] + b"\xff" + octets[41:], "header of the partition table in sector 1 is damaged"),
        (
            lambda octets: octets[:700] + b"\xff" + octets[701:],
            "entries of the partition table at sector 2 are damaged",
        ),
    ],
)
def test_damage_is_seen(change: Callable[[bytes], bytes], text: str) -> None:
    octets = change(table().primary(FLASHED_SECTORS))
    with pytest.raises(TableError, match=text):
        Header.parse(octets[:SECTOR_BYTES], PRIMARY).table(octets[SECTOR_BYTES:])


def test_another_name_is_no_data_partition() -> None:
    with pytest.raises(TableError, match="partition 1 is named 'esp', not 'data'"):
        table().state(1)


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
    path = tmp_path_factory.mktemp("cut") / "disk"
    path.write_bytes(bytes(DISK_SECTORS * SECTOR_BYTES))
    with path.open("r+b") as file:
        file.seek(PRIMARY * SECTOR_BYTES)
        file.write(table().primary(FLASHED_SECTORS))
    new = table().grown(DATA, DISK_SECTORS).named(DATA, State.MADE)
    with pytest.raises(InterruptedError):
        Interrupted(path, cut_at, seed).write(new)
    disk = Disk(path)
    assert disk.read() in (table(), new)
    # Whoever finds the second copy half written has the first, and the other way round; mending it makes both whole.
    disk.write(disk.read())
    assert disk.is_whole()
    path.unlink()


def test_a_second_copy_elsewhere_is_not_whole(flashed: Path) -> None:
    disk = Disk(flashed)
    assert not disk.is_whole()
    disk.write(disk.read())
    assert disk.is_whole()
    assert disk.read() == table()


def test_no_copy_at_all(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    with pytest.raises(TableError, match="sector 1 holds no header of a partition table; sector 2047 holds no header"):
        Disk(tmp_path / "disk").read()
