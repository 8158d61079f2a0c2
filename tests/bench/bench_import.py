"""The cost of `rokubox import` on a generated capture of many concurrent calls, beside tshark on the same file.

    python -m tests.bench [--quick] [--json]

Both read the file by turns, from a warm page cache; the median of the runs counts. A second capture, four times as
long, shows that memory does not grow with the file. CPU time is user and system together for the whole command, from
start to exit. This module imports nothing large: see `measuring.Cost.peak_bytes`.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.measuring import CommandFailed, Cost, run_measured

GROWTH = 4
"""The long capture is this many times as long as the short one."""
BYTES_PER_PACKET = 230 + 320 + 230
"""Capture record, PCM16 samples and journal of one 20 ms packet."""
PACKETS_PER_CALL_SECOND = 100
PCM_BYTES_PER_CALL_SECOND = 32_000
MIB = 1 << 20
PACKAGES = ("appliance", "capture", "dsp", "storage", "uploader")


class NotMeasurable(Exception):
    """Something is missing that the measurement needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the result."""

    name: str
    value: float
    target: float | None
    stretch: float | None
    at_least: bool = False
    """Whether more is better."""

    def verdict(self) -> str:
        """`stretch`, `reached` or `missed`; empty without a target."""
        if self.target is None:
            return ""
        if self.stretch is not None and self._meets(self.stretch):
            return "stretch"
        return "reached" if self._meets(self.target) else "missed"

    def _meets(self, limit: float) -> bool:
        return self.value >= limit if self.at_least else self.value <= limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All runs over both captures."""

    packets: int
    """Frames in the short capture."""
    audio_s: float
    """Seconds of two-sided calls in the archive made from the short capture."""
    imports: tuple[Cost, ...]
    tsharks: tuple[Cost, ...]
    long_import: Cost
    long_packets: int

    def figures(self) -> tuple[Figure, ...]:
        """The results with their targets."""
        ours, theirs = (statistics.median(cost.cpu_s for cost in costs) for costs in (self.imports, self.tsharks))
        peak = statistics.median(cost.peak_bytes for cost in self.imports)
        longer = self.long_import
        return (
            Figure(name="CPU per packet, µs", value=ours / self.packets * 1e6, target=2.0, stretch=1.3),
            Figure(name="CPU beside tshark's", value=ours / theirs, target=0.4, stretch=0.25),
            Figure(
                name="call seconds per CPU second", value=self.audio_s / ours, target=5000, stretch=8000, at_least=True
            ),
            Figure(name="peak memory, MiB", value=peak / MIB, target=1024, stretch=None),
            Figure(
                name=f"peak memory, {GROWTH} x as long, MiB", value=longer.peak_bytes / MIB, target=1024, stretch=None
            ),
            Figure(name="growth of memory", value=longer.peak_bytes / peak, target=1.1, stretch=None),
            Figure(
                name=f"CPU per packet, {GROWTH} x as long, µs",
                value=longer.cpu_s / self.long_packets * 1e6,
                target=2.0,
                stretch=1.3,
            ),
            Figure(name="tshark's CPU per packet, µs", value=theirs / self.packets * 1e6, target=None, stretch=None),
            Figure(
                name="tshark's peak memory, MiB", value=self.tsharks[-1].peak_bytes / MIB, target=None, stretch=None
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What is measured, and where."""

    calls: int
    seconds: int
    runs: int
    folder: Path
    """Everything is written below it and removed again."""

    def measure(self) -> Measured:
        """Make the captures one after the other, so that only one lies on the disk at a time, and measure."""
        tshark = shutil.which("tshark")
        if tshark is None:
            raise NotMeasurable("tshark is not installed")
        write_bytecode()
        capture = self.folder / "short.pcap"
        packets = self._generate(capture, self.seconds)
        imports, tsharks, audio_s = [], [], 0.0
        for _ in range(self.runs):
            cost, audio_s = self._import(capture, self.seconds)
            imports.append(cost)
            tsharks.append(self._tshark(tshark, capture))
        capture.unlink()
        capture = self.folder / "long.pcap"
        long_packets = self._generate(capture, self.seconds * GROWTH)
        long_import, _ = self._import(capture, self.seconds * GROWTH)
        capture.unlink()
        return Measured(
            packets=packets,
            audio_s=audio_s,
            imports=tuple(imports),
            tsharks=tuple(tsharks),
            long_import=long_import,
            long_packets=long_packets,
        )

    def check_disk(self) -> None:
        """Raise NotMeasurable when the long capture, its journal and its archive do not fit."""
        needed = self.calls * self.seconds * GROWTH * PACKETS_PER_CALL_SECOND * BYTES_PER_PACKET * 5 // 4
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise NotMeasurable(f"{needed >> 20} MiB of disk are needed, {free >> 20} MiB are free: try --quick")

    def _generate(self, capture: Path, seconds: int) -> int:
        """Make a capture; return the number of frames in it."""
        command = [sys.executable, "-m", "tests.traffic.bulk", "--output", str(capture)]
        command += ["--calls", str(self.calls), "--seconds", str(seconds)]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        counted = re.search(r"(\d+) packets", told)
        if counted is None:
            raise NotMeasurable(f"the generator did not tell how many packets it wrote: {told}")
        return int(counted[1])

    def _import(self, capture: Path, seconds: int) -> tuple[Cost, float]:
        """Import into a fresh archive; return the cost and the seconds of calls that the archive holds."""
        # Archives stay until the end: ext4 makes files slowly where many were deleted in the last minute.
        archive = Path(tempfile.mkdtemp(prefix="archive-", dir=self.folder))
        cost = run_measured(
            [*rokubox(), "import", str(capture), "--output", str(archive), "--record", "all"], self.folder / "printed"
        )
        records = sum(1 for _ in (archive / "calls").rglob("*.json"))
        stored = sum(path.stat().st_size for path in (archive / "recordings").rglob("*.zip"))
        audio_s = stored / PCM_BYTES_PER_CALL_SECOND
        if records != self.calls or audio_s < self.calls * seconds:
            raise NotMeasurable(f"{records} calls with {audio_s:.0f} s, {self.calls} with {seconds} s each expected")
        return cost, self.calls * seconds

    def _tshark(self, tshark: str, capture: Path) -> Cost:
        printed = self.folder / "printed"
        cost = run_measured([tshark, "-q", "-z", "rtp,streams", "-r", str(capture)], printed)
        streams = sum(" 0x" in line for line in printed.read_text().splitlines())
        if streams != 2 * self.calls:
            raise NotMeasurable(f"tshark found {streams} streams, {2 * self.calls} expected")
        return cost


def write_bytecode() -> None:
    """Compile the product, as its installation does: a checkout may be set not to keep what Python compiles."""
    folders = [str(Path(__file__).parents[2] / name) for name in PACKAGES]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], check=True)


def rokubox() -> list[str]:
    """Return the installed command beside this interpreter, or else the module that it calls."""
    installed = Path(sys.executable).with_name("rokubox")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "appliance"]


def table(bench: Bench, measured: Measured) -> Table:
    """Return the result for people."""
    minute = f"{bench.calls} calls x {bench.seconds} s, {measured.packets:,} packets, median of {bench.runs}"
    shown = Table(title=f"rokubox import: {minute}")
    shown.add_column("figure")
    for heading in ("measured", "target", "stretch"):
        shown.add_column(heading, justify="right")
    shown.add_column("")
    for figure in measured.figures():
        limits = ["" if limit is None else f"{limit:,g}" for limit in (figure.target, figure.stretch)]
        shown.add_row(figure.name, f"{figure.value:,.2f}", *limits, figure.verdict())
    return shown


def document(bench: Bench, measured: Measured) -> dict[str, object]:
    """Return the result for programs, every single run included."""
    return {
        "calls": bench.calls,
        "seconds": bench.seconds,
        "figures": [asdict(figure) | {"verdict": figure.verdict()} for figure in measured.figures()],
        "runs": asdict(measured),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 0, or 1 when something could not be measured."""
    parser = argparse.ArgumentParser(description="Measure `rokubox import` beside tshark.")
    parser.add_argument("--calls", type=int, default=500, help="concurrent calls (default: 500)")
    parser.add_argument("--seconds", type=int, default=60, help="length of the short capture (default: 60)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each tool on the short capture (default: 3)")
    parser.add_argument("--quick", action="store_true", help="100 calls x 15 s, one run: says little, takes seconds")
    parser.add_argument("--folder", type=Path, help="where captures and archives are made (default: bench-out)")
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    wanted = parser.parse_args(argv)
    calls, seconds, runs = (100, 15, 1) if wanted.quick else (wanted.calls, wanted.seconds, wanted.runs)
    parent = wanted.folder or Path("bench-out")
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix="import-") as folder:
        bench = Bench(calls=calls, seconds=seconds, runs=runs, folder=Path(folder).absolute())
        try:
            bench.check_disk()
            measured = bench.measure()
        except (NotMeasurable, CommandFailed) as error:
            print(error, file=sys.stderr)
            return 1
    if wanted.json:
        print(json.dumps(document(bench, measured), indent=1))
    else:
        Console().print(table(bench, measured))
    return 0
