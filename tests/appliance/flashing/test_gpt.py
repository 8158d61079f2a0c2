"""The partition table, held against what util-linux reads from it."""

import subprocess
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.flashing import gpt
from appliance.flashing.errors import ImageError
from tests.appliance.flashing import disks


def _told_by_partx(path: Path) -> list[list[str]]:
    columns = "NR,START,END,NAME,UUID,TYPE"
    told = subprocess.run(
        ["partx", "--noheadings", "--raw", "--output", columns, path],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split() for line in told.stdout.splitlines()]


def test_another_program_reads_the_same_partitions(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disks.image(disk)
    wanted = [
        [str(n), str(each.first_sector), str(each.last_sector), each.name, str(each.id), str(each.type)]
        for n, each in enumerate(disks.table().partitions, 1)
    ]
    assert _told_by_partx(disk) == wanted


def test_the_backup_alone_is_enough(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    whole = bytearray(disks.image(disk))
    whole[512:1024] = bytes(512)
    disk.write_bytes(whole)
    assert [line[3] for line in _told_by_partx(disk)] == ["esp", "boot-a", "data"]


def test_a_larger_disk_has_its_backup_at_its_end_and_ids_of_its_own(tmp_path: Path) -> None:
    old = disks.table()
    new = gpt.renewed(old, 50_000, uuid.uuid4)
    primary, backup = gpt.serialize(new)
    assert gpt.parse(primary) == new
    assert new.disk_id != old.disk_id
    assert not {each.id for each in new.partitions} & {each.id for each in old.partitions}
    assert [each.type for each in new.partitions] == [each.type for each in old.partitions]
    disk = tmp_path / "disk"
    disk.write_bytes(primary[:512] + bytes(49_999 * 512 - len(backup)) + backup)
    assert [line[4] for line in _told_by_partx(disk)] == [str(each.id) for each in new.partitions]


@pytest.mark.parametrize(
    ("at", "what"),
    [
        (512, "no GUID partition table at its beginning"),
        (512 + 60, "the header of its partition table is damaged"),
        (1024 + 3, "the entries of its partition table are damaged"),
    ],
)
def test_damage_is_named(at: int, what: str) -> None:
    primary = bytearray(gpt.serialize(disks.table())[0])
    primary[at] ^= 0xFF
    with pytest.raises(ImageError) as caught:
        gpt.parse(bytes(primary))
    assert str(caught.value) == what


@given(st.binary(max_size=40 * 512))
def test_anything_else_is_refused(octets: bytes) -> None:
    with pytest.raises(ImageError):
        gpt.parse(octets)
