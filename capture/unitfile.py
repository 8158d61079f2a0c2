"""A file of units of 128 KiB, written once from front to back and read in any order, past the page cache.

Fresh memory is what costs most where a host takes back what its guest does not use (up to 4 ns a byte), and the page
cache of a file that is written and read once is nothing else. Here the same few buffers are used again and again.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path

from capture.errors import JournalError

UNIT_BYTES = 128 << 10
"""A multiple of the block size of every disk."""
_CACHED_UNITS = 256
"""Neighbours in a unit are streams that began one after the other: what is wanted next, mostly."""


class UnitFile:
    """One file. It has no name where the file system can do that (O_TMPFILE), and loses it at once elsewhere."""

    def __init__(self, directory: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115
        self._units = 0
        with contextlib.suppress(OSError):  # then it goes through the page cache, as files do
            self._set_flags(lambda flags: flags | os.O_DIRECT)

    def append(self, units: memoryview) -> None:
        """Write whole units behind those that are there. `units` begins at a page.

        Raises:
            OSError: the disk did not take them all; the file is as before.
        """
        base, done = self._units * UNIT_BYTES, 0
        while done < len(units):
            written = self._aligned(partial(os.pwrite, self._file.fileno(), units[done:], base + done))
            done += written - written % mmap.PAGESIZE
        self._units += len(units) // UNIT_BYTES

    def read(self, number: int, unit: memoryview) -> None:
        """Fill `unit`, which begins at a page.

        Raises:
            JournalError: it is not there.
        """
        if self._aligned(partial(os.preadv, self._file.fileno(), [unit], number * UNIT_BYTES)) != UNIT_BYTES:
            raise JournalError("journal file is cut short")

    def _aligned(self, call: Callable[[], int]) -> int:
        """Read or write; a file system that wants other borders than pages gets it through the page cache after all."""
        try:
            return call()
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._set_flags(lambda flags: flags & ~os.O_DIRECT)
            return call()

    def _set_flags(self, change: Callable[[int], int]) -> None:
        descriptor = self._file.fileno()
        fcntl.fcntl(descriptor, fcntl.F_SETFL, change(fcntl.fcntl(descriptor, fcntl.F_GETFL)))

    def close(self) -> None:
        """Drop the file."""
        self._file.close()


class UnitCache:
    """The units read last, of any number of files."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _CACHED_UNITS * UNIT_BYTES)
        view = memoryview(self._memory)
        self._free = [view[place : place + UNIT_BYTES] for place in range(0, len(view), UNIT_BYTES)]
        self._units: OrderedDict[tuple[UnitFile, int], memoryview] = OrderedDict()

    def unit(self, file: UnitFile, number: int) -> memoryview:
        """Return a unit; valid until the next one is asked for.

        Raises:
            JournalError: it is not there.
            OSError: the disk does not give it.
        """
        key = (file, number)
        unit = self._units.get(key)
        if unit is not None:
            self._units.move_to_end(key)
            return unit
        if not self._free:
            self._free.append(self._units.popitem(last=False)[1])
        file.read(number, self._free[-1])
        unit = self._units[key] = self._free.pop()
        return unit

    def forget(self, file: UnitFile) -> None:
        """Let go of a file's units."""
        for key in [key for key in self._units if key[0] is file]:
            self._free.append(self._units.pop(key))
