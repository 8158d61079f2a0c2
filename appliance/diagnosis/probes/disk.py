"""The archive's disk: health, room, and whether what is written comes back (write, fsync, read, hash)."""

import hashlib
import os
import time
from pathlib import Path

from appliance.condition import observed
from appliance.condition.seen import DiskSeen
from appliance.diagnosis.evidence import Cause, Check, Figure, State, Step
from storage.archive import Archive
from storage.disk import Disk
from storage.errors import StorageError
from storage.volume import volume
from storage.volume.smart import Health, Verdict

BYTES = 1 << 20
SLOW_MS = 2000.0
"""So long for one MiB: capture's rings outlast it, recordings wait."""
_FRESH_NS = 2 * 3600 * 1_000_000_000
"""Who owns the archive looks every hour, and may ask the disk what others may not."""


def health(archive: Archive) -> Check:
    """Ask the disk how it is."""
    seen = observed.read(archive.run, observed.DISK, DiskSeen)
    try:
        found = volume.describe(archive.root)
    except StorageError:
        return Check(step=Step.SMART, state=State.UNKNOWN, cause=Cause.NOT_MOUNTED)
    if not found.disk:
        return Check(step=Step.SMART, state=State.NOT_OBSERVABLE)
    if seen is not None and seen.at_ns > time.time_ns() - _FRESH_NS and seen.health is not Verdict.UNKNOWN:
        return _of_health(seen.health, seen.temperature_c, found.disk)
    told = volume.health(found)
    if told.verdict is Verdict.UNKNOWN and _has_none(told):
        return Check(step=Step.SMART, state=State.NOT_OBSERVABLE, target=found.disk)
    return _of_health(told.verdict, told.temperature_c, found.disk)


def _of_health(verdict: Verdict, temperature_c: int | None, disk: str) -> Check:
    state, cause = {
        Verdict.GOOD: (State.OK, Cause.NONE),
        Verdict.WARNING: (State.OK, Cause.LOW),
        Verdict.FAILING: (State.NG, Cause.FAILING),
        Verdict.UNKNOWN: (State.UNKNOWN, Cause.NOT_PERMITTED),
    }[verdict]
    figures = () if temperature_c is None else (Figure(name="temperature", value=temperature_c, unit="°C"),)
    return Check(step=Step.SMART, state=state, cause=cause, target=disk, figures=figures)


def _has_none(told: Health) -> bool:
    """Whether the disk itself says that it has no such account: a virtual one, most bridges to USB."""
    words = " ".join(told.problems).lower()
    none = ("unavailable", "unable to detect device type", "lacks smart", "not supported")
    return any(said in words for said in none)


def room(archive: Archive, reserve_bytes: int, volume_uuid: str) -> Check:
    """Look whether the right file system is there, can be written, and has room."""
    target = str(archive.root)
    try:
        volume.require(archive.root, volume_uuid)
        found = volume.describe(archive.root)
        status = os.statvfs(archive.root)
    except (StorageError, OSError):
        return Check(step=Step.FILESYSTEM, state=State.NG, cause=Cause.NOT_MOUNTED, target=target)
    free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    figures = (Figure(name="free", value=free, of=total, unit="bytes"),)
    cause = Cause.NONE
    if found.mount.read_only:
        cause = Cause.READ_ONLY
    elif free < reserve_bytes or (status.f_files and not status.f_favail):
        cause = Cause.FULL
    state = State.NG if cause else State.OK
    return Check(step=Step.FILESYSTEM, state=state, cause=cause, target=target, figures=figures)


def write(folder: Path, disk: Disk | None = None) -> Check:
    """Write, bring to the disk, read back from it, and compare, in a folder on it; nothing is left behind."""
    disk, content = disk or Disk(), os.urandom(BYTES)
    path = folder / f".selftest.tmp-{os.getpid()}"
    began = time.perf_counter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = disk.create(path)
    except OSError as error:
        return _refused(error, str(folder))
    try:
        view = memoryview(content)
        while view:
            view = view[disk.write(descriptor, view) :]
        disk.fsync(descriptor)
        took_ms = (time.perf_counter() - began) * 1000
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # or it would come back from memory
    except OSError as error:
        return _refused(error, str(folder))
    finally:
        os.close(descriptor)
    try:
        same = hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()
    except OSError as error:
        return _refused(error, str(folder))
    finally:
        path.unlink(missing_ok=True)
    slow = took_ms > SLOW_MS
    return Check(
        step=Step.DISK_WRITE,
        state=State.OK if same and not slow else State.NG,
        cause=Cause.NONE if same and not slow else Cause.SLOW if same else Cause.DIFFERS,
        target=str(folder),
        figures=(Figure(name="write", value=round(took_ms, 1), unit="ms"),),
    )


def _refused(error: OSError, target: str) -> Check:
    import errno

    causes = {errno.ENOSPC: Cause.FULL, errno.EDQUOT: Cause.FULL, errno.EROFS: Cause.READ_ONLY}
    if isinstance(error, PermissionError):
        return Check(step=Step.DISK_WRITE, state=State.UNKNOWN, cause=Cause.NOT_PERMITTED, target=target)
    cause = causes.get(error.errno or 0, Cause.FAILING)
    return Check(step=Step.DISK_WRITE, state=State.NG, cause=cause, target=target)
