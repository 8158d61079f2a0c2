"""Parcels of any bytes, and some that break off."""

import hashlib
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from uploader.parcel import Parcel

NAME = "2026/01/02/20260102T030405+0900_out_0312345678_0698765432_0123456789_p01.zip"
FOLDER = "2026/01/02"


class BrokenOff(OSError):
    """The connection, or we ourselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaking(Parcel):
    """A parcel whose transfer breaks off."""

    after_bytes: int

    async def chunks(self, first: int = 0, end: int | None = None, at_once: int = 1 << 18) -> AsyncIterator[bytes]:
        while first < (stop := min(self.after_bytes, self.size_bytes if end is None else end)):
            chunk = os.pread(self.file.fileno(), min(at_once, stop - first), first)
            yield chunk
            first += len(chunk)
        if end is None or end > self.after_bytes:
            raise BrokenOff("broken off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting(Parcel):
    """A parcel that counts what is sent of it."""

    counted: list[int]

    async def chunks(self, first: int = 0, end: int | None = None, at_once: int = 1 << 18) -> AsyncIterator[bytes]:
        async for chunk in Parcel.chunks(self, first, end, at_once):
            self.counted.append(len(chunk))
            yield chunk


def some_bytes(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@contextmanager
def parcel(folder: Path, content: bytes, path: str = NAME, **changes) -> Iterator[Parcel]:
    """A parcel with this content."""
    file = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.bytes"
    file.write_bytes(content)
    with file.open("rb") as opened:
        made = Parcel(file=opened, path=path, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        yield replace(made, **changes)


def breaking(whole: Parcel, after_bytes: int) -> Breaking:
    return Breaking(**fields(whole), after_bytes=after_bytes)


def counting(whole: Parcel) -> Counting:
    return Counting(**fields(whole), counted=[])


def fields(whole: Parcel) -> dict:
    names = ("file", "path", "size_bytes", "sha256", "sent", "received", "read_back")
    return {name: getattr(whole, name) for name in names}
