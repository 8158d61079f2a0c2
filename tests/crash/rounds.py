"""What is done to the recorder while calls go on, and what must be left of them. Each function is one such story."""

import contextlib
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.assembling import journalneeds
from capture import journalscan
from capture.events import EventKind
from capture.journal import MediaBlock
from capture.journalfile import OFFSET_BITS, OFFSET_MASK
from capture.journalreader import JournalReader
from tests.crash.calls import Plan
from tests.crash.chronicle import Chronicle
from tests.crash.proof import SNAPSHOT, Proof, prove
from tests.crash.recorder import Recorder, Role, wait_until
from tests.crash.span import Sender, span
from tests.crash.watch import Watcher

DOWN_S = 3.0
"""How long nobody records when all are killed."""
DAMAGES = ("none", "appended", "cut", "lost")
"""What happens to the journal meanwhile, see `outage`."""
_EARLY, _EARLY_S, _LATER_S = 0.4, 0.8, 4.0
"""How many kills come while a process begins, and up to how long after its begin the others come."""
_SAID_LINES = 30
_BEFORE_S = 3.0
"""Calls go on when the harm begins."""
_KILLS_TO_WAIT = 4
"""So many early deaths lead to a delay of half a second."""
_RESTART_S = 12.0
"""More than the longest restart delay and a start."""
_TARGETS: dict[tuple[Role, ...], float] = {
    (Role.CAPTURE,): 0.25,
    (Role.ASSEMBLE,): 0.2,
    (Role.CAPTURE, Role.ASSEMBLE): 0.15,
    (Role.SUPERVISOR,): 0.15,
    (Role.KEEPER,): 0.1,
    (Role.SUPERVISOR, Role.CAPTURE): 0.1,
    (Role.SUPERVISOR, Role.CAPTURE, Role.ASSEMBLE): 0.05,
}


@dataclass(slots=True, kw_only=True)
class Story:
    """One story, told."""

    title: str
    said: list[str] = field(default_factory=list)
    """What the recorder said on stderr at last, and what the journal told; for whoever looks for what is wrong."""
    done: list[str] = field(default_factory=list)
    """What was done, and what it showed."""
    problems: list[str] = field(default_factory=list)
    """What should not be; empty: it is proven."""

    def explain(self, chronicle: Chronicle, sender: Sender) -> None:
        """Take over what the journal told, and whether the calls themselves were in time."""
        self.done += [chronicle.summary(), f"frames were sent at most {sender.latest_ms} ms late"]
        self.said += chronicle.details()

    def show(self, proof: Proof) -> None:
        """Take over what a comparison found."""
        self.problems += proof.problems
        self.done.append(
            f"{proof.calls} calls, {proof.packets} packets, {proof.samples} samples as they were sent;"
            f" {proof.twice} packets read twice and taken once"
        )
        if any(proof.missing_s):
            self.done.append(
                f"missing a side, as capture loss: {min(proof.missing_s):.2f} to {max(proof.missing_s):.2f} s"
            )


def killed(folder: Path, plan: Plan, kills: int, *, until_forgotten: bool) -> Story:
    """Any of the processes killed at random instants, each started again at once: nothing is missing.

    With `until_forgotten` it waits until the journal has forgotten all that is recorded: more than 30 s.
    """
    story = Story(title=f"{kills} kills under {plan.lines} calls")

    def harm(recorder: Recorder) -> None:
        counts = _kill(recorder, random.Random(plan.seed), kills)
        story.done.append(", ".join(f"{role} killed {number} times" for role, number in sorted(counts.items())))

    return _harmed(folder / "killed", plan, story, harm, until_forgotten=until_forgotten)


def instants(folder: Path, plan: Plan) -> Story:
    """The supervisor killed at each instant at which it alone might hold a ring: nothing is missing."""
    story = Story(title=f"the supervisor killed at {len(INSTANTS)} chosen instants")

    def harm(recorder: Recorder) -> None:
        for name, kill in INSTANTS.items():
            kill(recorder)
            recorder.start()
            recorder.wait_ready()
            story.done.append(f"killed {name}")
            time.sleep(1)

    return _harmed(folder / "instants", plan, story, harm, until_forgotten=False)


def _harmed(
    archive: Path, plan: Plan, story: Story, harm: Callable[[Recorder], None], *, until_forgotten: bool
) -> Story:
    """Calls go on while the recorder is harmed: every one is there as it was sent, and nothing else."""
    with span() as where, Recorder(where, archive) as recorder, Sender(where, plan, archive.parent) as sender:
        recorder.start()
        recorder.wait_ready()
        with Watcher(archive) as watcher, Chronicle(archive) as chronicle:
            sender.begin()
            time.sleep(_BEFORE_S)
            harm(recorder)
            sender.finish()
            calls = sender.calls()
            _wait_for_records(archive, len(calls))
            if until_forgotten:
                wait_until(lambda: len(_needless(archive)) == 0, "the journal forgets nothing")
            _end(recorder, story)
            if left := where.processes():
                story.problems.append(f"{len(left)} processes go on after the end")
        if sender.frames != where.received() or where.sent():
            story.problems.append(f"{sender.frames} frames sent, {where.received()} arrived, {where.sent()} came back")
    story.problems += watcher.problems
    story.done.append(f"{len(watcher.seen)} files looked at as they appeared: all whole, none changed")
    story.explain(chronicle, sender)
    story.show(prove(archive, calls, dropped=chronicle.dropped))
    if until_forgotten:
        story.done.append(f"{len(_numbers(archive))} files left in the journal")
    return story


def _while_capture_waits(recorder: Recorder) -> None:
    """Capture is to be started again later: nobody else has the ring."""
    for _ in range(_KILLS_TO_WAIT):
        wait_until(lambda: _own(recorder, Role.CAPTURE), "capture is not started again")
        recorder.kill(Role.CAPTURE)
    recorder.kill(Role.SUPERVISOR)


def _while_capture_loads(recorder: Recorder) -> None:
    """It has the ring and has not read it; then the next supervisor's."""
    recorder.kill(Role.CAPTURE)
    wait_until(lambda: _own(recorder, Role.CAPTURE), "capture is not started again")
    recorder.kill(Role.SUPERVISOR)
    recorder.start()
    wait_until(lambda: _own(recorder, Role.CAPTURE), "capture is not started again")
    recorder.kill(Role.CAPTURE)
    recorder.kill(Role.SUPERVISOR)


def _while_it_begins(recorder: Recorder) -> None:
    """Each a little later: it asks the keeper, starts another, ends the processes before it, starts its own."""
    for step in range(8):
        recorder.kill(Role.SUPERVISOR)
        recorder.start()
        time.sleep(0.2 * step)
    recorder.kill(Role.SUPERVISOR)


def _with_all_its_children(recorder: Recorder) -> None:
    for role in (Role.SUPERVISOR, Role.CAPTURE, Role.ASSEMBLE):
        recorder.kill(role)


def _with_the_keeper(recorder: Recorder) -> None:
    """Capture alone has the ring, and records on until the next one has another."""
    for role in (Role.SUPERVISOR, Role.KEEPER):
        recorder.kill(role)


INSTANTS: dict[str, Callable[[Recorder], None]] = {
    "while capture waits to be started again": _while_capture_waits,
    "while capture is being loaded, twice": _while_capture_loads,
    "while it begins, again and again": _while_it_begins,
    "with capture and assembly": _with_all_its_children,
    "with the keeper": _with_the_keeper,
}


def _kill(recorder: Recorder, chance: random.Random, kills: int) -> Counter[Role]:
    counts: Counter[Role] = Counter()
    while counts.total() < kills:
        (targets,) = chance.choices(list(_TARGETS), list(_TARGETS.values()))
        wait_until(lambda: all(_own(recorder, role) for role in targets), "a process is not started again", _RESTART_S)  # noqa: B023
        time.sleep(chance.uniform(0, _EARLY_S if chance.random() < _EARLY else _LATER_S))
        for role in targets:
            counts[role] += recorder.kill(role)
        if Role.SUPERVISOR in targets:
            recorder.start()
    return counts


def _own(recorder: Recorder, role: Role) -> bool:
    """Whether there is such a process, a child of the supervisor that there is."""
    pid = recorder.pid(role)
    return bool(pid) and not recorder.is_orphan(pid)


def outage(folder: Path, plan: Plan, damage: str) -> Story:
    """All killed for some seconds, and the journal damaged meanwhile: what is missing is the recorder's loss.

    Args:
        folder: where to work.
        plan: one call a line, long enough to go on before and after.
        damage: to the journal's newest file: `none`, `appended` (what is no block), `cut` (within a block), `lost`
            (likewise, when assembly has read it and kept its place).
    """
    story = Story(title=f"all killed for {DOWN_S:g} s, the journal's end: {damage}")
    archive = folder / f"outage-{damage}"
    with span() as where, Recorder(where, archive) as recorder, Sender(where, plan, folder) as sender:
        recorder.start()
        recorder.wait_ready()
        with Chronicle(archive) as chronicle:
            sender.begin()
            time.sleep(plan.shortest_s / 2)
            _kill_all(recorder, spare_assembly=damage == "lost")
            damaged, lost = _damage(archive, damage)
            time.sleep(DOWN_S)
            recorder.start()
            recorder.wait_ready()
            sender.wait()
            calls = sender.calls()
            _wait_for_records(archive, len(calls))
            _end(recorder, story)
    story.explain(chronicle, sender)
    # What assembly had read, and kept its place in, the journal has lost with its end: that is damage, and by the time
    # line the recorder's loss. What nobody had read is just missing.
    story.show(prove(archive, calls, outage=True, damaged=lost))
    told = [event.detail for event in chronicle.events if event.kind == EventKind.TORN_TAIL]
    found = [(detail["file"], detail["bytes"]) for detail in told]
    if damage == "none":
        return story
    story.done.append(f"told as torn: {found}; {'a state had' if lost else 'no state had'} what is gone")
    if damage == "lost" and not lost:
        story.problems.append("nothing was cut off that assembly had read")
    if len(found) != 1 or found[0][0] != damaged[0] or (damage == "appended" and found[0][1] != damaged[1]):
        story.problems.append(f"torn tails told: {found}, done: {damaged}")
    return story


def _kill_all(recorder: Recorder, *, spare_assembly: bool) -> None:
    """Kill all at once; assembly, if it is spared, ends by itself: it reads what there is and keeps its state."""
    if not spare_assembly:
        recorder.kill_all()
        return
    for role in (Role.SUPERVISOR, Role.KEEPER, Role.CAPTURE):
        recorder.kill(role)
    wait_until(lambda: not recorder.pid(Role.ASSEMBLE), "assembly does not end")


def _damage(archive: Path, damage: str) -> tuple[tuple[int, int], bool]:
    """Damage the newest file that holds something.

    Returns:
        Its number and how many bytes were added or taken away; whether media is gone that the kept state has read.
    """
    number = max(n for n in _numbers(archive) if _path(archive, n).stat().st_size)
    path = _path(archive, number)
    before = path.stat().st_size
    media = _media_blocks(archive, number)
    with path.open("r+b") as file:
        if damage == "appended":
            file.seek(before)
            # What looks like the beginning of a block, and noise.
            file.write(path.read_bytes()[:30] + random.Random(number).randbytes(20_000))
        elif damage in ("cut", "lost"):
            file.truncate(before - 1000)
    after = path.stat().st_size
    gone = [begin for begin, end in media if end > after]
    lost = bool(gone) and _kept_position(archive) > number << OFFSET_BITS | gone[0]
    return (number, abs(after - before)), lost


def _media_blocks(archive: Path, number: int) -> list[tuple[int, int]]:
    """Where in a file its media blocks lie, which at the end is where the next block begins."""
    found: list[tuple[int, int]] = []
    with JournalReader(archive / "journal", number << OFFSET_BITS) as reader:
        while (item := reader.next()) is not None:
            if isinstance(item[1], MediaBlock):
                found.append((item[0] & OFFSET_MASK, reader.position & OFFSET_MASK))
    return found


def _kept_position(archive: Path) -> int:
    """Up to where assembly's kept state has read; 0 when none is kept."""
    kept = archive / "spool" / SNAPSHOT
    return int.from_bytes(kept.read_bytes()[:8], "little") if kept.exists() else 0


def full(folder: Path, plan: Plan) -> Story:
    """The disk is full for some seconds, and the recorder killed then: it waits, and nothing is missing."""
    story = Story(title="killed while the disk is full")
    volume = folder / "volume"
    volume.mkdir()
    config = folder / "full.toml"
    config.write_text("[storage]\nreserve_bytes = 0\n")
    archive = volume / "archive"
    with _small_volume(volume), span() as where, Sender(where, plan, folder) as sender:
        with (
            Recorder(where, archive, options=("--config", str(config))) as recorder,
            Chronicle(archive) as chronicle,
        ):
            recorder.start()
            recorder.wait_ready()
            sender.begin()
            time.sleep(plan.shortest_s / 3)
            ballast = volume / "ballast"
            _fill(ballast)
            size = _journal_bytes(archive)
            time.sleep(1)
            kills = sum(recorder.kill(role) for role in (Role.CAPTURE, Role.ASSEMBLE))
            sender.wait()
            calls = sender.calls()
            time.sleep(1)
            story.done.append(
                f"killed {kills}; until the calls were over the journal grew by {_journal_bytes(archive) - size} bytes"
            )
            if _journal_bytes(archive) != size or (
                (archive / "calls").exists() and list((archive / "calls").rglob("*.json"))
            ):
                story.problems.append("the disk was not full")
            ballast.unlink()
            _wait_for_records(archive, len(calls))
            _end(recorder, story)
        story.explain(chronicle, sender)
        story.show(prove(archive, calls, dropped=chronicle.dropped))
    return story


@contextlib.contextmanager
def _small_volume(volume: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(volume)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(volume)], check=True)


def _fill(ballast: Path) -> None:
    """Take all the room there is, to the last byte, also what is given back meanwhile."""
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def _end(recorder: Recorder, story: Story) -> None:
    """Stop the recorder, which has nothing left to do."""
    # What a call still takes after its end has to be over.
    time.sleep(2)
    code = recorder.stop()
    story.said += recorder.log.read_text().splitlines()[-_SAID_LINES:]
    if code != 0:
        story.problems.append(f"exit code {code}")


def _wait_for_records(archive: Path, calls: int) -> None:
    """Not for ever: what is missing then, the proof tells."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: len(list((archive / "calls").rglob("*.json"))) >= calls, "", 30)


def _numbers(archive: Path) -> list[int]:
    return journalscan.numbers(archive / "journal")


def _path(archive: Path, number: int) -> Path:
    return journalscan.path_of(archive / "journal", number)


def _needless(archive: Path) -> list[int]:
    """Files of the journal that hold nothing that is needed, but for the newest."""
    first = min(journalneeds.read(archive / "run").needed >> OFFSET_BITS, max(_numbers(archive)))
    return [number for number in _numbers(archive) if number < max(_numbers(archive)) or number < first]


def _journal_bytes(archive: Path) -> int:
    return sum(_path(archive, number).stat().st_size for number in _numbers(archive))
