"""`make soak`: steady calls for as long as wanted, while what the recorder uses and what it records is watched.

Every recording is compared with what was sent as soon as its call record is there, and then taken away: the disk is not
what is tried. A line a minute, a verdict at the end.
"""

import argparse
import contextlib
import json
import os
import random
import statistics
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from capture import journalscan
from capture.events import LOST, EventKind
from capture.journal import EventBlock
from capture.journalreader import JournalReader
from tests.crash.calls import Plan
from tests.crash.proof import SNAPSHOT, Proof, left_overs
from tests.crash.recorder import Recorder, Role
from tests.crash.span import Sender, span, why_not

SAMPLE_S, LINE_S, LOOK_S = 10.0, 60.0, 0.2
SETTLE_S = 15.0
"""How long calls may take to be recorded after the last BYE."""
MORE_BYTES, MORE_SHARE, MORE_FILES = 8 << 20, 0.05, 4
"""What a process may use more at the end of the second half than at its begin, and be called steady."""
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What one process uses."""

    pid: int
    pss_bytes: int
    files: int


NO_PROCESS = Use(pid=0, pss_bytes=0, files=0)
"""Of one that is not there just now."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """What was seen so far."""

    archive: Path
    plan: Plan
    proof: Proof = field(default_factory=Proof)
    seen: Counter[str] = field(default_factory=Counter)
    """Call records by Call-ID."""
    uses: list[dict[Role, Use]] = field(default_factory=list)
    dropped: int = 0
    """Packets that the ring or the adapter had no room for."""
    behind_bytes: list[int] = field(default_factory=list)
    """How much of the journal was not assembled whenever assembly kept its state."""
    journal_bytes: list[int] = field(default_factory=list)
    _position: int = 0
    _snapshot_ns: int = 0

    def look(self) -> None:
        """Take note of whatever is new, and take recordings away."""
        self._look_at_snapshot()
        for path in list((self.archive / "calls").rglob("*.json")):
            record = json.loads(path.read_bytes())
            call_id = record["sip"]["call_ids"][0] if record["sip"] else "unsignalled"
            self.seen[call_id] += 1
            if record["sip"]:
                line, number = call_id.partition("@")[0].split("-")
                self.proof.take(self.archive, record, self.plan.call(int(line), int(number)))
            for entry in record["parts"]:
                for recording in (self.archive / "recordings").rglob(entry["name"]):
                    recording.unlink()
            path.unlink()

    def sample(self, recorder: Recorder) -> None:
        """Take the figures of the moment."""
        self.uses.append({role: use_of(recorder.pid(role)) for role in Role})
        journal = self.archive / "journal"
        self.journal_bytes.append(sum(_size(journalscan.path_of(journal, n)) for n in journalscan.numbers(journal)))
        with JournalReader(journal, self._position) as reader:
            while (item := reader.next()) is not None:
                events = item[1].events if isinstance(item[1], EventBlock) else ()
                counters = [event.detail for event in events if event.kind == EventKind.COUNTERS]
                self.dropped += sum(int(detail.get(name, 0)) for detail in counters for name in LOST)
            self._position = reader.position

    def _look_at_snapshot(self) -> None:
        path = self.archive / "spool" / SNAPSHOT
        if not path.exists() or path.stat().st_mtime_ns == self._snapshot_ns:
            return
        self._snapshot_ns = path.stat().st_mtime_ns
        (position,) = struct.unpack_from("<Q", path.read_bytes())
        with JournalReader(self.archive / "journal", position) as reader:
            self.behind_bytes.append(reader.behind_bytes())

    def line(self, minute: int) -> str:
        """The figures of now."""
        uses = " ".join(
            f"{role} {use.pss_bytes / _MIB:.1f} MiB {use.files} fds," for role, use in self.uses[-1].items()
        )
        behind = max(self.behind_bytes[-6:], default=0) / _MIB
        return (
            f"{minute:4} min: {uses} journal {self.journal_bytes[-1] / _MIB:.0f} MiB, behind {behind:.1f} MiB,"
            f" {self.dropped} dropped, {self.proof.calls} calls compared, {len(self.proof.problems)} wrong"
        )


def use_of(pid: int) -> Use:
    """What a process uses now."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return NO_PROCESS
    pss = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return Use(pid=pid, pss_bytes=pss * 1024, files=files)


def _size(path: Path) -> int:
    """Of a file that may be forgotten at this moment."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def growth(uses: Sequence[dict[Role, Use]]) -> list[str]:
    """What grew over the second half of the samples, four at least, by more than a steady process may; and restarts."""
    second = uses[len(uses) // 2 :]
    earlier, later = second[: len(second) // 2], second[len(second) // 2 :]
    problems = []
    for role in Role:
        before, after = (statistics.median(each[role].pss_bytes for each in some) for some in (earlier, later))
        if after > before * (1 + MORE_SHARE) + MORE_BYTES:
            problems.append(f"{role}: memory grew from {before / _MIB:.1f} to {after / _MIB:.1f} MiB")
        files, files_after = (statistics.median(each[role].files for each in some) for some in (earlier, later))
        if files_after > files + MORE_FILES:
            problems.append(f"{role}: open files grew from {files:g} to {files_after:g}")
        if len({each[role].pid for each in uses}) != 1:
            problems.append(f"{role}: was restarted")
    return problems


def soak(folder: Path, plan: Plan, minutes: float) -> list[str]:
    """Watch for so long; what is wrong."""
    archive = folder / "archive"
    watch = Watch(archive=archive, plan=plan)
    with span() as where, Recorder(where, archive) as recorder, Sender(where, plan, folder, minutes * 60) as sender:
        recorder.start()
        recorder.wait_ready()
        sender.begin()
        began = time.monotonic()
        _follow(watch, recorder, sender, began)
        last_look = time.monotonic() + SETTLE_S
        while time.monotonic() < last_look:
            watch.look()
            time.sleep(LOOK_S)
        code = recorder.stop()
        watch.look()
        calls = sender.calls()
        arrived, sent = where.received(), sender.frames
    problems = [*watch.proof.problems, *growth(watch.uses), *left_overs(archive)]
    expected = {call.call_id: 1 for call in calls}
    wrong = {call_id for call_id in expected | watch.seen if watch.seen[call_id] != expected.get(call_id, 0)}
    problems += [f"call {call_id}: {watch.seen[call_id]} call records" for call_id in sorted(wrong)]
    if watch.dropped:
        problems.append(f"{watch.dropped} packets dropped")
    if arrived != sent:
        problems.append(f"{sent} frames sent, {arrived} arrived: the test itself loses some")
    if code:
        problems.append(f"exit code {code}")
    print(f"{len(calls)} calls, {watch.proof.packets} packets, {watch.proof.samples} samples as they were sent")
    return problems


def _follow(watch: Watch, recorder: Recorder, sender: Sender, began: float) -> None:
    """Look, sample and print until all is sent."""
    sample = line = began
    while not sender.is_over:
        watch.look()
        if (now := time.monotonic()) >= sample:
            watch.sample(recorder)
            sample += SAMPLE_S
            if now >= line:
                print(watch.line(round((now - began) / 60)), flush=True)
                line += LINE_S
        time.sleep(LOOK_S)


def main() -> int:
    """Soaks as the command line says; 1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="1 or more (default %(default)g)")
    parser.add_argument("--calls", type=int, default=200, help="at a time (default %(default)s)")
    parser.add_argument("--seed", type=int, help="of the calls; by default another one each time")
    chosen = parser.parse_args()
    if chosen.minutes < 1:
        parser.error("less than a minute shows no growth")
    if reason := why_not():
        print(f"not possible: {reason}")
        return 1
    seed = random.SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    print(f"{chosen.calls} calls at a time for {chosen.minutes:g} minutes, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak") as name:
        problems = soak(Path(name), Plan(lines=chosen.calls, seed=seed), chosen.minutes)
    for problem in problems[:20]:
        print(f"WRONG: {problem}")
    print("steady and complete" if not problems else f"NOT STEADY OR NOT COMPLETE: {len(problems)} findings")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
