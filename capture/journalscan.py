"""The journal's named files: what they are called, and where in them a block begins.

A block's header and directory carry a checksum of their own, so that a damaged place is left behind by looking for the
next header that is followed by the directory it was written with. What cannot be read is as what is not there.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from capture import journal
from capture.errors import JournalError
from capture.journalfile import OFFSET_BITS

CHUNK_BYTES = 1 << 20
"""Files are gone through in pieces of this size."""

_NAME = re.compile(r"([0-9]{8})\.rkj")
_START = journal.MAGIC + journal.VERSION.to_bytes(2, "little")
_CANDIDATE_COST_BYTES = 4096
_MAX_SEARCH_BYTES = 1 << 30
"""A search ends after directories of so many bytes in all: payloads may be full of what looks like a header."""


def path_of(directory: Path, number: int) -> Path:
    """Where the journal's file of this number is."""
    return directory / f"{number:08d}.rkj"


def numbers(directory: Path) -> list[int]:
    """The numbers of the files that are there, ascending.

    Raises:
        OSError: the directory cannot be read.
    """
    return sorted(int(match[1]) for name in os.listdir(directory) if (match := _NAME.fullmatch(name)))


def is_beyond(directory: Path, position: int) -> bool:
    """Whether a position lies behind every file: the journal it was in is gone, and a new one has begun."""
    try:
        found = numbers(directory)
    except FileNotFoundError:
        found = []
    return position >> OFFSET_BITS > max(found, default=0)


def is_at(path: Path, descriptor: int) -> bool:
    """Tell whether the path leads to the open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


def read(descriptor: int, offset: int, size: int) -> bytes:
    """Read `size` bytes, or as many of them as can be read."""
    try:
        return os.pread(descriptor, size, offset)
    except OSError:
        return b""


def header_at(descriptor: int, offset: int) -> npt.NDArray[np.void] | None:
    """Read what looks like a header: an array of one `HEADER`, not checked against its checksum."""
    try:
        return journal.parse_header(read(descriptor, offset, journal.HEADER.itemsize))
    except JournalError:
        return None


def head_at(descriptor: int, offset: int) -> npt.NDArray[np.void] | None:
    """Read the header of a block whose header and directory are there and fit their checksum."""
    header = header_at(descriptor, offset)
    if header is None or not _directory_is_there(descriptor, offset, header):
        return None
    return header if _directory_fits(descriptor, offset, header) else None


def find_head(descriptor: int, start: int, end: int) -> int:
    """Where the first block at or after `start` begins whose header and directory are intact; `end` if there is none.

    Raises:
        JournalError: given up, too much looks like a header and is not.
    """
    cost = 0
    for offset in _candidates(descriptor, start, end):
        header = header_at(descriptor, offset)
        cost += _CANDIDATE_COST_BYTES
        if header is not None and _directory_is_there(descriptor, offset, header):
            if _directory_fits(descriptor, offset, header):
                return offset
            cost += journal.directory_bytes(header)
        if cost > _MAX_SEARCH_BYTES:
            raise JournalError("too many false block headers")
    return end


def _candidates(descriptor: int, start: int, end: int) -> Iterator[int]:
    for base in range(start, end, CHUNK_BYTES):
        chunk = read(descriptor, base, CHUNK_BYTES + len(_START) - 1)
        hit = chunk.find(_START)
        while hit >= 0:
            yield base + hit
            hit = chunk.find(_START, hit + 1)


def _directory_is_there(descriptor: int, offset: int, header: npt.NDArray[np.void]) -> bool:
    """Asked before anything is read, so that a forged size allocates nothing."""
    return offset + journal.HEADER.itemsize + journal.directory_bytes(header) <= os.fstat(descriptor).st_size


def _directory_fits(descriptor: int, offset: int, header: npt.NDArray[np.void]) -> bool:
    raw = read(descriptor, offset + journal.HEADER.itemsize, journal.directory_bytes(header))
    return journal.checksum_fits(header, np.frombuffer(raw, np.uint8))
