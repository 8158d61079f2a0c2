"""`make test-powercut`: the power of a box that records is cut at random instants, and what is left is compared."""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.crash.span import why_not
from tests.image import machine
from tests.powercut import booted, checkpoints, cuts, judging, native, run
from tests.powercut.calls import Mixed
from tests.powercut.checkpoints import Signed
from tests.powercut.cuts import Cut
from tests.powercut.run import Run

LENGTH_S = 110.0
"""How long calls are shown: two rounds of erasing, and parts that are cut in between."""
LINES, LONG_LINES, LONG_S = 20, 2, 900.0
SHORTEST_S, LONGEST_S = 6.0, 45.0
PROCESSES = 2
SABOTAGED = 6
"""Cuts of a disk that does not heed flushes."""
_SHOWN = 20


def main() -> int:
    """1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--points", type=int, default=100, help="cuts (default %(default)s)")
    parser.add_argument("--booted", type=int, default=5, help="of these, disks that are booted (default %(default)s)")
    parser.add_argument("--seed", type=int, help="of calls and cuts; by default another one each time")
    parser.add_argument("--folder", type=Path, help="keep the run here; one that is here is not made again")
    parser.add_argument("--native", action="store_true", help="a run on this machine's own kernel, which keeps time")
    chosen = parser.parse_args()
    if reason := (native.why_not() if chosen.native else machine.why_not()) or why_not():
        print(f"not possible: {reason}")
        return 1
    seed = random.SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="powercut") as name:
        folder = chosen.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        record = native.record if chosen.native else run.record
        return _proven(record, chosen.image, folder, seed, chosen.points, 0 if chosen.native else chosen.booted)


Record = Callable[[Path, Path, Mixed, float], Run]


def _proven(record: Record, image: Path, folder: Path, seed: int, count: int, boots: int) -> int:
    plan = Mixed(
        lines=LINES, seed=seed, shortest_s=SHORTEST_S, longest_s=LONGEST_S, long_lines=LONG_LINES, long_s=LONG_S
    )
    begun = time.monotonic()
    kept = (folder / "run.json").exists()
    made = run.load(folder, plan) if kept else record(image, folder, plan, LENGTH_S)
    signed = checkpoints.found(made.log, made.first)
    _tell_run(made, signed, time.monotonic() - begun)
    points = cuts.points(made, count, seed)
    chance = random.Random(f"booted {seed}")
    to_boot = sorted(chance.sample(points, boots))
    begun = time.monotonic()
    offline = _offline(made, [point for point in points if point not in to_boot], signed, folder, seed)
    spent_s = time.monotonic() - begun
    rebooted = [_booted(made, point, signed, folder / f"boot{point}", seed) for point in to_boot]
    cuts.settle([*offline, *rebooted])
    console = Console(width=140)
    _show(console, "recovered on this machine", offline)
    if rebooted:
        _show(console, "booted", rebooted)
    console.print(f"{len(offline)} cuts recovered in {spent_s:.0f} s by {PROCESSES} processes")
    deaf = replace(made, log=cuts.deaf(made.log, made.first))
    sabotaged = _offline(deaf, points[:: max(1, count // SABOTAGED)][:SABOTAGED], signed, folder, seed)
    found = sum(bool(cut.problems) for cut in sabotaged)
    console.print(f"a disk that does not heed flushes: {found} of {len(sabotaged)} cuts are found to be wrong")
    wrong = [cut for cut in (*offline, *rebooted) if cut.problems]
    for cut in wrong[:_SHOWN]:
        for problem in cut.problems[:_SHOWN]:
            console.print(f"  WRONG: cut {cut.point} at {cut.at_s:.1f} s: {problem}", markup=False)
    console.print("proven" if not wrong and found == len(sabotaged) else "NOT PROVEN")
    return int(bool(wrong) or found < len(sabotaged))


def _offline(made: Run, points: Sequence[int], signed: list[Signed], folder: Path, seed: int) -> list[Cut]:
    with ProcessPoolExecutor(PROCESSES) as pool:
        shares = [
            pool.submit(cuts.offline, made, points[number::PROCESSES], signed, folder / f"cuts{number}", seed)
            for number in range(PROCESSES)
        ]
        return sorted((cut for share in shares for cut in share.result()), key=lambda cut: cut.point)


def _booted(made: Run, point: int, signed: list[Signed], folder: Path, seed: int) -> Cut:
    again = booted.reboot(made, point, folder, seed)
    return cuts.judged(made, point, signed, again.recovery, again.again)


def _tell_run(made: Run, signed: list[Signed], spent_s: float) -> None:
    entries = made.log.entries[made.first : made.last]
    written = sum(entry.sectors for entry in entries) * made.log.sector_bytes
    flushes = sum(entry.is_flush for entry in entries)
    late_s = made.progress.late_s(0, cuts.FOREVER_NS)
    print(
        f"a run of {LENGTH_S:.0f} s: {len(made.sent)} calls, {LINES} at a time;"
        f" {len(entries)} requests to the disk, {written / 1e6:.0f} MB, {flushes} flushes, {len(signed)} checkpoints;"
        f" a packet reached the mirror port at most {late_s:.1f} s late; {spent_s:.0f} s",
        flush=True,
    )


def _show(console: Console, title: str, done: Sequence[Cut]) -> None:
    table = Table(title=f"{len(done)} cuts, {title}", title_justify="left")
    for column in ("", "least", "median", "greatest"):
        table.add_column(column, justify="left" if not column else "right")
    rows: list[tuple[str, Callable[[Cut], float], str]] = [
        ("after the first call, s", lambda cut: cut.at_s, ".1f"),
        ("writes that no flush had covered", lambda cut: cut.unflushed, ".0f"),
        ("recordings and records to be seen", lambda cut: cut.finished, ".0f"),
        ("lines of the ledger under a checkpoint", lambda cut: cut.signed, ".0f"),
        ("calls erased", lambda cut: len(cut.judgement.erased), ".0f"),
        ("calls compared", lambda cut: cut.judgement.calls, ".0f"),
        ("speech missing of a call, at most, s", lambda cut: max(cut.judgement.missing_s, default=0.0), ".2f"),
        ("allowed: 1 s and the block in flight, s", lambda cut: cut.allowed_s, ".2f"),
        ("from the start until all is recovered, s", lambda cut: cut.recovery_s, ".1f"),
    ]
    for name, value, form in rows:
        values = sorted(map(value, done))
        if values:
            table.add_row(name, *(format(one, form) for one in (values[0], values[len(values) // 2], values[-1])))
    table.add_section()
    for name, count in _counts(done):
        table.add_row(name, "", "", str(count))
    console.print(table)


def _counts(done: Sequence[Cut]) -> Iterable[tuple[str, int]]:
    yield "cuts with a torn block at the journal's end", sum(cut.torn_bytes > 0 for cut in done)
    yield "cuts with damage within the journal", sum(cut.skipped > 0 for cut in done)
    yield "file systems that needed more than e2fsck -p", sum(not cut.is_clean for cut in done)
    yield "samples compared", sum(cut.judgement.samples for cut in done)
    yield (
        f"calls that lost more than {judging.LIMIT_S:g} s",
        sum(one > judging.LIMIT_S for cut in done for one in cut.judgement.missing_s),
    )
    yield "cuts with something wrong", sum(bool(cut.problems) for cut in done)


if __name__ == "__main__":
    sys.exit(main())
