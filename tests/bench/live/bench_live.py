"""The cost of `rokubox record` at a mirror port with many concurrent calls, beside tcpdump at the same port.

    python -m tests.bench.live [--calls 2000] [--seconds 60] [--quick] [--json]

    cost       the calls asked for, over the full time, with tcpdump beside the recorder at the end
    delay      1,000 calls: seconds from BYE to recording
    highest    short runs, faster by `STEP_PPS` each, until one loses a packet; the fastest that loses none over the
               full time is the answer

Needs root, for a network namespace of its own: the traffic does not leave it.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.bench.bench_import import Figure, NotMeasurable
from tests.bench.live.account import Account
from tests.bench.live.measure import Run, Watched, archived, watch
from tests.bench.live.memory import full_of_page_cache
from tests.bench.live.plan import Plan
from tests.bench.live.span import why_not

PERMISSION, TOOL = 5, 6
PPS_PER_CALL = 100
FIRST_PPS, STEP_PPS, LAST_PPS = 100_000, 50_000, 600_000
STEP_S = 12
LEAST_S = 10
"""Less leaves no time between the calls' beginning and their end."""
CONFIRMED = 3
"""How many rates are tried over the full time, from the highest down."""
TALK_S = 120
"""Calls that begin and end within the measurement are this long."""
REFERENCE_S = 10.0
DELAY_CALLS = 1000
MOST_LATE_S = 0.5
"""A sender that is further behind its time does not hold the rate."""
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table of the result."""

    title: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What is measured, and where."""

    calls: int
    seconds: int
    quick: bool
    folder: Path
    """Everything is written below it and removed again."""

    def sections(self) -> Iterator[Section]:
        """Measure, one section after the other."""
        run = self._run(self.calls, min(REFERENCE_S, self.seconds / 4))
        if self.quick:
            yield self._cost(run)
            return
        with full_of_page_cache(self.folder):
            yield self._cost(run)
            yield self._delay(self._run(DELAY_CALLS, 0.0))
            yield self._highest()

    def check_disk(self) -> None:
        """Raise NotMeasurable when the largest run does not fit."""
        most = self.calls if self.quick else max(self.calls, LAST_PPS // PPS_PER_CALL)
        needed = self._run(most, 0.0).needed_bytes
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise NotMeasurable(f"{needed >> 20} MiB of disk are needed, {free >> 20} MiB are free: try --quick")

    def _run(self, calls: int, reference_s: float, seconds: int | None = None) -> Run:
        # Where there is little time there are short calls, so that some end within it.
        length = self.seconds if seconds is None else seconds
        talk_s = max(4, min(TALK_S, length // 2)) if self.quick else TALK_S
        return Run(plan=Plan(lines=calls, seconds=length, talk_s=talk_s), reference_s=reference_s)

    def _highest(self) -> Section:
        held: list[int] = []
        for pps in range(FIRST_PPS, LAST_PPS + 1, STEP_PPS):
            if not self._holds(pps, STEP_S):
                break
            held.append(pps)
        confirmed = next((pps for pps in held[: -CONFIRMED - 1 : -1] if self._holds(pps, self.seconds)), 0)
        return Section(
            title="highest rate without a loss",
            figures=(
                Figure(
                    name=f"over {self.seconds} s, packets a second",
                    value=confirmed,
                    target=200_000,
                    stretch=300_000,
                    at_least=True,
                ),
                Figure(
                    name=f"over {STEP_S} s, packets a second",
                    value=max(held, default=0),
                    target=None,
                    stretch=None,
                    at_least=True,
                ),
            ),
        )

    def _holds(self, pps: int, seconds: int) -> bool:
        with _fresh(self.folder) as folder:
            watched = watch(self._run(pps // PPS_PER_CALL, 0.0, seconds), folder, to_the_end=False)
        held = watched.probe.lost() == watched.missing == 0 and watched.sent.latest_s < MOST_LATE_S
        _tell(
            f"{pps:,} packets a second for {seconds} s: {watched.probe.lost():,} lost, {watched.missing:,} not in the"
            f" journal, sender at worst {watched.sent.latest_s:.3f} s late,"
            f" capture {watched.capture_us:.2f} µs a packet"
        )
        return held

    def _cost(self, run: Run) -> Section:
        with _fresh(self.folder) as folder:
            watched = watch(run, folder, to_the_end=True)
            found = archived(watched, folder)
        title = f"{run.plan.lines:,} calls x {run.plan.seconds} s, {watched.sent.frames:,} packets"
        return Section(title=title, figures=(*_cost_figures(watched), *_archive_figures(watched, found, limit_s=None)))

    def _delay(self, run: Run) -> Section:
        with _fresh(self.folder) as folder:
            watched = watch(run, folder, to_the_end=True)
            found = archived(watched, folder)
        return Section(
            title=f"{run.plan.lines:,} calls x {run.plan.seconds} s: from BYE to recording",
            figures=_archive_figures(watched, found, limit_s=2.0),
        )


def _cost_figures(watched: Watched) -> tuple[Figure, ...]:
    limit_mib = 640 + 30 * watched.run.plan.lines / 1024
    pickup_ms = np.quantile(watched.pickup_s(), (0.5, 0.99, 1.0)) * 1e3
    both_us = watched.capture_us + watched.assemble_us
    dumped = watched.dumped
    assert dumped is not None
    return (
        _plain("packets a second", watched.rate),
        Figure(name="packets lost by capture's own account", value=watched.probe.lost(), target=0, stretch=None),
        Figure(name="packets sent that are not in the journal", value=watched.missing, target=0, stretch=None),
        Figure(name="CPU per packet: capture, µs", value=watched.capture_us, target=1.0, stretch=None),
        _plain("CPU per packet: assembly, µs", watched.assemble_us),
        Figure(name="CPU per packet: capture and assembly, µs", value=both_us, target=2.5, stretch=1.5),
        _plain("CPU per packet: supervisor and keeper, µs", watched.supervisor_us),
        _plain("pickup delay, median, ms", float(pickup_ms[0])),
        _plain("pickup delay, 99 %, ms", float(pickup_ms[1])),
        _plain("pickup delay, greatest, ms", float(pickup_ms[2])),
        Figure(
            name="memory of all processes at its peak, MiB",
            value=watched.peak_bytes / MIB,
            target=limit_mib,
            stretch=None,
        ),
        _plain("journal, bytes a packet", watched.probe.journal_bytes / watched.probe.frames),
        _plain("tcpdump's CPU per packet, µs", dumped.cpu_s / dumped.packets * 1e6),
        _plain("packets lost by tcpdump", dumped.dropped),
        _plain(
            "sender's CPU per packet, kernel's way to the ring included, µs",
            watched.sent.cpu_s / watched.sent.frames * 1e6,
        ),
        _plain("sender at worst behind its time, ms", watched.sent.latest_s * 1e3),
        _plain("load average before", watched.load),
    )


def _archive_figures(watched: Watched, found: Account, *, limit_s: float | None) -> tuple[Figure, ...]:
    visible_s = watched.visible_s(found)
    quantiles = np.quantile(visible_s, (0.5, 0.99, 1.0)).tolist() if len(visible_s) else [float("nan")] * 3
    return (
        Figure(
            name="calls recorded without a missing packet, %",
            value=found.complete_percent,
            target=100,
            stretch=None,
            at_least=True,
        ),
        Figure(
            name=f"of {found.compared} calls compared, those with a wrong sample",
            value=found.differing,
            target=0,
            stretch=None,
        ),
        _plain("calls that ended while others went on", len(visible_s)),
        Figure(name="BYE to recording, median, s", value=quantiles[0], target=limit_s, stretch=None),
        Figure(name="BYE to recording, 99 %, s", value=quantiles[1], target=limit_s, stretch=None),
        Figure(name="BYE to recording, greatest, s", value=quantiles[2], target=limit_s, stretch=None),
        _plain("all hang up within 2 s: last BYE to last recording, s", watched.last_visible_s(found)),
    )


def _plain(name: str, value: float) -> Figure:
    return Figure(name=name, value=value, target=None, stretch=None)


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """A folder for one run; gone afterwards, as the next run needs the room."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="run-") as made:
        yield Path(made)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def table(section: Section) -> Table:
    """Return a section for people."""
    shown = Table(title=f"rokubox record: {section.title}")
    shown.add_column("figure")
    for heading in ("measured", "target", "stretch"):
        shown.add_column(heading, justify="right")
    shown.add_column("")
    for figure in section.figures:
        limits = ["" if limit is None else f"{limit:,g}" for limit in (figure.target, figure.stretch)]
        shown.add_row(figure.name, f"{figure.value:,.2f}", *limits, figure.verdict())
    return shown


def document(sections: Sequence[Section]) -> list[dict[str, object]]:
    """Return the result for programs."""
    return [
        {
            "title": section.title,
            "figures": [asdict(figure) | {"verdict": figure.verdict()} for figure in section.figures],
        }
        for section in sections
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 0, 1 when something could not be measured, 5 without root, 6 without a tool."""
    parser = argparse.ArgumentParser(description="Measure `rokubox record` beside tcpdump.")
    parser.add_argument("--calls", type=int, default=2000, help="concurrent calls (default: 2000)")
    parser.add_argument("--seconds", type=int, default=60, help="length of the long runs (default: 60)")
    parser.add_argument("--quick", action="store_true", help="200 calls x 10 s, nothing else: says little")
    parser.add_argument("--folder", type=Path, default=Path("bench-out"), help="where archives are made")
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    wanted = parser.parse_args(argv)
    if wanted.calls < 1 or wanted.seconds < LEAST_S:
        parser.error(f"at least one call and {LEAST_S} seconds")
    if os.geteuid() != 0:
        _tell("only root can make the network namespace that this measures in")
        return PERMISSION
    if missing := why_not():
        _tell(missing)
        return TOOL
    calls, seconds = (200, 10) if wanted.quick else (wanted.calls, wanted.seconds)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    sections: list[Section] = []
    with tempfile.TemporaryDirectory(dir=wanted.folder, prefix="live-") as folder:
        bench = Bench(calls=calls, seconds=seconds, quick=wanted.quick, folder=Path(folder).absolute())
        try:
            bench.check_disk()
            for section in bench.sections():
                sections.append(section)
                if not wanted.json:
                    Console().print(table(section))
        except NotMeasurable as error:
            _tell(str(error))
            return 1
    if wanted.json:
        print(json.dumps(document(sections), indent=1))
    return 0
