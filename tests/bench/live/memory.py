"""A machine whose memory is full of page cache, as that of a recorder is after its first hour.

Without that a measurement tells more about the machine's youth than about the recorder: the journal and the recordings
would be written to memory that was never touched, and in a virtual machine whose host takes free memory back, each
first touch costs as much as copying the page several times.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

SPARE_BYTES = 3 << 30
"""Left free: for the recorder's own memory, the sender's and everybody else's."""
_PIECE_BYTES = 16 << 20


@contextlib.contextmanager
def full_of_page_cache(folder: Path) -> Iterator[int]:
    """Fill what is free with pages that the kernel may take back at once; yields how many bytes that was.

    They are those of a file that is one hole: reading it takes memory, and no room on the disk.
    """
    size = max(0, _free_bytes() - SPARE_BYTES)
    hole = folder / "hole"
    with hole.open("w+b", buffering=0) as file:
        hole.unlink()
        file.truncate(size)
        room = bytearray(_PIECE_BYTES)
        for at in range(0, size, _PIECE_BYTES):
            os.preadv(file.fileno(), [room], at)
        yield size


def _free_bytes() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("MemFree:"))
    return int(line.split()[1]) * 1024
