"""What assembly has in hand, where neither a kill nor a crash takes it; and how the process before this one died.

Whoever is killed counts nothing himself. So what is worked on is noted before (a write into the page cache: it outlives
the process, which is all it must), and the C library's handler of fatal signals leaves a trace. The next process reads
both:

| trace                        | what it was                          | counts                                       |
|------------------------------|--------------------------------------|----------------------------------------------|
| ends in a system call        | the watchdog's, while the disk stood | never                                        |
|   of the disk                |                                      |                                              |
| ends elsewhere               | the watchdog's, or a crash           | as a death over what was in hand             |
| none                         | `kill -9`, memory, power             | apart: it may have struck at random          |
"""

import faulthandler
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

_MARK_NAME, _TRACE_NAME = "assembly.inhand", "assembly.trace"
_MARK = struct.Struct("<96s")
_DISK_MODULES = ("/storage/disk.py", "/capture/journalreader.py", "/capture/journalscan.py")
_TRACE_BYTES = 64 << 10


class Death(Enum):
    """How a process ended that had something in hand."""

    AT_DISK = auto()
    OVER_IT = auto()
    UNEXPLAINED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the process before this one left."""

    subject: str
    """What it had in hand."""
    death: Death


class InHand:
    """The mark and the trace, in files of one directory. A disk that does not take them costs nothing but them."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _MARK_NAME
        self._trace_path = directory / _TRACE_NAME
        self._descriptor = -1
        self._subject = ""

    def open(self) -> None:
        """Begin; what `found` would tell of the process before this one is gone."""
        with suppress(OSError):
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            self._note("")  # before the trace goes: a mark without one is another process's
            trace = os.open(self._trace_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
            faulthandler.enable(trace)  # which keeps the descriptor as long as the process lives

    def close(self) -> None:
        """Nothing is in hand any more."""
        self._note("")
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @contextmanager
    def holding(self, subject: str) -> Iterator[None]:
        """Within the context a death is the subject's, or that of a subject within it; ASCII, 96 letters at most."""
        outer = self._subject
        self._note(subject)
        try:
            yield
        finally:
            self._note(outer)

    def _note(self, subject: str) -> None:
        self._subject = subject
        if self._descriptor >= 0:
            with suppress(OSError):
                os.pwrite(self._descriptor, _MARK.pack(subject.encode("ascii")), 0)

    def found(self) -> Found | None:
        """Return what the process before this one died over; None when it had nothing in hand."""
        try:
            mark = self._path.read_bytes()[: _MARK.size].rstrip(b"\0").decode("ascii", "replace")
        except OSError:
            return None
        if not mark:
            return None
        try:
            with self._trace_path.open("rb") as file:
                trace = file.read(_TRACE_BYTES).decode("utf-8", "replace")
        except OSError:
            trace = ""
        return Found(subject=mark, death=_death(trace))


def _death(trace: str) -> Death:
    """Judge by what the C library's handler wrote: the innermost place of the main thread comes first."""
    if not trace:
        return Death.UNEXPLAINED
    innermost = next((line for line in trace.splitlines() if line.startswith("  File ")), "")
    return Death.AT_DISK if any(f'{name}"' in innermost for name in _DISK_MODULES) else Death.OVER_IT
