"""The same run on this machine's own kernel, which keeps time where an emulated one does not: QEMU's storage daemon
logs what is written to a file, and a loop device makes a disk of that.

The data partition is the image's, the file system the kernel's, capture and assembly are the product's; the rest of the
box is not there.
"""

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.crash.recorder import Recorder
from tests.crash.span import SWITCH_PORT, Span, span
from tests.image import machine, writelog
from tests.image.machine import wait_until
from tests.powercut import rescue, run
from tests.powercut.calls import Mixed, Sent
from tests.powercut.run import Run, Watch

_BEFORE_S = 3.0
_NETWORK_NAMESPACE = 0x40000000
"""CLONE_NEWNET, setns(2)."""
_LIMIT_S = 60.0


def why_not() -> str:
    """What keeps it from being done here; empty when nothing does."""
    missing = [tool for tool in ("qemu-storage-daemon", "losetup") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {' '.join(missing)}"
    return "" if Path("/dev/loop-control").exists() and Path("/dev/fuse").exists() else "no loop devices, or no FUSE"


def record(image: Path, folder: Path, plan: Mixed, length_s: float) -> Run:
    """Have the run, and keep it in a folder."""
    disk = machine.fresh_disk(image, folder, run.DISK)
    writelog.raw(disk, folder / "base.raw")
    disk.unlink()
    _grow(folder / "base.raw", folder)
    config = folder / run.CONFIG_NAME
    config.write_text(run.CONFIG)
    begun: list[Sent] = []
    frames = run.frames_of(plan, length_s, begun)
    with _mounted(folder) as volume, Watch(folder / "log") as watch, span() as where:
        archive = volume / "var/lib/rokubox"
        archive.parent.mkdir(parents=True)
        with Recorder(where, archive, options=("--config", str(config))) as recorder:
            recorder.log = folder / "recorder.log"
            recorder.start()
            recorder.wait_ready()
            time.sleep(_BEFORE_S)
            with _switch_port(where) as port:
                begin_ns = time.time_ns(), time.monotonic_ns()
                times = run.send(port.send, frames, begin_ns[1])
            time.sleep(run.SETTLE_S)
            recorder.kill_all()
    run.keep(folder, watch, begun, times, begin_ns)
    return run.load(folder, plan)


def _grow(base: Path, folder: Path) -> None:
    """The data partition over the whole disk, as the first boot makes it."""
    low = rescue.data_begins(base)
    data = rescue.partition(base, "data", folder / "data.ext4")
    with data.open("r+b") as file:
        file.truncate(base.stat().st_size - low)
    subprocess.run(["e2fsck", "-f", "-p", data], check=False, capture_output=True)
    subprocess.run(["resize2fs", data], check=True, capture_output=True)
    size = base.stat().st_size
    for length in (low, size):  # nothing of the old one is left between its holes
        os.truncate(base, length)
    command = ["dd", f"if={data}", f"of={base}", "bs=1M", f"seek={low}", "oflag=seek_bytes", "conv=notrunc,sparse"]
    subprocess.run(command, check=True, capture_output=True)
    data.unlink()


@contextlib.contextmanager
def _mounted(folder: Path) -> Iterator[Path]:
    """The data partition of a copy of the disk, mounted; all that is written to it is logged."""
    disk, log, shown, volume = folder / "disk.raw", folder / "log", folder / "shown", folder / "volume"
    writelog.copy(folder / "base.raw", disk)
    for file in (log, shown):
        file.touch()
    volume.mkdir()
    quick = "cache.no-flush=on"
    nodes = (
        f"driver=file,node-name=disk,filename={disk},{quick}",
        f"driver=raw,node-name=raw,file=disk,{quick}",
        f"driver=file,node-name=log,filename={log},{quick}",
        "driver=blklogwrites,node-name=logged,file=raw,log=log,log-super-update-interval=1",
    )
    command = ["qemu-storage-daemon", *(word for node in nodes for word in ("--blockdev", node))]
    command += ["--export", f"type=fuse,id=logged,node-name=logged,mountpoint={shown},writable=on"]
    daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: shown.stat().st_size > 0, lambda: "nothing is exported", _LIMIT_S)
        low = rescue.data_begins(folder / "base.raw")
        find = ["losetup", "--find", "--show", "--offset", str(low), str(shown)]
        loop = subprocess.run(find, check=True, capture_output=True, text=True).stdout.strip()
        try:
            options = "nodev,nosuid,errors=remount-ro,noinit_itable"
            subprocess.run(["mount", "-t", "ext4", "-o", options, loop, volume], check=True)
            try:
                yield volume
            finally:
                subprocess.run(["umount", volume], check=True)
        finally:
            subprocess.run(["losetup", "--detach", loop], check=True)
    finally:
        daemon.terminate()
        daemon.wait()
        disk.unlink()


@contextlib.contextmanager
def _switch_port(where: Span) -> Iterator[socket.socket]:
    """A socket at the switch's end of the mirror port's cable."""
    made: list[socket.socket] = []

    def within() -> None:
        namespace = os.open(f"/run/netns/{where.name}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(namespace, _NETWORK_NAMESPACE) == 0:
                made.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
                made[0].bind((SWITCH_PORT, 0))
        finally:
            os.close(namespace)

    # A thread of its own: its network namespace ends with it, and the socket stays there.
    thread = threading.Thread(target=within)
    thread.start()
    thread.join()
    with made[0] as port:
        yield port
