"""The box itself after a cut: it boots from the disk as it was left, and hears the calls that go on to their end."""

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tests.crash.calls import SECOND_NS
from tests.image import machine, writelog
from tests.image.machine import Fittings, Machine
from tests.powercut import rescue
from tests.powercut.calls import Sent
from tests.powercut.judging import Again, Mask
from tests.powercut.rescue import Recovery
from tests.powercut.run import BOOTED, CALM_S, RECORDING, Run
from tests.traffic.bulk import SLOT_NS
from tests.traffic.pcapwriter import Frame

OFF_S = 20
"""How long the box is without power, by its clock: it need not wait for this test."""
_PREPARED_S, _GOES_ON_S, _SETTLE_S = 30.0, 6.0, 20.0
"""What is needed to make what is shown, how long the calls go on, and what the emulated box needs then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reboot:
    """How it went."""

    recovery: Recovery
    again: Again
    """What was shown of which call after the cut."""
    recording_s: float
    """From power-on to recording."""


def reboot(run: Run, point: int, folder: Path, seed: int) -> Reboot:
    """Cut the power at a point, and give it back."""
    folder.mkdir(parents=True, exist_ok=True)
    disk = folder / "disk.raw"
    writelog.rebuild(run.log, run.folder / "base.raw", disk, point, seed)
    before = _seen(disk, folder)
    clock_ns = (run.wall_ns + run.cut_ns(point)) // SECOND_NS * SECOND_NS + OFF_S * SECOND_NS
    clock = datetime.fromtimestamp(clock_ns / SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fittings = Fittings(disk=f"format=raw,cache=unsafe,file={disk}", arguments=("-rtc", f"base={clock}"))
    begun = time.monotonic()
    with machine.switched_on(disk, folder, "again", fittings) as box:
        on_ns = time.monotonic_ns()
        box.wait_for(RECORDING)
        recording_s = time.monotonic() - begun
        box.wait_for(BOOTED, times=2)
        time.sleep(CALM_S)
        # What the plan's clock shows, minus this machine's monotonic one.
        apart_ns = clock_ns - on_ns - run.wall_ns
        again = _go_on(box, run, run.cut_ns(point), apart_ns)
        time.sleep(_SETTLE_S)
        box.power_off()
    data = rescue.data_partition(disk, folder / "data.ext4")
    disk.unlink()
    is_clean = rescue.check(data)
    archive = rescue.copied_out(data, folder / "out")
    data.unlink()
    torn, skipped = rescue.damage(archive)
    recovery = Recovery(
        archive=archive,
        before=before,
        is_clean=is_clean,
        torn_bytes=torn,
        skipped=skipped,
        recovery_s=recording_s,
        said=(),
        failed=(),
    )
    return Reboot(recovery=recovery, again=again, recording_s=recording_s)


def _seen(disk: Path, folder: Path) -> rescue.Files:
    """What can be seen of the archive on a disk, which is left as it is."""
    data = rescue.data_partition(disk, folder / "before.ext4")
    rescue.check(data)
    files = rescue.files(rescue.copied_out(data, folder / "before"))
    data.unlink()
    return files


def _going_on(run: Run, cut_ns: int, until_ns: int) -> list[Sent]:
    """The calls that had begun at the cut and last longer than this."""
    return [one for one in run.sent if one.is_answered(cut_ns) and not one.is_over(until_ns + SECOND_NS)]


def _go_on(box: Machine, run: Run, cut_ns: int, apart_ns: int) -> Again:
    """Show some seconds of the calls that still go on, and their end; return which packets that were."""
    # To make the frames takes its time: they are there before they are due.
    from_ns = time.monotonic_ns() + apart_ns + round(_PREPARED_S * SECOND_NS)
    until_ns = from_ns + round(_GOES_ON_S * SECOND_NS)
    calls = _going_on(run, cut_ns, until_ns)
    for at_ns, octets in list(heapq.merge(*(_rest(one, from_ns, until_ns) for one in calls))):
        ahead_ns = at_ns - apart_ns - time.monotonic_ns()
        if ahead_ns > 0:
            time.sleep(ahead_ns / SECOND_NS)
        box.send(octets)
    return {one.call.call_id: (_shown(one, 0, from_ns, until_ns), _shown(one, 1, from_ns, until_ns)) for one in calls}


def _rest(one: Sent, from_ns: int, until_ns: int) -> Iterator[Frame]:
    """What of a call comes from now on, its end brought forward."""
    frames = one.call.frames(one.start_ns)
    yield from (frame for frame in frames if from_ns <= frame.ts_ns < until_ns)
    over_ns = one.call.media_ns(one.start_ns, 1) + one.call.slots * SLOT_NS
    for number, frame in enumerate(frame for frame in frames if frame.ts_ns >= over_ns):
        yield Frame(until_ns + number * SLOT_NS, frame.octets)


def _shown(one: Sent, side: int, from_ns: int, until_ns: int) -> Mask:
    slots = np.arange(one.call.slots)
    return (slots >= one.slots(side, from_ns)) & (slots < one.slots(side, until_ns))
