"""One cut after the other: the disk rebuilt, recovered, and judged."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.crash.span import span
from tests.image.writelog import Rebuilder, WriteLog
from tests.powercut import checkpoints, judging, rescue
from tests.powercut.checkpoints import Signed
from tests.powercut.judging import Again, Judgement
from tests.powercut.run import Run

FOREVER_NS = 1 << 62
_ROKUBOX = Path(sys.executable).with_name("rokubox")


@dataclass(slots=True, kw_only=True)
class Cut:
    """What came of a cut."""

    point: int
    """Entries of the log before it."""
    at_s: float
    """How long after the first call."""
    unflushed: int
    """Writes that were not flushed."""
    allowed_s: float
    """Speech of a call that may be missing: a second, and the block in flight."""
    finished: int
    """Recordings and records that could be seen after it."""
    signed: int
    """Lines of the ledger that somebody may have a checkpoint over."""
    is_clean: bool = True
    """`e2fsck -p` was enough."""
    torn_bytes: int = 0
    """What was cut off the journal's last file."""
    skipped: int = 0
    """Places of the journal that cannot be read."""
    recovery_s: float = 0.0
    """How long assembly took."""
    judgement: Judgement = field(default_factory=Judgement)
    problems: list[str] = field(default_factory=list)
    """What is wrong."""
    notes: list[str] = field(default_factory=list)
    """What the daemons warned of."""


def offline(run: Run, points: Sequence[int], signed: list[Signed], folder: Path, seed: int) -> list[Cut]:
    """Cut at these points, which rise, and recover on this machine. Nothing is left in the folder but a base."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = run.folder / "base.raw"
    base = rescue.data_partition(whole, folder / "base.ext4")
    rebuilder = Rebuilder(rescue.only(run.log, rescue.data_begins(whole)), base, folder / "flushed.ext4")
    base.unlink()
    cuts: list[Cut] = []
    with span() as where:
        for point in points:
            data, home = folder / "data.ext4", folder / "home"
            rebuilder.rebuild(data, point, seed)
            home.mkdir()
            is_clean = rescue.check(data)
            archive = rescue.copied_out(data, home / "out")
            recovery = rescue.recover(archive, run.config, where, is_clean=is_clean)
            cuts.append(judged(run, point, signed, recovery))
            shutil.rmtree(home)
            data.unlink()
    return cuts


def judged(
    run: Run,
    point: int,
    signed: list[Signed],
    recovery: rescue.Recovery,
    again: Again | None = None,
) -> Cut:
    """Verify and compare a recovered archive."""
    cut_ns = run.cut_ns(point)
    newest = checkpoints.newest(signed, point)
    cut = Cut(
        point=point,
        at_s=cut_ns / 1e9,
        unflushed=sum(entry.sectors > 0 for entry in run.log.entries[run.log.last_flush(point) : point]),
        allowed_s=judging.LIMIT_S + run.in_flight_s(point),
        finished=len(recovery.before),
        signed=0 if newest is None else newest.size,
        is_clean=recovery.is_clean,
        torn_bytes=recovery.torn_bytes,
        skipped=recovery.skipped,
        recovery_s=recovery.recovery_s,
        problems=list(recovery.failed),
        notes=list(recovery.said),
    )
    if cut.problems:
        return cut
    cut.problems += verified(recovery.archive, newest)
    try:
        cut.judgement = judging.judge(
            recovery.archive, judging.shown(run.sent, cut_ns, run.progress, again), recovery.before, cut.allowed_s
        )
    except (ValueError, OSError, KeyError, TypeError) as error:  # what no recovery could mend
        cut.problems.append(f"the archive cannot be read: {error!r}")
    cut.problems += cut.judgement.problems
    return cut


def verified(archive: Path, newest: Signed | None) -> list[str]:
    """What `rokubox verify --all` finds."""
    command = [str(_ROKUBOX), "verify", "--all", "--archive", str(archive), "--json"]
    if newest is not None:
        command += ["--checkpoint", str(checkpoints.kept(newest, archive.parent))]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if not done.stdout:
        return [f"verify ends with {done.returncode}: {done.stderr}"]
    report = json.loads(done.stdout)
    return [f"verify: {defect['kind']} {defect['path']}: {defect['what']}" for defect in report["defects"]]


def settle(cuts: Sequence[Cut]) -> None:
    """Calls without a record have been erased: the ledger names them by ids that other cuts know."""
    known: dict[str, str] = {}
    for cut in cuts:
        known |= cut.judgement.known
    for cut in cuts:
        erased = cut.judgement.erased
        named = {known[one] for one in erased if one in known}
        unknown = sum(one not in known for one in erased)
        lacking = [call for call in cut.judgement.absent if call not in named]
        if len(lacking) > unknown:
            cut.problems += [f"call {call}: no record, and not erased" for call in lacking]


def deaf(log: WriteLog, first: int) -> WriteLog:
    """The log of a disk that does not heed flushes from entry `first` on: a test of these tests."""
    rest = (replace(entry, is_flush=False, is_through=False) for entry in log.entries[first:])
    return replace(log, entries=(*log.entries[:first], *rest))


def points(run: Run, count: int, seed: int) -> list[int]:
    """Draw points of a run while calls went on."""
    among = range(run.first + 1, run.last)
    return sorted(random.Random(seed).sample(among, count))
