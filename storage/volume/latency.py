"""How long the disk takes to keep something: a small file written and brought to it (fsync(2)), a few times."""

import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from storage.disk import Disk

WRITES = 9
_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What was measured."""

    median_ms: float
    """Of all writes."""
    longest_ms: float
    """Of the slowest."""


def measured(folder: Path, disk: Disk | None = None) -> Latency | None:
    """Measure in `folder`, with a hidden file that is gone afterwards; None when nothing can be written there."""
    disk = disk or Disk()
    path = folder / f".latency.tmp-{os.getpid()}"
    try:
        descriptor = disk.create(path)
    except OSError:
        return None
    try:
        took = [_write(disk, descriptor) for _ in range(WRITES)]
    except OSError:
        return None
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)
    return Latency(median_ms=statistics.median(took), longest_ms=max(took))


def _write(disk: Disk, descriptor: int) -> float:
    began = time.perf_counter()
    disk.write(descriptor, os.urandom(_BYTES))
    disk.fsync(descriptor)
    return (time.perf_counter() - began) * 1000
