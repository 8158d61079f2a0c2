"""Disks rebuilt from QEMU's own log: what was flushed is there, the rest in any of its sectors or not."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.image import writelog

SECTOR = 512
SIZE = 1 << 20
needs_qemu = pytest.mark.skipif(shutil.which("qemu-io") is None, reason="qemu-utils is not installed")


@pytest.fixture(name="log")
def _log(tmp_path: Path) -> writelog.WriteLog:
    """11 at 0, 22 at 8 KiB, flush, 33 at 0 again, 44 at 64 KiB (8 KiB), a discard at 8 KiB, flush, 55 at 0."""
    disk = tmp_path / "disk.raw"
    base = tmp_path / "base.raw"
    for path in (disk, base):
        path.write_bytes(bytes(SIZE))
    orders = ["write -P 0x11 0 4k", "write -P 0x22 8k 4k", "flush", "write -P 0x33 0 4k", "write -P 0x44 64k 8k"]
    orders += ["discard 8k 4k", "flush", "write -P 0x55 0 4k"]
    command = ["qemu-io", "-t", "writeback", "-d", "unmap"]
    for order in orders:
        command += ["-c", order]
    drive = writelog.options(disk, tmp_path / "log", "raw")
    subprocess.run([*command, "--image-opts", drive], check=True, capture_output=True)
    return writelog.read(tmp_path / "log")


@needs_qemu
def test_what_the_log_says(log: writelog.WriteLog) -> None:
    said = [(entry.first_sector, entry.sectors, entry.is_flush, entry.is_discard) for entry in log.entries]
    # qemu-io flushes once more when it ends.
    assert said[:8] == [
        (0, 8, False, False),
        (16, 8, False, False),
        (0, 0, True, False),
        (0, 8, False, False),
        (128, 16, False, False),
        (16, 8, False, True),
        (0, 0, True, False),
        (0, 8, False, False),
    ]
    assert log.flushes()[:2] == [2, 6]
    assert [log.last_flush(point) for point in range(9)] == [0, 0, 0, 3, 3, 3, 3, 7, 7]


@needs_qemu
def test_what_was_flushed_is_there(log: writelog.WriteLog, tmp_path: Path) -> None:
    writelog.rebuild(log, tmp_path / "base.raw", tmp_path / "out", 7, seed=1)
    disk = (tmp_path / "out").read_bytes()
    wanted = bytearray(SIZE)
    wanted[0:4096] = b"\x33" * 4096
    wanted[65536:73728] = b"\x44" * 8192
    assert disk == wanted


@needs_qemu
def test_of_the_rest_each_sector_may_be_there(log: writelog.WriteLog, tmp_path: Path) -> None:
    seen: set[bytes] = set()
    rebuilder = writelog.Rebuilder(log, tmp_path / "base.raw", tmp_path / "flushed")
    for seed in range(40):
        rebuilder.rebuild(tmp_path / "out", 5, seed)
        disk = (tmp_path / "out").read_bytes()
        sectors = [disk[at : at + SECTOR] for at in range(0, SIZE, SECTOR)]
        assert all(len(set(sector)) == 1 for sector in sectors), "a sector is whole"
        assert {sector[0] for sector in sectors[0:8]} <= {0x11, 0x33}
        assert {sector[0] for sector in sectors[16:24]} == {0x22}
        assert {sector[0] for sector in sectors[128:144]} <= {0x00, 0x44}
        seen.add(bytes(sector[0] for sector in sectors))
    assert len(seen) > 10


@needs_qemu
def test_the_same_seed_gives_the_same_disk(log: writelog.WriteLog, tmp_path: Path) -> None:
    for name in ("one", "other"):
        writelog.rebuild(log, tmp_path / "base.raw", tmp_path / name, 6, seed=3)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@needs_qemu
def test_points_are_in_order_and_reproducible(log: writelog.WriteLog) -> None:
    points = log.points(4, seed=5)
    assert points == sorted(set(points)) == log.points(4, seed=5)
    assert len(points) == 4
    assert log.points(99, seed=5) == list(range(len(log.entries) + 1))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "no log of writes"),
        (bytes(512), "no log of writes"),
        ((0x6A736677736872).to_bytes(8, "little") + b"\1" + bytes(7) + b"\1" + bytes(7) + b"\0\2" + bytes(486), "ends"),
    ],
)
def test_what_is_no_log(content: bytes, text: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(ValueError, match=text):
        writelog.read(tmp_path / "log")
