"""Live capture times in the order of the boot-time clock, though the kernel stamps packets by the real-time clock.

    line = boot time + (real time - boot time, when capture began)

While nobody sets the real-time clock both are the same. A change of real time against boot time by more than
`LEAST_STEP_NS` is a step: packets stamped behind it are shifted back by it. They may come long after the step was
noticed, behind others that wait in the ring; where they begin shows in their stamps, which jump there by the step.

| what the journal says of the line before (`Left`) | the line                                                     |
|---------------------------------------------------|--------------------------------------------------------------|
| nothing                                           | begins as above, but not behind the journal's last time      |
| it is of the same boot                            | goes on, with the steps that its packets may lie behind      |
| it is of an earlier boot                          | begins anew; the machine began after the journal's last time |

How far real time is ahead of the line (`shift_ns`) is told with every start, step and tick.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

import numpy as np

from capture.clockline import ClockStep
from capture.octets import IntArray
from capture.records import RecordBatch

LEAST_STEP_NS = 100_000_000
"""Less than this is adjusting, not setting."""
BREAK_NS = LEAST_STEP_NS // 2
"""Stamps in a row differ by less; a greater difference is a step or a pause, or both."""
_MAX_WAITING = 64
"""Steps that a silent port's next packet may be behind."""
_INT64_MAX = (1 << 63) - 1


class ClockReading(NamedTuple):
    """Both clocks at one moment."""

    real_ns: int
    """CLOCK_REALTIME."""
    boot_ns: int
    """CLOCK_BOOTTIME."""
    boot_id: str = ""
    """Another one with each boot of the machine."""


ReadClocks = Callable[[], ClockReading]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(ClockStep):
    """The real-time clock was set."""

    since_ns: int
    """On the line: it was not set before."""
    shift_ns: int
    """How far real time is ahead of the line since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where the line was at one moment: what it takes to go on with it."""

    boot_id: str
    boot_ns: int
    real_ns: int
    base_ns: int
    """The line's time when the machine began; never changes within a boot."""
    shift_ns: int
    """How far real time is ahead of the line, but for less than a step."""

    @property
    def at_ns(self) -> int:
        """When, on the line."""
        return self.boot_ns + self.base_ns

    def facts(self) -> dict[str, str | int]:
        """Return it as an event tells it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a journal says of the line that it was written on."""

    last_ns: int = 0
    """The latest time in it."""
    mark: Mark | None = None
    """The last one told."""
    settings: list[Setting] = field(default_factory=list)
    """Of the same boot, in order: those that packets in the rings may lie behind, or before."""


class BootLine:
    """The line of one capture, from its start on, or from that of an earlier one."""

    def __init__(self, read_clocks: ReadClocks) -> None:
        self.steps: list[Setting] = []
        """Steps noticed; whoever writes them down takes them out."""
        self._read = read_clocks
        self._looked = reading = read_clocks()
        self._base_ns = reading.real_ns - reading.boot_ns
        self._looked_ns = reading.real_ns
        self._shift_ns = 0
        self._first_shift_ns = 0
        """That of a port's first packets, if they lie behind none of the settings."""
        self._settings: deque[Setting] = deque(maxlen=_MAX_WAITING)
        self._ports: dict[int, _PortLine] = {}

    def go_on(self, left: Left) -> None:
        """Go on behind an earlier capture; to be called before anything is put on the line."""
        mark, begun = left.mark, self._looked
        if mark is not None and mark.boot_id == begun.boot_id:
            self._base_ns, self._shift_ns, self._looked_ns = mark.base_ns, mark.shift_ns, mark.at_ns
            self._settings.extend(left.settings)
            self._first_shift_ns = mark.shift_ns
            if left.settings:
                self._shift_ns = left.settings[-1].shift_ns
                self._looked_ns = max(mark.at_ns, left.settings[-1].at_ns)
                self._first_shift_ns = left.settings[0].shift_ns - left.settings[0].step_ns
        else:
            least_ns = left.last_ns if mark is not None else left.last_ns - begun.boot_ns
            self._base_ns = max(begun.real_ns - begun.boot_ns, least_ns)
            self._looked_ns = begun.boot_ns + self._base_ns
            self._shift_ns = self._first_shift_ns = begun.real_ns - self._looked_ns
        self.look()

    def mark(self) -> Mark:
        """Return where the line was when the clocks were looked at last."""
        looked = self._looked
        return Mark(
            boot_id=looked.boot_id,
            boot_ns=looked.boot_ns,
            real_ns=looked.real_ns,
            base_ns=self._base_ns,
            shift_ns=self._shift_ns,
        )

    def now_ns(self) -> int:
        """Return the time on the line."""
        return self._read().boot_ns + self._base_ns

    def look(self) -> None:
        """Notice whether the clock was set; to be called between taking packets from the rings and `even`."""
        self._looked = reading = self._read()
        now_ns = reading.boot_ns + self._base_ns
        step_ns = reading.real_ns - now_ns - self._shift_ns
        if abs(step_ns) > LEAST_STEP_NS:
            self._shift_ns += step_ns
            setting = Setting(at_ns=now_ns, step_ns=step_ns, since_ns=self._looked_ns, shift_ns=self._shift_ns)
            self.steps.append(setting)
            for waiting in (self._settings, *(port.waiting for port in self._ports.values())):
                waiting.append(setting)
        self._looked_ns = now_ns

    def even(self, port: int, batch: RecordBatch) -> RecordBatch:
        """Put a port's next packets, at least one, on the line."""
        line = self._ports.get(port)
        if line is None:
            line = self._ports[port] = _PortLine(self._settings, self._first_shift_ns)
        times = line.times(batch.ts_ns, self._looked_ns)
        return batch if times is batch.ts_ns else replace(batch, ts_ns=times)


class _PortLine:
    """Where one port's packets have got to."""

    def __init__(self, settings: deque[Setting], shift_ns: int) -> None:
        self.waiting = settings.copy()
        """Settings of the clock that no packet is known to be behind."""
        self._shift_ns = shift_ns
        self._last_ns: int | None = None
        """Latest stamp."""

    def times(self, stamps: IntArray, now_ns: int) -> IntArray:
        """Return the stamps' places on the line; none is later than now."""
        if not self.waiting and not self._shift_ns:
            self._last_ns = int(stamps[-1])
            return stamps
        times, low = stamps.copy(), 0
        while self.waiting and (found := self._border(stamps, low, now_ns)) is not None:
            at, number = found
            times[low:at] -= self._shift_ns
            self._shift_ns = self.waiting[number].shift_ns
            times[at] -= self._shift_ns
            low = at + 1
            for _ in range(number + 1):
                self.waiting.popleft()
        times[low:] -= self._shift_ns
        self._last_ns = int(stamps[-1])
        return times

    def _border(self, stamps: IntArray, low: int, now_ns: int) -> tuple[int, int] | None:
        """Return the first packet, from `low` on, behind a setting that waits, and which one; None: all are before.

        Where stamps jump by just the step, it is certain. A pause may lie there too: then it is the first break behind
        which the packets can be, and of several settings the one that leaves them least old.
        """
        last_ns = int(stamps[0]) - _INT64_MAX // 2 if self._last_ns is None else self._last_ns
        jumps = np.diff(stamps, prepend=last_ns)
        best: tuple[bool, int, int, int] | None = None
        for at in (np.flatnonzero(np.abs(jumps[low:]) > BREAK_NS) + low).tolist():
            for number, setting in enumerate(self.waiting):
                place_ns = int(stamps[at]) - setting.shift_ns
                if setting.since_ns - BREAK_NS <= place_ns <= now_ns + BREAK_NS:
                    pause_ns = int(jumps[at]) - (setting.shift_ns - self._shift_ns)
                    rank = (abs(pause_ns) > BREAK_NS, at, now_ns - place_ns, number)
                    best = rank if best is None else min(best, rank)
        return None if best is None else (best[1], best[3])
