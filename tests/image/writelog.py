"""A disk as a power cut would have left it, out of the log of what was written to it.

QEMU's `blklogwrites` writes the log; its format is that of the kernel's dm-log-writes: one sector that says how many
entries there are, then for each entry one sector and the sectors that were written. An entry is logged once the disk
has it.

What lies before the last flush is on the disk. Of what lies behind it, each sector of each write may be there or not:
the cache of a disk keeps no order, and no write is whole. A write that began while a flush was under way and was done
first counts as flushed, which a log of endings cannot tell apart.
"""

import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO

_SUPER = struct.Struct("<QQQI")
"""Magic, version, number of entries, bytes of a sector."""
_ENTRY = struct.Struct("<QQQQ")
"""First sector, number of sectors, flags, length of a mark."""
_MAGIC, _VERSION = 0x6A736677736872, 1
_FLUSH, _FUA, _DISCARD, _MARK = 1, 2, 4, 8
_PIECE_BYTES = 1 << 22
OPTIONS = "file.driver={format},file.file.driver=file,file.file.filename={disk},log.driver=file,log.filename={log}"
ARGUMENTS = ("-global", "virtio-blk-device.write-zeroes=off")
"""QEMU logs "write zeroes" wrongly when other writes are under way: the machine is not offered it."""


class Fate(Enum):
    """What becomes of a write that was not flushed when the power went."""

    WHOLE = auto()
    LOST = auto()
    TORN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the disk was told."""

    first_sector: int
    sectors: int
    """How many sectors are written or discarded; 0 for a flush alone."""
    is_flush: bool
    """Everything before it is on the disk from then on."""
    is_through: bool
    """Written past the cache (FUA)."""
    is_discard: bool
    """Reads as zeroes from then on; nothing of it is in the log."""
    at_bytes: int
    """Where in the log the sectors are that were written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteLog:
    """A log that was read."""

    path: Path
    sector_bytes: int
    entries: tuple[Entry, ...]

    def flushes(self) -> list[int]:
        """Numbers of the entries that are flushes."""
        return [number for number, entry in enumerate(self.entries) if entry.is_flush]

    def last_flush(self, point: int) -> int:
        """How many of the first `point` entries are on the disk whatever happens: those up to the last flush."""
        return next((number for number in range(point, 0, -1) if self.entries[number - 1].is_flush), 0)

    def points(self, count: int, seed: int) -> list[int]:
        """Where the power goes: so many numbers of entries, drawn at random without repetition, in order."""
        among = range(len(self.entries) + 1)
        return sorted(random.Random(seed).sample(among, min(count, len(among))))


def options(disk: Path, log: Path, disk_format: str = "qcow2") -> str:
    """Options of a drive of QEMU that logs what is written to a disk (`Fittings.disk`, with `ARGUMENTS`)."""
    log.touch()
    # The log is not lost with the machine, so it need not wait for this machine's own disk.
    return "driver=blklogwrites,log-super-update-interval=1,log.cache.no-flush=on," + OPTIONS.format(
        format=disk_format, disk=disk, log=log
    )


def read(path: Path) -> WriteLog:
    """Raises ValueError when it is no such log, or ends within an entry."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_SUPER.size)
        if len(head) < _SUPER.size:
            raise ValueError(f"{path}: no log of writes")
        magic, version, count, sector_bytes = _SUPER.unpack(head)
        if (magic, version) != (_MAGIC, _VERSION):
            raise ValueError(f"{path}: no log of writes")
        return WriteLog(path=path, sector_bytes=sector_bytes, entries=tuple(_entries(file, count, sector_bytes, size)))


def _entries(file: BinaryIO, count: int, sector_bytes: int, size: int) -> Iterator[Entry]:
    at = sector_bytes
    for number in range(count):
        file.seek(at)
        head = file.read(_ENTRY.size)
        if len(head) < _ENTRY.size:
            raise ValueError(f"{file.name}: ends before entry {number} of {count}")
        first_sector, sectors, flags, mark_bytes = _ENTRY.unpack(head)
        if flags & ~(_FLUSH | _FUA | _DISCARD | _MARK):
            raise ValueError(f"{file.name}: entry {number} has flags {flags:#x}")
        at += sector_bytes
        is_discard = bool(flags & _DISCARD)
        yield Entry(
            first_sector=first_sector,
            sectors=sectors,
            is_flush=bool(flags & _FLUSH),
            is_through=bool(flags & _FUA),
            is_discard=is_discard,
            at_bytes=at,
        )
        # A mark is text in place of sectors; QEMU makes none.
        at += mark_bytes if flags & _MARK else 0 if is_discard else sectors * sector_bytes
        if at > size:
            raise ValueError(f"{file.name}: ends within entry {number} of {count}")


class Rebuilder:
    """Makes the disk at one point after another, in order: what is common to all is written once."""

    def __init__(self, log: WriteLog, base: Path, flushed: Path) -> None:
        """`base` is the disk before the first entry (raw), `flushed` a file of its own to work with."""
        self._log = log
        self._flushed = flushed
        self._done = 0
        copy(base, flushed)

    def rebuild(self, out: Path, point: int, seed: int) -> None:
        """The disk after a power cut at that point, into a file of its own. Points must not go backwards."""
        durable = self._log.last_flush(point)
        assert durable >= self._done, "points go forwards"
        with self._log.path.open("rb") as source, self._flushed.open("r+b") as disk:
            for entry in self._log.entries[self._done : durable]:
                self._write(source, disk, entry, 0, entry.sectors)
        self._done = durable
        copy(self._flushed, out)
        chance = random.Random(f"{seed} {point}")
        with self._log.path.open("rb") as source, out.open("r+b") as disk:
            for entry in self._log.entries[durable:point]:
                for first, sectors in _surviving(entry, chance):
                    self._write(source, disk, entry, first, sectors)

    def _write(self, source: BinaryIO, disk: BinaryIO, entry: Entry, first: int, sectors: int) -> None:
        """Bring sectors `first` and following of an entry to the disk."""
        size = self._log.sector_bytes
        source.seek(entry.at_bytes + first * size)
        disk.seek((entry.first_sector + first) * size)
        left = sectors * size
        while left:
            count = min(left, _PIECE_BYTES)
            disk.write(bytes(count) if entry.is_discard else source.read(count))
            left -= count


def _surviving(entry: Entry, chance: random.Random) -> Iterator[tuple[int, int]]:
    """Which sectors of a write that was not flushed are on the disk, as runs: first one, and how many."""
    fate = Fate.WHOLE if entry.is_through else chance.choice(list(Fate))
    if fate is Fate.WHOLE and entry.sectors:
        yield 0, entry.sectors
    elif fate is Fate.TORN:
        begin = None
        for sector in range(entry.sectors + 1):
            is_there = sector < entry.sectors and chance.random() < 0.5
            if is_there and begin is None:
                begin = sector
            elif not is_there and begin is not None:
                yield begin, sector - begin
                begin = None


def rebuild(log: WriteLog, base: Path, out: Path, point: int, seed: int) -> None:
    """The disk after a power cut at one point, out of the disk before the first entry (raw)."""
    flushed = out.with_name(out.name + ".flushed")
    Rebuilder(log, base, flushed).rebuild(out, point, seed)
    flushed.unlink()


def raw(disk: Path, out: Path, disk_format: str = "qcow2") -> None:
    """A disk as one raw file with holes, as it has to be before the machine that logs is switched on."""
    subprocess.run(["qemu-img", "convert", "-f", disk_format, "-O", "raw", str(disk), str(out)], check=True)


def copy(source: Path, out: Path) -> None:
    """A copy with the holes of the original."""
    tool = shutil.which("cp")
    assert tool is not None
    subprocess.run([tool, "--sparse=auto", "--reflink=auto", str(source), str(out)], check=True)
