"""A disk after a cut, taken up as the box would: file system checked, archive copied out, capture and assembly started.

Nothing is mounted: neither loop devices nor device-mapper are needed.
"""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from capture import journalscan
from capture.events import EventKind
from capture.journal import EventBlock
from capture.journalreader import JournalReader
from tests.crash.span import MIRROR_PORT, Span
from tests.image import machine
from tests.image.writelog import Entry, WriteLog

_BIN = Path(sys.executable).parent
_LIMIT_S = 300.0
_TICKS_S = 1.5
"""What capture needs to tell that time has gone on."""
_PIECE_BYTES = 1 << 20
_REPAIRED = 2
"""Exit codes of e2fsck(8) up to which all is well after `-p`, as the initial file system has it."""
Files = Mapping[str, int]
"""Names of recordings and call records, with their sizes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How it went."""

    archive: Path
    """The archive, recovered."""
    before: Files
    """What could be seen of it before."""
    is_clean: bool
    """`e2fsck -p` was enough."""
    torn_bytes: int
    """What was cut off the journal's last file."""
    skipped: int
    """Places of the journal that cannot be read."""
    recovery_s: float
    """From the start of assembly until the journal was read to its end."""
    said: tuple[str, ...]
    """Alarms."""
    failed: tuple[str, ...]
    """What did not work at all."""


def data_begins(disk: Path) -> int:
    """Where on a raw disk the data partition begins, in bytes."""
    return next(part.at for part in machine.partitions(disk) if part.name == "data")


def only(log: WriteLog, low: int) -> WriteLog:
    """The log of what lies behind a place of the disk, counted from there. Every entry keeps its number."""
    begin = low // log.sector_bytes

    def within(entry: Entry) -> Entry:
        if entry.first_sector < begin:
            return replace(entry, sectors=0)
        return replace(entry, first_sector=entry.first_sector - begin)

    return replace(log, entries=tuple(within(entry) for entry in log.entries))


def partition(disk: Path, name: str, out: Path) -> Path:
    """A partition of a raw disk as a file of its own, with holes."""
    found = next(part for part in machine.partitions(disk) if part.name == name)
    return _extract(disk, found.at, found.length, out)


def data_partition(disk: Path, out: Path) -> Path:
    """The data partition, to the end of the disk whatever the partition table says by then: it grows."""
    low = data_begins(disk)
    return _extract(disk, low, disk.stat().st_size - low, out)


def _extract(disk: Path, low: int, length: int, out: Path) -> Path:
    with disk.open("rb") as whole, out.open("wb") as target:
        whole.seek(low)
        for at in range(0, length, _PIECE_BYTES):
            piece = whole.read(min(_PIECE_BYTES, length - at))
            if piece.count(0) < len(piece):
                target.seek(at)
                target.write(piece)
        target.truncate(length)
    return out


def check(data: Path) -> bool:
    """Check the data partition as the initial file system does; True when the first way was enough."""
    first = subprocess.run(["e2fsck", "-p", data], check=False, capture_output=True)
    if first.returncode <= _REPAIRED:
        return True
    subprocess.run(["e2fsck", "-y", data], check=False, capture_output=True)
    return False


def copied_out(data: Path, folder: Path) -> Path:
    """The archive on a data partition that was checked; `folder` is made for it."""
    folder.mkdir()
    subprocess.run(["debugfs", "-R", f"rdump /var/lib/rokubox {folder}", data], check=True, capture_output=True)
    return folder / "rokubox"


def recover(archive: Path, config: Path, where: Span, *, is_clean: bool) -> Recovery:
    """Start capture on a silent port, then assembly, until both have done what there is to do."""
    before, failed = files(archive), list[str]()
    for role, settle_s in (("capture", _TICKS_S), ("assemble", 0.0)):
        log = archive.with_name(f"{role}.log")
        begun = time.monotonic()
        if trouble := _run(role, archive, config, where, log, settle_s):
            failed.append(f"{role} {trouble}: {log.read_text()[-2000:]}")
    recovery_s = time.monotonic() - begun
    said = [
        each for role in ("capture", "assemble") for each in archive.with_name(f"{role}.log").read_text().split("\n")
    ]
    torn, skipped = (0, 0) if failed else damage(archive)
    return Recovery(
        archive=archive,
        before=before,
        is_clean=is_clean,
        torn_bytes=torn,
        skipped=skipped,
        recovery_s=recovery_s,
        said=tuple(each for each in said if re.search("alarm|goes on, but|cannot", each)),
        failed=tuple(failed),
    )


def files(archive: Path) -> Files:
    """The recordings and call records that can be seen."""
    return {
        str(path.relative_to(archive)): path.stat().st_size
        for folder in ("recordings", "calls", "late")
        for path in (archive / folder).rglob("*_p*.zip" if folder == "recordings" else "*.json")
    }


def _run(role: str, archive: Path, config: Path, where: Span, log: Path, settle_s: float) -> str:
    """Start a daemon, wait until it works, and have it end; return what is wrong."""
    address = archive.with_name("notify")
    address.unlink(missing_ok=True)
    command = [_BIN / f"rokubox-{role}", "--config", config, "--archive", archive, "--interface", MIRROR_PORT]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, log.open("wb") as out:
        manager.bind(str(address))
        process = subprocess.Popen(
            where.within(*map(str, command)),
            stdin=subprocess.DEVNULL,
            stderr=out,
            env={**os.environ, "NOTIFY_SOCKET": str(address)},
        )
        try:
            if not _is_ready(manager, process):
                return "does not begin"
            time.sleep(settle_s)
            process.send_signal(signal.SIGTERM)
            code = _ended(manager, process)
        finally:
            process.kill()
            process.wait()
    return "" if code == 0 else f"ended with {code}"


def _is_ready(manager: socket.socket, process: "subprocess.Popen[bytes]") -> bool:
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if select.select([manager], [], [], 0.05)[0] and b"READY=1" in manager.recv(4096):
            return True
    return False


def _ended(manager: socket.socket, process: "subprocess.Popen[bytes]") -> int | None:
    """Wait for its end; what it tells meanwhile is taken from it."""
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if select.select([manager], [], [], 0.05)[0]:
            manager.recv(4096)
    return process.poll()


def damage(archive: Path) -> tuple[int, int]:
    """Bytes that were cut off the journal's end, and places of it that cannot be read."""
    torn = 0
    numbers = journalscan.numbers(archive / "journal")
    with JournalReader(archive / "journal", min(numbers) << 40) as reader:
        while (item := reader.next()) is not None:
            if isinstance(item[1], EventBlock):
                torn += sum(int(event.detail["bytes"]) for event in item[1].events if event.kind == EventKind.TORN_TAIL)
        return torn, len(reader.skipped)
