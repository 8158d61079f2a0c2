"""What a capture that died left at the end of its last journal file: the half of a block is cut off.

Nothing depends on the cut: readers pass over what is no block. A damaged place that intact blocks follow stays as it
is.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from crc32c import crc32c

from capture import journal, journalscan
from capture.errors import JournalError
from capture.journalscan import CHUNK_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class TornTail:
    """What was cut off."""

    file: int
    """Number of the file."""
    offset: int
    """Where in the file the last whole block ends."""
    bytes: int
    """Bytes cut off there."""


def repair(directory: Path, number: int) -> TornTail | None:
    """Check every block of a file that nobody writes, its data too, and cut off what follows the last whole one.

    Returns:
        What was cut off; None when there was nothing, or it cannot be cut.
    """
    try:
        descriptor = os.open(journalscan.path_of(directory, number), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        before = os.fstat(descriptor)
        end = _end_of_blocks(descriptor, before.st_size)
        if end == before.st_size:
            return None
        os.ftruncate(descriptor, end)
        # The time of the last write says how old the file is.
        os.utime(descriptor, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.fdatasync(descriptor)
        return TornTail(file=number, offset=end, bytes=before.st_size - end)
    except (OSError, JournalError):
        return None
    finally:
        os.close(descriptor)


def _end_of_blocks(descriptor: int, size: int) -> int:
    """Where the last block ends that is whole and intact."""
    end = offset = 0
    while offset < size:
        header = journalscan.head_at(descriptor, offset)
        if header is None:
            offset = journalscan.find_head(descriptor, offset + 1, size)
            continue
        past = offset + int(header[0]["bytes"])
        if past <= size and _data_fit(descriptor, offset, header):
            end = past
        offset = past  # Not a search: payloads may hold what looks like a block.
    return end


def _data_fit(descriptor: int, offset: int, header: npt.NDArray[np.void]) -> bool:
    """Tell whether the data of a block whose directory fits are as they were written."""
    head = header[0]
    start = journal.HEADER.itemsize + journal.directory_bytes(header)
    if head["kind"] != journal.BlockKind.MEDIA:
        return _checksum(descriptor, offset + start, int(head["bytes"]) - start) == int(head["data_crc"])
    try:
        block = journal.parse(np.frombuffer(journalscan.read(descriptor, offset, start), np.uint8), offset)
    except JournalError:
        return False
    assert isinstance(block, journal.MediaBlock)
    extents = block.extents
    sizes = extents["rows"].astype(np.int64) * (extents["captured"].astype(np.int64) + journal.ROW_PREFIX_BYTES)
    if int(sizes.sum()) > int(head["bytes"]):
        return False
    parts = zip(extents["address"].tolist(), sizes.tolist(), extents["crc"].tolist(), strict=True)
    return all(_checksum(descriptor, address, part_bytes) == crc for address, part_bytes, crc in parts)


def _checksum(descriptor: int, offset: int, size: int) -> int:
    crc: int = 0
    end = offset + size
    for at in range(offset, end, CHUNK_BYTES):
        crc = crc32c(journalscan.read(descriptor, at, min(CHUNK_BYTES, end - at)), crc)
    return crc
