"""The recorder watched from outside: its processes by what the kernel tells of them, its journal as it grows.

Nothing is asked of the recorder itself. A packet was picked up when the journal block that holds it could be read by
another process: looked for every `LOOK_S`, so that delays are told up to that much too long.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from capture.events import LOST, Counted, EventKind
from capture.journal import EventBlock, MediaBlock, RawBlock, SignallingBlock
from capture.journalreader import JournalReader

LOOK_S = 0.01
READING_S = 1.0
"""How often the processes are looked at: adding up their memory takes the kernel some milliseconds."""
POINTS = 50
"""Instants that stand for the packets of a block."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A media block, when it could be read."""

    at_ns: int
    packets: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The recorder's processes at an instant."""

    at_ns: int
    cpu_s: Mapping[str, float]
    """Per process, user and system time so far."""
    pss_bytes: int
    """Memory of all of them: pages that several share count once."""


@dataclass(slots=True, kw_only=True)
class Probe:
    """Follows one recorder; `watch` is to be called all along."""

    journal: Path
    pids: Mapping[str, int]
    blocks: list[Seen] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    counted: list[tuple[int, int, int]] = field(default_factory=list)
    """Per `counters` event: when, packets since the one before (lost ones included), packets lost."""
    journal_bytes: int = 0
    frames: int = 0
    """Media packets and frames of signalling in the journal."""
    raw_blocks: int = 0
    _reader: JournalReader = field(init=False)

    def __post_init__(self) -> None:
        self._reader = JournalReader(self.journal)

    def watch(self, until_s: float) -> None:
        """Look until an instant of the monotonic clock."""
        while time.monotonic() < until_s:
            self._look()
            if not self.readings or time.time_ns() >= self.readings[-1].at_ns + READING_S * 1e9:
                self.read_processes()
            time.sleep(LOOK_S)

    def read_processes(self) -> Reading:
        """Take a reading now."""
        reading = Reading(
            at_ns=time.time_ns(),
            cpu_s={name: cpu_s(pid) for name, pid in self.pids.items()},
            pss_bytes=sum(pss_bytes(pid) for pid in self.pids.values()),
        )
        self.readings.append(reading)
        return reading

    def finish(self) -> None:
        """Read what is left, after the recorder has ended."""
        self._look()
        self._reader.close()

    def lost(self) -> int:
        """Packets that the recorder missed, by its own account."""
        return sum(lost for _, _, lost in self.counted)

    def rate(self, first_ns: int, last_ns: int) -> float:
        """Packets a second that passed the kernel's filter, between the first and last reading of its counters within
        two instants."""
        within = [(at_ns, packets) for at_ns, packets, _ in self.counted if first_ns < at_ns <= last_ns]
        if len(within) < 2:
            return float("nan")
        return sum(packets for _, packets in within[1:]) / (within[-1][0] - within[0][0]) * 1e9

    def pickup_s(self, first_ns: int, last_ns: int) -> npt.NDArray[np.float64]:
        """Delays of packets of blocks that became readable between two instants, as many points for each packet.

        The packets of a block lie evenly in the time that it covers, as they were sent evenly.
        """
        share = (np.arange(POINTS) + 0.5) / POINTS
        delays = [
            np.repeat((block.at_ns - (block.first_ns + (block.last_ns - block.first_ns) * share)) / 1e9, weight)
            for block in self.blocks
            if first_ns < block.at_ns <= last_ns and (weight := round(block.packets / POINTS))
        ]
        return np.concatenate([np.zeros(0), *delays])

    def _look(self) -> None:
        while (found := self._reader.next()) is not None:
            address, block = found
            now_ns = time.time_ns()
            # The position jumps where a new file begins: the block's own bytes are from its address on.
            self.journal_bytes += self._reader.position - address
            match block:
                case MediaBlock():
                    packets = int(block.extents["rows"].sum())
                    self.frames += packets
                    self.blocks.append(
                        Seen(at_ns=now_ns, packets=packets, first_ns=block.first_ns, last_ns=block.last_ns)
                    )
                case SignallingBlock():
                    self.frames += len(block.frames)
                case EventBlock():
                    self._count(block)
                case RawBlock():
                    self.raw_blocks += 1

    def _count(self, block: EventBlock) -> None:
        for event in block.events:
            if event.kind == EventKind.COUNTERS:
                lost = sum(int(event.detail[name]) for name in LOST)
                self.counted.append((int(event.detail["at_ns"]), int(event.detail[Counted.PACKETS]), lost))


def cpu_s(pid: int) -> float:
    """User and system time of a process, its ended threads included, its children not."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def pss_bytes(pid: int) -> int:
    """Proportional set size: its own pages, and its share of those it shares."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    (line,) = (line for line in rollup.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024
