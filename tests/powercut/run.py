"""The run whose writes are logged: the image boots on a blank disk and records calls, and that is all of its life.

What is kept of it in a folder is enough to cut its power at any instant later:

    base.raw     the disk before the first write
    log          every write and flush since (`tests.image.writelog`)
    run.npz      when the log grew, which frame was sent when, and which packet arrived when
    run.json     the calls, and where in the log they began
    rokubox.toml the box's configuration
"""

import heapq
import itertools
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from tests.crash.calls import SECOND_NS
from tests.image import machine, writelog
from tests.image.machine import Fittings
from tests.image.writelog import Rebuilder, WriteLog
from tests.powercut import arrivals, rescue
from tests.powercut.calls import Mixed, Progress, Sent, line
from tests.traffic.pcapwriter import Frame

DISK = "2560M"
"""A data partition of 1 GiB."""
RECORDING = "device span0 entered promiscuous mode"
APART = ("rokubox-agent", "rokubox-upload", "smbd", "nmbd", "samba-ad-dc")
"""Services that have no part in this, and would take the emulated processors from those that have."""
BOOTED, CALM_S = "multi-user.target", 20.0
"""Said twice: when it is wanted, and when it is reached. What an emulated machine that begins is shown, it does not
take from its network port in time."""
SETTLE_S = 12.0
"""What is sent last is in the journal then."""
LOOKS = 10
"""How often the journal is looked at."""
CONFIG_NAME = "rokubox.toml"
UNSURE_NS = 25_000_000
"""How far apart the times of the log and of the packets may be, which are of different clocks."""
RECENT_NS = 2 * SECOND_NS
CONFIG = f"""\
[[span]]
interface = "span0"

[recording]
segment_s = 30
media_timeout_s = 30.0

[storage]
archive = "/var/lib/rokubox"
# Less than half as much again is free from the beginning: whatever is finished is erased once a minute.
reserve_bytes = {690 << 20}
"""
_SAMPLE_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that is over."""

    folder: Path
    plan: Mixed
    log: WriteLog
    first: int
    """How many entries the log had when the first frame was sent."""
    begun_ns: int
    """When that was, by this machine's monotonic clock."""
    wall_ns: int
    """The same by its real-time clock."""
    sent: tuple[Sent, ...]
    """The calls that were begun."""
    progress: Progress
    last: int
    """How many entries the log had when the last frame was sent."""
    logged_ns: npt.NDArray[np.int64]
    """When each entry was in the log, by the monotonic clock; shape `(entries,)`."""

    block_ends_ns: npt.NDArray[np.int64]
    """When the last packet of each block of media in the journal arrived, by the monotonic clock; shape `(blocks,)`."""

    @property
    def config(self) -> Path:
        """The box's configuration."""
        return self.folder / CONFIG_NAME

    def cut_ns(self, point: int) -> int:
        """Up to which time of the plan everything was sent when the power goes after so many entries: just before the
        next one."""
        return self.progress.planned_at(self._when_ns(point))

    def in_flight_s(self, point: int) -> float:
        """How long the block was that the journal gathered when the power goes, or a moment before."""
        now_ns = self._when_ns(point)
        ends = self.block_ends_ns[self.block_ends_ns > now_ns - RECENT_NS]
        upcoming = int(np.searchsorted(ends, now_ns)) + 1
        return float(np.diff(ends[: upcoming + 1]).max(initial=0)) / SECOND_NS

    def _when_ns(self, point: int) -> int:
        return int(self.logged_ns[min(point, len(self.logged_ns) - 1)]) + UNSURE_NS


class Watch:
    """Notes how the log grows. A context."""

    def __init__(self, log: Path) -> None:
        self.seen: list[tuple[int, int]] = []
        """When it was how long."""
        self._log = log
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        last = -1
        while not self._stopped.wait(_SAMPLE_S):
            size = os.stat(self._log).st_size
            if size != last:
                self.seen.append((time.monotonic_ns(), size))
                last = size

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()


def record(image: Path, folder: Path, plan: Mixed, length_s: float) -> Run:
    """Have the run, and keep it in a folder."""
    disk = machine.fresh_disk(image, folder, DISK)
    _configure(disk, folder)
    machine.add_kernel_arguments(disk, folder, " ".join(f"systemd.mask={name}.service" for name in APART))
    writelog.raw(disk, folder / "base.raw")
    log = folder / "log"
    # That this host's own disk has it is of no interest: the log is what counts.
    drive = f"{writelog.options(disk, log)},file.cache.no-flush=on,file.file.cache.no-flush=on"
    fittings = Fittings(disk=drive, arguments=writelog.ARGUMENTS)
    begun: list[Sent] = []
    with Watch(log) as watch, machine.switched_on(disk, folder, "run", fittings) as box:
        frames = frames_of(plan, length_s, begun)
        box.wait_for(RECORDING)
        box.wait_for(BOOTED, times=2)
        time.sleep(CALM_S)
        wall_ns, begun_ns = time.time_ns(), time.monotonic_ns()
        times = send(box.send, frames, begun_ns)
        time.sleep(SETTLE_S)
        box.order("quit")
        box.wait_off()
    keep(folder, watch, begun, times, (wall_ns, begun_ns))
    return load(folder, plan)


def keep(
    folder: Path,
    watch: Watch,
    begun: Sequence[Sent],
    times: npt.NDArray[np.int64],
    begin_ns: tuple[int, int],
) -> None:
    """Keep what is known of a run that is over.

    Args:
        folder: its folder.
        watch: of its log.
        begun: calls.
        times: of each frame, by the plan and by the monotonic clock; shape `(frames, 2)`.
        begin_ns: when the plan began, by the real-time and by the monotonic clock.
    """
    growth = np.array(watch.seen, np.int64)
    calls = [(sent.call.line, sent.call.number, sent.start_ns) for sent in begun]
    (folder / "run.json").write_text(json.dumps({"calls": calls, "wall_ns": begin_ns[0], "begun_ns": begin_ns[1]}))
    found = arrivals.read(_journals(folder), begun)
    np.savez(
        folder / "run.npz",
        planned_ns=times[:, 0],
        sent_ns=times[:, 1],
        grew_ns=growth[:, 0],
        bytes=growth[:, 1],
        arrived_planned_ns=found.planned_ns,
        stamps=found.stamps,
        block_ends=found.block_ends,
    )


def load(folder: Path, plan: Mixed) -> Run:
    """A run that was kept."""
    log = writelog.read(folder / "log")
    kept, told = np.load(folder / "run.npz"), json.loads((folder / "run.json").read_bytes())
    sector = log.sector_bytes
    ends = np.array([*(entry.at_bytes - sector for entry in log.entries[1:]), (folder / "log").stat().st_size])
    number = np.minimum(np.searchsorted(kept["bytes"], ends), len(kept["grew_ns"]) - 1)
    logged_ns = kept["grew_ns"][number]
    # The clocks of the two machines differ by a constant: that which is left of the fastest packet's way.
    sent_ns = kept["sent_ns"][np.searchsorted(kept["planned_ns"], kept["arrived_planned_ns"])]
    apart_ns = (kept["stamps"] - sent_ns).min()
    arrived_ns = kept["stamps"] - apart_ns
    return Run(
        folder=folder,
        plan=plan,
        log=log,
        first=int(np.searchsorted(logged_ns, told["begun_ns"])),
        last=int(np.searchsorted(logged_ns, kept["sent_ns"][-1])),
        begun_ns=told["begun_ns"],
        wall_ns=told["wall_ns"],
        sent=tuple(Sent(call=plan.call(on, number), start_ns=at) for on, number, at in told["calls"]),
        progress=Progress(planned_ns=kept["arrived_planned_ns"], arrived_ns=arrived_ns, begun_ns=told["begun_ns"]),
        logged_ns=logged_ns,
        block_ends_ns=kept["block_ends"] - apart_ns,
    )


def _journals(folder: Path) -> Iterator[Path]:
    """The journal as it was at some times of the run, the last one its end."""
    whole, data, end = folder / "base.raw", folder / "end.ext4", folder / "end"
    log = rescue.only(writelog.read(folder / "log"), rescue.data_begins(whole))
    base = rescue.data_partition(whole, folder / "base.ext4")
    rebuilder = Rebuilder(log, base, folder / "flushed.ext4")
    for number in range(1, LOOKS + 1):
        rebuilder.rebuild(data, log.last_flush(len(log.entries) * number // LOOKS), seed=0)
        rescue.check(data)
        shutil.rmtree(end, ignore_errors=True)
        journal = rescue.copied_out(data, end) / "journal"
        if journal.exists():
            yield journal
    for file in (base, data, folder / "flushed.ext4"):
        file.unlink()


def _configure(disk: Path, folder: Path) -> None:
    """Put the configuration onto the data partition, where the first boot finds it."""
    (folder / CONFIG_NAME).write_text(CONFIG)
    raw = folder / "configured.raw"
    writelog.raw(disk, raw)
    orders = folder / "orders"
    orders.write_text(f"mkdir etc\nmkdir etc/rokubox\nwrite {folder / CONFIG_NAME} etc/rokubox/rokubox.toml\n")
    low = rescue.data_begins(raw)
    subprocess.run(["debugfs", "-w", "-f", orders, f"{raw}?offset={low}"], check=True, capture_output=True)
    disk.unlink()
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, disk], check=True)
    raw.unlink()


def frames_of(plan: Mixed, length_s: float, begun: list[Sent]) -> list[Frame]:
    """The plan's first seconds. They are there before they are due: to make them takes its time."""
    lines = heapq.merge(*(line(plan, number, begun) for number in range(plan.lines)))
    return list(itertools.takewhile(lambda frame: frame.ts_ns <= length_s * SECOND_NS, lines))


def send(show: Callable[[bytes], object], frames: Sequence[Frame], begun_ns: int) -> npt.NDArray[np.int64]:
    """Show frames to the mirror port, each at its time; return both times of each."""
    times: list[tuple[int, int]] = []
    for at_ns, octets in frames:
        ahead_ns = begun_ns + at_ns - time.monotonic_ns()
        if ahead_ns > 0:
            time.sleep(ahead_ns / SECOND_NS)
        show(octets)
        times.append((at_ns, time.monotonic_ns()))
    return np.array(times, np.int64)
