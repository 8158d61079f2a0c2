"""What a clock that was set, or is wrong, makes of recordings: calls stay whole, and carry the time that it was.

Clocks of the test's own; the journal and assembly are the real ones. Calls are played in boot time.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from capture import journalend
from capture.bootline import BootLine, ClockReading
from capture.discipline import Discipline
from capture.events import EventKind
from capture.intake import Intake
from capture.journal import Event, EventBlock
from capture.journalreader import JournalReader
from capture.journalstore import JournalStore
from capture.livejournal import LiveJournal
from tests.appliance.journals import CYCLE_NS, assemble
from tests.archive_reading import call_records, stored_parts
from tests.fakes import StampedPort
from tests.recorded_truth import differences, nanoseconds
from tests.scenario import CALLEE, CALLER, call, media, moved
from tests.scenario import SECOND_NS as NS
from tests.traffic.calls import PlayedCall, play
from tests.traffic.pcapwriter import Frame, frames_of

HOUR_NS = 3600 * NS
NOW_NS = 1_790_000_000 * NS
"""In 2026."""
SETTLED_NS = NS // 4
Steps = tuple[tuple[int, int], ...]
"""When the real-time clock is set, in boot time, and by how much."""


@dataclass(slots=True, kw_only=True)
class Machine:
    """One boot of a machine: its clocks, its mirror port, and a capture that runs at times."""

    archive: Path
    boot_id: str
    begun_ns: int
    """Real time when it began, by its clock."""
    steps: Steps = ()
    calls: list[PlayedCall]
    disciplines: tuple[tuple[int, Discipline], ...] = ()
    """Since when a time server has disciplined the clock, and how, in boot time."""
    boot_ns: int = 0
    port: StampedPort = field(default_factory=StampedPort)
    waiting: list[Frame] = field(init=False)

    def __post_init__(self) -> None:
        self.waiting = frames_of(sorted((p for c in self.calls for p in c.packets), key=lambda packet: packet.ts_ns))

    def real_at(self, boot_ns: int) -> int:
        return self.begun_ns + boot_ns + sum(by_ns for at_ns, by_ns in self.steps if at_ns <= boot_ns)

    def read(self) -> ClockReading:
        return ClockReading(self.real_at(self.boot_ns), self.boot_ns, self.boot_id)

    def discipline(self) -> dict[str, int]:
        return next((found.facts() for since_ns, found in reversed(self.disciplines) if since_ns <= self.boot_ns), {})

    def go_on(self, boot_ns: int) -> None:
        """Time passes; packets come."""
        self.boot_ns = boot_ns
        come = [frame for frame in self.waiting if frame.ts_ns <= boot_ns]
        self.port.receive([frame._replace(ts_ns=self.real_at(frame.ts_ns)) for frame in come])
        del self.waiting[: len(come)]

    def capture(self, until_s: float, *, continued: int = 0) -> None:
        """Run a capture that is killed: nobody says that it stops."""
        with JournalStore(self.archive / "journal") as store:
            line = BootLine(self.read)
            line.go_on(journalend.read(self.archive / "journal"))
            journal = LiveJournal([self.port], Intake(frozenset((5060,))), store, line)
            mark = line.mark()
            start = Event(
                ts_ns=line.now_ns() - (2 * SETTLED_NS if continued else 0),
                kind=EventKind.START,
                detail={**mark.facts(), "since_ns": mark.at_ns, "continued": continued, **self.discipline()},
            )
            waiting = [start]
            if not continued:
                journal.tell([waiting.pop()])
            while self.boot_ns < until_s * NS:
                self.go_on(self.boot_ns + CYCLE_NS)
                journal.read()
                detail = line.mark().facts() | self.discipline()
                tick = Event(ts_ns=line.now_ns() - SETTLED_NS, kind=EventKind.TICK, detail=detail)
                journal.tell([*waiting, tick])
                waiting.clear()
                journal.write()
                assert journal.wait(30)
                assert journal.settle()
            journal.close()

    def differences(self) -> list[str]:
        """All that differs from the calls, which lie where the clock was at their beginnings."""
        return differences(self.archive, [self._shown(each) for each in self.calls])

    def _shown(self, one: PlayedCall) -> PlayedCall:
        first_ns = one.packets[0].ts_ns
        ahead_ns = self.real_at(first_ns) - first_ns
        truths = {
            side: tuple(replace(truth, first_ns=truth.first_ns + ahead_ns) for truth in sent)
            for side, sent in one.truths.items()
        }
        return replace(one, truths=truths)

    def shown_right(self, record: dict[str, Any], played: PlayedCall) -> bool:
        """Whether a call's times are those of the machine's clock at its beginning."""
        first_ns = played.packets[0].ts_ns
        real_ns = self.real_at(first_ns)
        started_ns, ended_ns = nanoseconds(record["started_at"]), nanoseconds(record["ended_at"])
        return started_ns == real_ns and abs(ended_ns - real_ns - (played.packets[-1].ts_ns - first_ns)) < NS


def played(name: str, at_s: float, talk_s: float) -> PlayedCall:
    """A call between two telephones of its own."""
    place = int(at_s * 10)
    parties = {
        "caller": moved(CALLER, rtp_port=20_000 + 2 * place),
        "callee": moved(CALLEE, rtp_port=30_000 + 2 * place),
        "caller_media": media(talk_s, 2 * place),
        "callee_media": media(talk_s, 2 * place + 1),
    }
    return play(call(name, talk_s=talk_s, start_ns=int(at_s * NS), **parties))


def record_of(archive: Path, one: PlayedCall) -> dict[str, Any]:
    (record,) = [each for each in call_records(archive) if one.script.call_id in each["sip"]["call_ids"]]
    return record


def flags(archive: Path, *calls: PlayedCall) -> list[list[str]]:
    return [record_of(archive, each)["flags"] for each in calls]


def events(archive: Path, kind: EventKind) -> list[Event]:
    found: list[Event] = []
    with JournalReader(archive / "journal") as reader:
        while (item := reader.next()) is not None:
            if isinstance(item[1], EventBlock):
                found += [event for event in item[1].events if event.kind == kind]
    return found


@pytest.mark.parametrize(
    ("begun_ns", "by_ns"),
    [(NOW_NS, HOUR_NS), (NOW_NS, -HOUR_NS), (0, NOW_NS)],
    ids=["forward", "back", "1970, then a time server"],
)
def test_the_clock_is_set_while_they_talk(tmp_path: Path, begun_ns: int, by_ns: int) -> None:
    """The call in progress keeps its time and says so; those that begin later carry the right time."""
    first, second, third = played("first", 2, 10), played("second", 16, 4), played("third", 24, 4)
    machine = Machine(
        archive=tmp_path,
        boot_id="a",
        begun_ns=begun_ns,
        steps=((8 * NS + 70_000_000, by_ns),),
        calls=[first, second, third],
    )
    machine.capture(75)
    assemble(tmp_path)
    assert machine.differences() == []
    assert flags(tmp_path, first, second, third) == [["clock_step"], [], []]
    first_ns = first.packets[0].ts_ns
    assert nanoseconds(record_of(tmp_path, first)["started_at"]) == begun_ns + first_ns
    for each in (first, second, third):
        assert machine.shown_right(record_of(tmp_path, each), each)
    names = {part.path.name: part.record for part in stored_parts(tmp_path)}
    assert len(names) == 3
    for name, record in names.items():
        assert name[:15] == record["origin_at"][:19].replace("-", "").replace(":", "")
    folders = {str(part.path.parent.relative_to(tmp_path / "recordings")) for part in stored_parts(tmp_path)}
    assert folders == {record["origin_at"][:10].replace("-", "/") for record in names.values()}


def test_a_call_that_begins_in_the_very_moment_has_the_time_that_was_set(tmp_path: Path) -> None:
    """Between two looks at the clocks nobody knows when it was set; the packets do."""
    one = played("one", 8.2, 4)
    machine = Machine(archive=tmp_path, boot_id="a", begun_ns=0, steps=((8 * NS + 100_000_000, NOW_NS),), calls=[one])
    machine.capture(50)
    assemble(tmp_path)
    assert machine.differences() == []
    assert machine.shown_right(record_of(tmp_path, one), one)


@pytest.mark.parametrize("by_ns", [HOUR_NS, -HOUR_NS, NOW_NS])
@pytest.mark.parametrize("step_s", [4.1, 9.1, 11.1], ids=["long before", "just before", "while capture is away"])
def test_capture_is_restarted_after_the_clock_was_set(tmp_path: Path, by_ns: int, step_s: float) -> None:
    """Its ring outlives it: no call notices, whatever the clock did; what waits in the ring is of either time."""
    first, second, third = played("first", 2, 14), played("second", 6, 14), played("third", 28, 4)
    machine = Machine(
        archive=tmp_path,
        boot_id="a",
        begun_ns=10 * HOUR_NS,
        steps=((int(step_s * NS), by_ns),),
        calls=[first, second, third],
    )
    machine.capture(10)
    machine.go_on(int(12.3 * NS))
    machine.capture(20, continued=1)
    machine.capture(80, continued=1)
    assemble(tmp_path)
    assert machine.differences() == []
    assert {record["outcome"] for record in call_records(tmp_path)} == {"recorded"}
    assert {record["completeness"] for record in call_records(tmp_path)} == {100.0}
    for each in (first, second, third):
        assert machine.shown_right(record_of(tmp_path, each), each)
    assert flags(tmp_path, third) == [[]]
    assert len(events(tmp_path, EventKind.CLOCK_STEP)) == 1
    assert len({event.detail["base_ns"] for event in events(tmp_path, EventKind.START)}) == 1


@pytest.mark.parametrize("behind_ns", [HOUR_NS, NOW_NS], ids=["an hour behind", "1970"])
@pytest.mark.parametrize("between", [False, True], ids=["assembled at the end", "assembled all the time"])
def test_the_clock_is_behind_after_a_reboot(tmp_path: Path, behind_ns: int, between: bool) -> None:
    """Time does not go back; calls have the clock's time until a time server corrects it, and the right one then."""
    before, cut = played("before", 2, 4), played("cut", 4, 60)
    old = Machine(archive=tmp_path, boot_id="a", begun_ns=NOW_NS, calls=[before, cut])
    old.capture(20)
    if between:
        assemble(tmp_path)
    second, third = played("second", 10, 4), played("third", 24, 4)
    new = Machine(
        archive=tmp_path,
        boot_id="b",
        begun_ns=NOW_NS + 60 * NS - behind_ns,
        steps=((20 * NS, behind_ns),),
        calls=[second, third],
        boot_ns=8 * NS,
    )
    new.capture(400)
    assemble(tmp_path)
    for machine, each in ((old, before), (new, second), (new, third)):
        record = record_of(tmp_path, each)
        assert (record["outcome"], record["flags"]) == ("recorded", [])
        assert machine.shown_right(record, each)
    assert nanoseconds(record_of(tmp_path, cut)["started_at"]) == NOW_NS + cut.packets[0].ts_ns
    ticks = [event.ts_ns for event in events(tmp_path, EventKind.TICK)]
    assert all(earlier < later for earlier, later in pairwise(ticks))
    parts = {part.path.name for part in stored_parts(tmp_path)}
    assert len(parts) == 4


def test_a_snapshot_between_changes_nothing(tmp_path: Path) -> None:
    """The same journal, read at once or in two goes around the step, gives the same bytes."""
    written = []
    for between in (False, True):
        archive = tmp_path / str(between)
        archive.mkdir()
        calls = [played("first", 2, 10), played("second", 16, 4)]
        machine = Machine(archive=archive, boot_id="a", begun_ns=0, steps=((8 * NS, NOW_NS),), calls=calls)
        machine.capture(10)
        if between:
            assemble(archive)
        machine.capture(70, continued=1)
        assemble(archive)
        files = [*(archive / "recordings").rglob("*.zip"), *(archive / "calls").rglob("*.json")]
        written.append({path.relative_to(archive): path.read_bytes() for path in files})
    assert len(written[0]) == 4
    assert written[0] == written[1]


def test_a_reboot_with_a_right_clock_after_a_wrong_one(tmp_path: Path) -> None:
    """The line leaps; nothing is added to its times any more."""
    first, second = played("first", 2, 4), played("second", 10, 4)
    Machine(archive=tmp_path, boot_id="a", begun_ns=0, steps=((NS, HOUR_NS),), calls=[first]).capture(50)
    new = Machine(archive=tmp_path, boot_id="b", begun_ns=NOW_NS, calls=[second], boot_ns=8 * NS)
    new.capture(60)
    assemble(tmp_path)
    assert new.shown_right(record_of(tmp_path, second), second)
    assert nanoseconds(record_of(tmp_path, first)["started_at"]) == HOUR_NS + first.packets[0].ts_ns


def test_a_damaged_end_of_the_journal_is_passed_over(tmp_path: Path) -> None:
    """Where the line was stands twice a second; the next to last will do."""
    machine = Machine(archive=tmp_path, boot_id="a", begun_ns=NOW_NS, steps=((5 * NS, HOUR_NS),), calls=[])
    machine.capture(10)
    (path,) = (tmp_path / "journal").glob("*.rkj")
    whole = journalend.read(tmp_path / "journal")
    octets = bytearray(path.read_bytes())
    octets[-5] ^= 0xFF
    path.write_bytes(octets)
    found = journalend.read(tmp_path / "journal")
    assert found.mark is not None
    assert whole.mark is not None
    assert (found.mark.base_ns, found.mark.shift_ns) == (NOW_NS, HOUR_NS)
    assert found.mark.boot_ns == whole.mark.boot_ns - CYCLE_NS
    path.write_bytes(b"")
    assert journalend.read(tmp_path / "journal").mark is None


@pytest.mark.parametrize("between", [False, True], ids=["assembled at the end", "assembled all the time"])
def test_every_recording_says_what_its_clock_was_like(tmp_path: Path, between: bool) -> None:
    """Disciplined only when it was all the time; off by the most that it was off."""
    disciplines = (
        (0, Discipline(synchronised=False)),
        (20 * NS, Discipline(synchronised=True, offset_ms=-40)),
        (34 * NS, Discipline(synchronised=True, offset_ms=3)),
        (50 * NS, Discipline(synchronised=True)),
        (64 * NS, Discipline(synchronised=False)),
    )
    before, during, caught = played("before", 4, 4), played("during", 14, 10), played("caught", 30, 8)
    after, other, lost = played("after", 42, 4), played("other", 54, 4), played("lost", 60, 8)
    calls = [before, during, caught, after, other, lost]
    machine = Machine(archive=tmp_path, boot_id="a", begun_ns=NOW_NS, calls=calls, disciplines=disciplines)
    machine.capture(48)
    if between:
        assemble(tmp_path)
    machine.capture(110, continued=1)
    assemble(tmp_path)
    found = [record_of(tmp_path, each)["clock"] for each in calls]
    assert {each["source"] for each in found} == {"kernel"}
    assert [(each["synchronised"], each["offset_ms"]) for each in found] == [
        (False, None),
        (False, None),
        (True, -40),
        (True, 3),
        (True, None),
        (False, None),
    ]
    clocks = {part.record["call_id"]: part.record["clock"] for part in stored_parts(tmp_path)}
    assert clocks == {record_of(tmp_path, each)["call_id"]: clock for each, clock in zip(calls, found, strict=True)}


def test_nobody_knows_the_clock_of_a_journal_that_does_not_tell(tmp_path: Path) -> None:
    one = played("one", 2, 4)
    Machine(archive=tmp_path, boot_id="a", begun_ns=NOW_NS, calls=[one]).capture(50)
    assemble(tmp_path)
    assert record_of(tmp_path, one)["clock"] == {"synchronised": None, "source": "capture", "offset_ms": None}
