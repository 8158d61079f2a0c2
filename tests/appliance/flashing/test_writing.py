"""An image onto a disk (a file stands for it): whole, read back, with ids of its own, or it boots nothing."""

import lzma
import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.flashing import gpt, image, writing
from appliance.flashing.errors import DiskChoiceError, DiskError, ImageError
from tests.appliance.flashing import disks
from tests.appliance.flashing.disks import SECTOR

MORE = 40_000
"""Sectors of the disk, more than the image's."""


def _quiet(done: int, total: int) -> None:
    assert 0 < done <= total


def _disk(folder: Path, sectors: int = MORE) -> Path:
    path = folder / "disk"
    path.write_bytes(os.urandom(sectors * SECTOR))
    return path


@pytest.mark.parametrize("suffix", ["img", "img.xz"])
def test_it_holds_the_image_and_boots(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rokubox.{suffix}"
    whole = disks.image(path)
    if suffix.endswith("xz"):
        path.write_bytes(lzma.compress(whole, preset=0))
    disk = _disk(tmp_path)
    made = writing.write(image.of_file(path), disk, _quiet, _quiet)
    got = disk.read_bytes()
    table_bytes = gpt.TABLE_SECTORS * SECTOR
    assert got[table_bytes : len(whole)] == whole[table_bytes:]
    assert gpt.parse(got) == made
    assert made.disk_sectors == MORE
    assert [each.name for each in made.partitions] == ["esp", "boot-a", "data-unmade"]
    assert made.disk_id != disks.table().disk_id
    # Nothing of what was there is left where the image ends.
    assert not any(got[len(whole) : len(whole) + (1 << 20)])


def test_of_a_running_box_only_the_system_is_taken(tmp_path: Path) -> None:
    stick, disk = tmp_path / "stick", _disk(tmp_path)
    whole = bytearray(disks.image(stick))
    tried = b"# GRUB Environment Block\nORDER=A B\nA_OK=1\nA_TRY=2\nB_TRY=0\n".ljust(1024, b"#")
    at = 2500 * SECTOR
    whole[at : at + 1024] = tried
    stick.write_bytes(whole)
    source = image.of_running_system(stick)
    made = writing.write(source, disk, _quiet, _quiet)
    got = disk.read_bytes()
    data_at = disks.DATA_FIRST * SECTOR
    # Its boots are not counted against the system that was not tried yet.
    whole[at : at + 1024] = tried.replace(b"A_TRY=2", b"A_TRY=0")
    assert got[2048 * SECTOR : data_at] == whole[2048 * SECTOR : data_at]
    assert not any(got[data_at : data_at + (1 << 20)])
    assert made.partitions[-1].first_sector == disks.DATA_FIRST


def test_an_image_that_ends_too_early_boots_nothing(tmp_path: Path) -> None:
    path, disk = tmp_path / "rokubox.img", _disk(tmp_path)
    path.write_bytes(disks.image(path)[:-4096])
    with pytest.raises(ImageError, match="ends 4096 bytes too early"):
        writing.write(image.of_file(path), disk, _quiet, _quiet)
    assert not any(disk.read_bytes()[: gpt.TABLE_SECTORS * SECTOR])


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    path, disk = tmp_path / "rokubox.img.xz", _disk(tmp_path)
    packed = bytearray(lzma.compress(disks.image(tmp_path / "raw"), preset=0))
    packed[len(packed) // 2] ^= 1
    path.write_bytes(packed)
    with pytest.raises(ImageError, match="damaged or incomplete"):
        writing.write(image.of_file(path), disk, _quiet, _quiet)


def test_a_disk_that_forgets_boots_nothing(tmp_path: Path) -> None:
    path, disk = tmp_path / "rokubox.img", _disk(tmp_path)
    disks.image(path)

    def forgets(done: int, total: int) -> None:
        if done == total:  # written, and not yet read back
            with disk.open("r+b") as file:
                file.seek(3000 * SECTOR)
                file.write(b"other")

    with pytest.raises(DiskError, match="does not hold what was written"):
        writing.write(image.of_file(path), disk, forgets, _quiet)
    with pytest.raises(ImageError):
        gpt.parse(disk.read_bytes())


def test_too_small_a_disk_is_not_touched(tmp_path: Path) -> None:
    path, disk = tmp_path / "rokubox.img", _disk(tmp_path, 9000)
    disks.image(path)
    before = disk.read_bytes()
    with pytest.raises(DiskChoiceError, match="too small"):
        writing.write(image.of_file(path), disk, _quiet, _quiet)
    assert disk.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" * 9000])
def test_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "holiday.img"
    path.write_bytes(content)
    with pytest.raises(ImageError, match="no image of rokubox"):
        image.of_file(path)


def _program(*arguments: str | Path, typed: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "appliance.flashing", *map(str, arguments)]
    return subprocess.run(command, input=typed, capture_output=True, text=True, check=False)


def test_the_program_writes_a_file_and_holds_it_against_its_sum(tmp_path: Path) -> None:
    path, disk = tmp_path / "rokubox.img", _disk(tmp_path)
    disks.image(path)
    done = _program(path, disk)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no SHA256SUMS" in done.stdout
    assert "read back / 照合: 100 %" in done.stdout
    sums = subprocess.run(["sha256sum", path.name], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    (tmp_path / "SHA256SUMS").write_text(sums)
    assert "no SHA256SUMS" not in _program(path, disk).stdout
    (tmp_path / "SHA256SUMS").write_text(sums.replace(sums[:8], "0" * 8))
    wrong = _program(path, disk)
    assert wrong.returncode == 3
    assert wrong.stderr == f"rokubox-flash: {path}: not what SHA256SUMS says; copy it again\n"


def test_the_program_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "rokubox.img"
    disks.image(path)
    missing = _program(path, "/dev/no-such-disk")
    assert missing.returncode == 2
    assert missing.stderr.startswith("rokubox-flash: /dev/no-such-disk: no disk of this machine")
    none = _program(tmp_path / "none.img", tmp_path / "disk")
    assert (none.returncode, none.stderr) == (3, f"rokubox-flash: {tmp_path}/none.img: No such file or directory\n")
    elsewhere = _program("--install")
    assert elsewhere.returncode == 2
    assert "no rokubox that was started from a stick" in elsewhere.stderr


def test_it_needs_nothing_but_the_standard_library() -> None:
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(Path.cwd())!r});"]
    command[-1] += "import appliance.flashing.__main__"
    subprocess.run(command, check=True)
