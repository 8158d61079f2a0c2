"""One measurement: record a plan's traffic, watch the recorder, and hold what it made against what was sent.

|<- ring ->|<- ramp ->|<------- steady ------->|<- reference ->|<- hang up ->|<- until all is recorded ->|
                       capture's CPU, pickup,    tcpdump beside   no more calls    assembly's CPU is that of
                       BYE to recording          the recorder                      the whole, for all packets
"""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.bench.bench_import import NotMeasurable
from tests.bench.live.account import Account, account
from tests.bench.live.plan import RAMP_SLOTS, Plan
from tests.bench.live.probe import Probe, Reading
from tests.bench.live.recorder import Dumped, Sending, Sent, Tcpdump, recording
from tests.bench.live.span import mirror_port
from tests.traffic.bulk import SLOTS_PER_S

SETTLE_S = 1.0
"""From the end of the ramp until the figures count."""
START_S = 1.5
"""From the order to begin until the first packet of media."""
BYTES_PER_PACKET = 320 + 230 + 230
"""Samples of a packet in its recording, its journal, and the reference's capture while there is one."""
_DRAIN_S = 1.0
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is measured."""

    plan: Plan
    reference_s: float = 0.0
    """How long tcpdump captures beside the recorder; 0 for not at all."""

    @property
    def needed_bytes(self) -> int:
        """Room that it takes on the disk."""
        return self.plan.lines * 2 * self.plan.slots * BYTES_PER_PACKET

    @property
    def steady_s(self) -> tuple[float, float]:
        """When figures count, after the order to begin."""
        begin = START_S + RAMP_SLOTS / SLOTS_PER_S + SETTLE_S
        return begin, START_S + self.plan.seconds - (self.reference_s + SETTLE_S if self.reference_s else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """All that was seen of one run."""

    run: Run
    sent: Sent
    probe: Probe
    begin: Reading
    steady: tuple[Reading, Reading]
    end: Reading
    """When all calls were recorded, or given up on."""
    dumped: Dumped | None
    load: float
    """Load average before."""

    @property
    def missing(self) -> int:
        """Frames sent that are not in the journal."""
        return self.sent.frames - self.probe.frames

    @property
    def rate(self) -> float:
        """Packets a second in the steady part, by the kernel's count at the mirror port."""
        return self.probe.rate(self.steady[0].at_ns, self.steady[1].at_ns)

    @property
    def capture_us(self) -> float:
        """CPU of capture for a packet, in the steady part."""
        one, two = self.steady
        packets = self.rate * (two.at_ns - one.at_ns) / 1e9
        return self._used("capture", one, two) / packets * 1e6

    @property
    def assemble_us(self) -> float:
        """CPU of assembly for a packet: all of it, for each packet is read once and rendered once."""
        return self._used("assemble", self.begin, self.end) / self.sent.frames * 1e6

    @property
    def supervisor_us(self) -> float:
        """CPU of the supervisor and the keeper for a packet."""
        used_s = sum(self._used(name, self.begin, self.end) for name in ("supervisor", "keeper"))
        return used_s / self.sent.frames * 1e6

    @property
    def peak_bytes(self) -> int:
        """Memory of all processes together at its greatest."""
        return max(reading.pss_bytes for reading in self.probe.readings)

    def pickup_s(self) -> npt.NDArray[np.float64]:
        """Delays from the kernel's timestamp until the journal has the packet, in the steady part."""
        return self.probe.pickup_s(self.steady[0].at_ns, self.steady[1].at_ns)

    def visible_s(self, archived: Account) -> npt.NDArray[np.float64]:
        """Seconds from BYE to recording of the calls that ended in the steady part, in order."""
        first_ns, last_ns = (reading.at_ns for reading in self.steady)
        chosen = [s for call, s in archived.visible_s.items() if first_ns < self.sent.bye_ns[call] <= last_ns]
        return np.sort(np.array(chosen))

    def last_visible_s(self, archived: Account) -> float:
        """Seconds from the last BYE of all to the last recording."""
        last_ns = max(self.sent.bye_ns.values())
        after_s = [(self.sent.bye_ns[call] - last_ns) / 1e9 + s for call, s in archived.visible_s.items()]
        return max(after_s, default=float("nan"))

    def _used(self, name: str, one: Reading, two: Reading) -> float:
        return two.cpu_s[name] - one.cpu_s[name]


def watch(run: Run, folder: Path, *, to_the_end: bool) -> Watched:
    """Record into `folder`/archive; with `to_the_end` until every call is recorded, else until all is sent.

    Raises:
        NotMeasurable: something did not start, or a process of the recorder died.
    """
    archive, load = folder / "archive", os.getloadavg()[0]
    with contextlib.ExitStack() as stack:
        span = stack.enter_context(mirror_port())
        sending = stack.enter_context(contextlib.closing(Sending(span, run.plan, folder)))
        sending.wait_until_ready()
        pids = stack.enter_context(recording(span, archive))
        probe = Probe(journal=archive / "journal", pids=pids)
        with _deaths_told(pids):
            began = time.monotonic()
            begin = probe.read_processes()
            sending.begin()
            steady = []
            for instant in run.steady_s:
                probe.watch(began + instant)
                steady.append(probe.read_processes())
            dumped = None
            if run.reference_s:
                with contextlib.closing(Tcpdump(span, folder)) as tcpdump:
                    probe.watch(began + run.steady_s[1] + run.reference_s)
                    dumped = tcpdump.stop()
            while not sending.has_ended():
                probe.watch(time.monotonic() + 0.1)
            sent = sending.sent()
            probe.watch(time.monotonic() + _DRAIN_S)
            if to_the_end:
                _wait_for_records(probe, archive, len(sent.bye_ns), run)
            end = probe.read_processes()
    probe.finish()
    return Watched(
        run=run,
        sent=sent,
        probe=probe,
        begin=begin,
        steady=(steady[0], steady[1]),
        end=end,
        dumped=dumped,
        load=load,
    )


def archived(watched: Watched, folder: Path) -> Account:
    """What the archive holds of it."""
    return account(folder / "archive", watched.run.plan.calls(), watched.sent.bye_ns)


@contextlib.contextmanager
def _deaths_told(pids: Mapping[str, int]) -> Iterator[None]:
    """A process that is gone shows by its folder in /proc."""
    try:
        yield
    except (FileNotFoundError, ProcessLookupError) as error:
        dead = [name for name, pid in pids.items() if not Path(f"/proc/{pid}").exists()]
        if not dead:
            raise
        raise NotMeasurable(f"{', '.join(dead)} died while it was measured") from error


def _wait_for_records(probe: Probe, archive: Path, calls: int, run: Run) -> None:
    """Until every call has its record, or nothing is to be expected any more."""
    deadline = time.monotonic() + _PATIENCE_S + run.plan.seconds
    while sum(1 for _ in (archive / "calls").rglob("*.json")) < calls and time.monotonic() < deadline:
        probe.watch(time.monotonic() + 0.5)
