"""What finishing a recording costs beyond writing its bytes: ZIP, hashes, names, ledger, checkpoint and index.

    python -m tests.bench.bench_storage [--quick]

By turns, in one process: recordings through the archive's writer with its books, brought up to date for every
`AT_ONCE` of them as the daemon does once a second, and the same bytes written, fsynced and renamed. CPU time is user
and system together; the median of the rounds counts. Rendering the audio is not part of it: the samples are there.
"""

import argparse
import hashlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from storage.archive import Archive
from storage.call_record import PartEntry
from storage.json_form import to_json
from storage.layout import part_stem
from storage.register import RegisterSettings
from storage.timestamps import NS_PER_S, local_time, rfc3339
from storage.vocabulary import Direction, Form
from storage.wavfile import Sound
from storage.writer import ArchiveWriter
from tests.storage.ledger.books import settings
from tests.storage.samples import INFO, START_NS, TOKYO, call_record, part_record

AT_ONCE = 20
ROUNDS = 5
FRAME_RATE, FRAME_BYTES = 8000, 4
BLOCK_FRAMES = 80_000
LEAST_MS, MS_PER_MB = 3.0, 1.0
"""What a recording may cost beyond the writing of its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one recording, in milliseconds."""

    cpu_ms: float
    wall_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One length of recording."""

    seconds: int
    ours: Cost
    plain: Cost

    @property
    def megabytes(self) -> float:
        return self.seconds * FRAME_RATE * FRAME_BYTES / 1e6

    @property
    def beyond_ms(self) -> float:
        return self.ours.cpu_ms - self.plain.cpu_ms

    @property
    def allowed_ms(self) -> float:
        return LEAST_MS + MS_PER_MB * self.megabytes


class _Clock:
    """CPU and wall time from now on."""

    def __init__(self) -> None:
        self._cpu_s, self._wall_s = time.process_time(), time.perf_counter()

    def cost(self, recordings: int) -> Cost:
        cpu_s, wall_s = time.process_time() - self._cpu_s, time.perf_counter() - self._wall_s
        return Cost(cpu_ms=cpu_s * 1000 / recordings, wall_ms=wall_s * 1000 / recordings)


class Bench:
    """Measures in one folder, which is left empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def row(self, seconds: int, recordings: int) -> Row:
        """Measure recordings of a length."""
        audio = np.random.default_rng(seconds).integers(-8000, 8000, (seconds * FRAME_RATE, 2)).astype(np.int16)
        rounds = []
        for number in range(ROUNDS):
            ours = self._finish(audio, recordings)
            sizes = [path.stat().st_size for path in sorted(self._folder.glob("archive/*/*/*/*/*"))]
            shutil.rmtree(self._folder / "archive")
            plain = self._write(audio.tobytes(), sizes, recordings)
            shutil.rmtree(self._folder / "plain")
            if number:  # the first one warms up
                rounds.append((ours, plain))
        return Row(
            seconds=seconds, ours=_median([ours for ours, _ in rounds]), plain=_median([one for _, one in rounds])
        )

    def _finish(self, audio: npt.NDArray[np.int16], recordings: int) -> Cost:
        root = self._folder / "archive"
        books = RegisterSettings(ledger=settings(root), now_ns=lambda: START_NS)
        with ArchiveWriter(Archive(root), books=books) as writer:
            clock = _Clock()
            for number in range(recordings):
                _record(writer, number, audio)
                if (number + 1) % AT_ONCE == 0 or number + 1 == recordings:
                    writer.sync()
            return clock.cost(recordings)

    def _write(self, content: bytes, sizes: Sequence[int], recordings: int) -> Cost:
        """The same bytes, as plainly as they can be made durable."""
        folder = self._folder / "plain"
        folder.mkdir()
        content += bytes(max(0, *sizes) - len(content))
        clock = _Clock()
        for number, size in enumerate(sizes):
            draft = folder / f".{number}"
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
            left = memoryview(content)[:size]
            while left:
                left = left[os.write(descriptor, left[: BLOCK_FRAMES * FRAME_BYTES]) :]
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
            draft.rename(folder / str(number))
            if (number + 1) % AT_ONCE == 0 or number + 1 == len(sizes):
                _sync(folder)
        return clock.cost(recordings)


def _record(writer: ArchiveWriter, number: int, audio: npt.NDArray[np.int16]) -> None:
    """One call of one part, finished."""
    call_id = hashlib.sha256(str(number).encode()).hexdigest()
    start_ns = START_NS + number * NS_PER_S
    at = rfc3339(start_ns, TOKYO)
    stem = part_stem(
        start_ns=start_ns,
        zone=TOKYO,
        direction=Direction.OUT,
        caller="0312345678",
        callee=f"06{number:08d}",
        call_id=call_id,
        part=1,
    )
    blocks = [audio[first : first + BLOCK_FRAMES] for first in range(0, len(audio), BLOCK_FRAMES)]
    written = writer.write_part(
        call_id=call_id,
        number=1,
        stem=stem,
        started=local_time(start_ns, TOKYO),
        form=Form.ZIP,
        sound=Sound(blocks=blocks, frames=len(audio), law=None, info=INFO),
        metadata=lambda wav: to_json(part_record(call_id=call_id, origin_at=at, samples=len(audio), wav_sha256=wav)),
    )
    part = PartEntry(
        name=written.name,
        number=1,
        wav_sha256=written.wav_sha256,
        call_json_sha256=written.call_json_sha256,
        first_sample=0,
        samples=len(audio),
    )
    writer.write_call(call_record(call_id=call_id, started_at=at, parts=(part,)))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.close(descriptor)


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        cpu_ms=statistics.median(cost.cpu_ms for cost in costs),
        wall_ms=statistics.median(cost.wall_ms for cost in costs),
    )


def table(rows: Sequence[Row]) -> Table:
    """The result beside what it is measured against."""
    shown = Table(title="finishing a recording, CPU and wall in ms, beside plain write + fsync + rename")
    for name in ("length", "MB", "CPU", "plain", "beyond", "allowed", "", "wall", "plain"):
        shown.add_column(name, justify="right")
    for row in rows:
        shown.add_row(
            f"{row.seconds} s",
            f"{row.megabytes:.1f}",
            f"{row.ours.cpu_ms:.2f}",
            f"{row.plain.cpu_ms:.2f}",
            f"{row.beyond_ms:.2f}",
            f"{row.allowed_ms:.1f}",
            "reached" if row.beyond_ms <= row.allowed_ms else "missed",
            f"{row.ours.wall_ms:.1f}",
            f"{row.plain.wall_ms:.1f}",
        )
    return shown


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 0."""
    parser = argparse.ArgumentParser(prog="bench_storage", description="Measure what finishing a recording costs.")
    parser.add_argument("--quick", action="store_true", help="fewer recordings")
    arguments = parser.parse_args(argv)
    lengths = {1: 40, 60: 20} if arguments.quick else {1: 200, 60: 60, 600: 4}
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        bench = Bench(Path(folder))
        Console().print(table([bench.row(seconds, recordings) for seconds, recordings in lengths.items()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
