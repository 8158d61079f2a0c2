"""The image as it is read: a file, compressed or not, or the disk that this box was booted from."""

import contextlib
import dataclasses
import hashlib
import lzma
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from appliance.flashing import gpt
from appliance.flashing.errors import ImageError

SUMS = "SHA256SUMS"
"""Beside an image: what its file has to be, as sha256sum(1) writes it."""
BLOCK_BYTES = 1 << 20
_ENVIRONMENT, _ENVIRONMENT_BYTES = b"# GRUB Environment Block\n", 1024
_TRY = re.compile(rb"^([AB]_TRY=)[0-9]$", re.MULTILINE)
_TABLE_BYTES = gpt.TABLE_SECTORS * gpt.SECTOR_BYTES
_DATA_NAMES = ("data-unmade", "data")
"""Of the last partition: as built, and once it is in use."""
_DATA_SECTORS = 8 * 1024 * 1024 // gpt.SECTOR_BYTES
"""Of the last partition, until the first boot makes it as large as the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What is going to be on a disk."""

    path: Path
    table: gpt.Table
    """With its last partition as small as it can be."""
    content_bytes: int
    """How much is read, from the beginning; what follows is empty."""
    is_tried: bool = False
    """Whether it has been booted from, which GRUB counts on it."""

    @property
    def wanted_bytes(self) -> int:
        """The smallest disk that it fits."""
        return (self.table.partitions[-1].last_sector + 1 + gpt.BACKUP_SECTORS) * gpt.SECTOR_BYTES

    def blocks(self) -> Iterator[bytes]:
        """Its content, `BLOCK_BYTES` at a time.

        Raises:
            ImageError: it ends before its time, or cannot be read.
        """
        left = self.content_bytes
        with _opened(self.path) as file:
            while left:
                block = _read(file, self.path, min(BLOCK_BYTES, left))
                if not block:
                    raise ImageError(f"{self.path}: ends {left} bytes too early; copy it again")
                left -= len(block)
                yield _untried(block) if self.is_tried else block


def of_file(path: Path) -> Image:
    """Open an image file, `.img` or `.img.xz`.

    Raises:
        ImageError: it is none, or a damaged one.
    """
    table = _table(path)
    return Image(path=path, table=_smallest(table), content_bytes=table.disk_sectors * gpt.SECTOR_BYTES)


def of_running_system(disk: Path) -> Image:
    """Take the disk that this box was booted from as the image: its system, and nothing of what is kept on it.

    Raises:
        ImageError: it is none of ours.
    """
    table = _table(disk)
    return Image(
        path=disk,
        table=_smallest(table),
        content_bytes=table.partitions[-1].first_sector * gpt.SECTOR_BYTES,
        is_tried=True,
    )


def check_sum(path: Path, progress: Callable[[int, int], None]) -> bool:
    """Hold a file against `SHA256SUMS` beside it; False when that says nothing of it.

    Raises:
        ImageError: it is another one.
    """
    wanted = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in path.with_name(SUMS).read_text("ascii").splitlines():
            digest, _, name = line.partition(" ")
            if name.strip().lstrip("*") == path.name:
                wanted = digest
    if not wanted:
        return False
    digest_found, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest_found.update(block)
            done += len(block)
            progress(done, total)
    if digest_found.hexdigest() != wanted:
        raise ImageError(f"{path}: not what {SUMS} says; copy it again")
    return True


def _untried(block: bytes) -> bytes:
    """With no try counted against a slot, if GRUB's environment is in it (1,024 bytes with a signature)."""
    at = block.find(_ENVIRONMENT)
    if at < 0:
        return block
    end = at + _ENVIRONMENT_BYTES
    return block[:at] + _TRY.sub(rb"\g<1>0", block[at:end]) + block[end:]


def _table(path: Path) -> gpt.Table:
    with _opened(path) as file:
        try:
            table = gpt.parse(_read(file, path, _TABLE_BYTES))
        except ImageError as error:
            raise ImageError(f"{path}: no image of rokubox: {error}") from error
    if not table.partitions or table.partitions[-1].name not in _DATA_NAMES:
        raise ImageError(f"{path}: no image of rokubox: its last partition is not {_DATA_NAMES[0]!r}")
    return table


def _smallest(table: gpt.Table) -> gpt.Table:
    *others, data = table.partitions
    last = min(data.last_sector, data.first_sector + _DATA_SECTORS - 1)
    # Whatever is kept there is not taken along: the next box makes its own.
    fresh = dataclasses.replace(data, last_sector=last, name=_DATA_NAMES[0])
    return dataclasses.replace(table, partitions=(*others, fresh))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        raw = path.open("rb")
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from error
    with raw:
        if path.suffix == ".xz":
            with lzma.open(raw) as unpacked:
                yield unpacked
        else:
            yield raw


def _read(file: IO[bytes], path: Path, size: int) -> bytes:
    try:
        return file.read(size)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ImageError(f"{path}: damaged or incomplete; copy it again") from error
