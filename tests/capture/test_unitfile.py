import fcntl
import mmap
import os
from pathlib import Path

import pytest

from capture.errors import JournalError
from capture.unitfile import UNIT_BYTES, UnitFile


def units(count: int) -> memoryview:
    """Whole units, each of its own byte, beginning at a page."""
    view = memoryview(mmap.mmap(-1, count * UNIT_BYTES))
    for number in range(count):
        view[number * UNIT_BYTES : (number + 1) * UNIT_BYTES] = bytes([number + 1]) * UNIT_BYTES
    return view


def read(file: UnitFile, number: int) -> bytes:
    unit = memoryview(mmap.mmap(-1, UNIT_BYTES))
    file.read(number, unit)
    return bytes(unit)


def test_units_are_read_in_any_order(tmp_path: Path) -> None:
    file = UnitFile(tmp_path)
    file.append(units(3))
    file.append(units(2))
    assert [read(file, number)[0] for number in (4, 0, 2, 1, 3)] == [2, 1, 3, 2, 1]
    with pytest.raises(JournalError):
        read(file, 5)
    file.close()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_with_other_borders_gets_it_through_the_page_cache(tmp_path: Path) -> None:
    """A buffer that begins beside a page is refused by O_DIRECT, as pages are by disks of larger blocks."""
    file = UnitFile(tmp_path)
    descriptor = file._file.fileno()
    beside = memoryview(bytearray(UNIT_BYTES + 1))[1:]
    beside[:] = b"x" * UNIT_BYTES
    if not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
        file.close()
        pytest.skip("this file system knows no O_DIRECT")
    file.append(beside)
    assert read(file, 0) == b"x" * UNIT_BYTES
    assert not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT
    file.close()
