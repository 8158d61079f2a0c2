"""Live times on the line of the boot-time clock, whatever is done to the other one and however late it is."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.bootline import BREAK_NS, LEAST_STEP_NS, BootLine, ClockReading, Left, Mark
from tests.capture.batches import batch_of

MS = 1_000_000
S = 1000 * MS
BEGIN_NS = 1_767_287_045 * S
"""Real time when boot time is 0."""
HOUR = 3600 * S
LOOK_NS = 500 * MS
Steps = Sequence[tuple[int, int]]
"""When the real-time clock is set, in boot time, and by how much."""


@dataclass(slots=True)
class Machine:
    """Two clocks. The one of real time is set at times."""

    steps: Steps
    boot_ns: int = 0

    def real_at(self, boot_ns: int) -> int:
        return BEGIN_NS + boot_ns + sum(by_ns for at_ns, by_ns in self.steps if at_ns <= boot_ns)

    def read(self) -> ClockReading:
        return ClockReading(self.real_at(self.boot_ns), self.boot_ns)


@dataclass(slots=True)
class Recorder:
    """Reads what packets came on each port, as late as it is told to."""

    machine: Machine
    packets: Sequence[Sequence[int]]
    """When they came, in boot time."""
    line: BootLine = field(init=False)
    told: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.line = BootLine(self.machine.read)
        self.told = [[] for _ in self.packets]

    def read_at(self, boot_ns: int, *, late_ns: int = 0) -> None:
        self.machine.boot_ns = boot_ns
        self.line.look()
        for number, (packets, told) in enumerate(zip(self.packets, self.told, strict=True)):
            ready = [ns for ns in packets[len(told) :] if ns <= boot_ns - late_ns]
            if ready:
                batch = batch_of([b"x"] * len(ready), times=[self.machine.real_at(ns) for ns in ready])
                told += self.line.even(number, batch).ts_ns.tolist()


def recorded(steps: Steps, *packets: Sequence[int], late: tuple[int, int] = (0, 0)) -> Recorder:
    """A recording that looks twice a second until all packets are read; `late`: until when nothing can be read."""
    recorder = Recorder(Machine(steps), packets)
    end_ns = max([ns for each in packets for ns in each], default=0) + 2 * LOOK_NS
    for boot_ns in range(LOOK_NS, end_ns, LOOK_NS):
        recorder.read_at(boot_ns, late_ns=boot_ns - late[0] if late[0] < boot_ns < late[1] else 0)
    return recorder


def is_even(recorder: Recorder) -> bool:
    return recorder.told == [[BEGIN_NS + ns for ns in packets] for packets in recorder.packets]


def every(gap_ns: int, from_ns: int, until_ns: int) -> list[int]:
    return list(range(from_ns, until_ns, gap_ns))


TALK = every(20 * MS, 3 * MS, 20 * S)
STEPS = [-HOUR, -10 * S, -S, -300 * MS, -101 * MS, 101 * MS, 300 * MS, S, 10 * S, HOUR, 50 * 365 * 24 * HOUR]


def test_a_clock_that_nobody_sets_costs_nothing():
    line = BootLine(Machine([]).read)
    line.look()
    batch = batch_of([b"x"] * 3)
    assert line.even(0, batch) is batch
    assert line.steps == []


@pytest.mark.parametrize("by_ns", [LEAST_STEP_NS, -LEAST_STEP_NS, 20 * MS])
def test_adjusting_is_not_setting(by_ns):
    recorder = recorded([(5 * S, by_ns)], TALK)
    assert recorder.line.steps == []
    assert recorder.told == [[recorder.machine.real_at(ns) for ns in TALK]]


def test_small_adjustments_add_up_to_a_step():
    recorder = recorded([(n * S, 60 * MS) for n in range(1, 5)], TALK)
    assert [step.step_ns for step in recorder.line.steps] == [120 * MS, 120 * MS]


@pytest.mark.parametrize("at_ns", [5 * S, 5 * S + 10 * MS, 5 * S + 499 * MS])
@pytest.mark.parametrize("by_ns", STEPS)
def test_one_step(by_ns, at_ns):
    """On a port with a call, one with the other direction, and one that is silent most of the time."""
    recorder = recorded([(at_ns, by_ns)], TALK, [ns + 7 * MS for ns in TALK], [S, 14 * S])
    (step,) = recorder.line.steps
    assert step.step_ns == by_ns
    assert at_ns <= step.at_ns - BEGIN_NS <= at_ns + LOOK_NS
    assert is_even(recorder)


@pytest.mark.parametrize("by_ns", STEPS)
def test_the_first_packets_come_around_the_step(by_ns):
    recorder = recorded([(5 * S + 250 * MS, by_ns)], every(20 * MS, 5 * S + 5 * MS, 8 * S), [7 * S])
    assert is_even(recorder)


@pytest.mark.parametrize("by_ns", STEPS)
def test_packets_wait_in_the_ring_while_the_clock_is_set(by_ns):
    """The disk stalls for 6 s: what was stamped before the step is read long after it was noticed."""
    assert is_even(recorded([(7 * S, by_ns)], TALK, late=(5 * S, 11 * S)))


def test_set_back_and_right_again():
    steps = [(5 * S, -HOUR), (9 * S, HOUR), (9 * S + 700 * MS, -HOUR)]
    assert is_even(recorded(steps, TALK))
    assert is_even(recorded(steps, TALK, late=(4 * S, 12 * S)))


@pytest.mark.parametrize("by_ns", [HOUR, -HOUR, 2 * S, -2 * S])
def test_a_silent_port_is_behind_all_steps(by_ns):
    steps = [(n * S, by_ns if n % 3 else -by_ns) for n in range(1, 9)]
    assert is_even(recorded(steps, TALK, [18 * S, 18 * S + 20 * MS]))


@pytest.mark.parametrize("by_ns", [-HOUR, -10 * S, 10 * S, HOUR])
def test_a_pause_around_the_step(by_ns):
    """Far less than the step, or far more."""
    for pause_ns in (200 * MS, 2 * S, 5 * S):
        packets = every(20 * MS, 0, 5 * S) + every(20 * MS, 5 * S + pause_ns, 15 * S)
        for at_ns in (5 * S, 5 * S + pause_ns // 2, 5 * S + pause_ns - 5 * MS):
            assert is_even(recorded([(at_ns, by_ns)], packets))


@settings(max_examples=150, deadline=None)
@given(
    at_ns=st.integers(2 * S, 6 * S),
    by_ns=st.integers(-HOUR, -3 * S) | st.integers(3 * S, HOUR),
    gaps=st.lists(st.integers(0, BREAK_NS - MS), min_size=20, max_size=300),
)
def test_any_traffic_without_pauses(at_ns, by_ns, gaps):
    packets = (S + np.cumsum(gaps)).tolist()
    assert is_even(recorded([(at_ns, by_ns)], packets))


def test_now_is_on_the_line():
    machine = Machine([(5 * S, HOUR)])
    line = BootLine(machine.read)
    machine.boot_ns = 6 * S
    assert line.now_ns() == BEGIN_NS + 6 * S


def mark_of(boot_id: str, *, boot_ns: int, shift_ns: int = 0) -> Mark:
    return Mark(boot_id=boot_id, boot_ns=boot_ns, real_ns=0, base_ns=BEGIN_NS, shift_ns=shift_ns)


@pytest.mark.parametrize(
    ("left", "line_ns", "shift_ns", "steps"),
    [
        (Left(), 60 * S, 0, []),
        (Left(last_ns=BEGIN_NS - HOUR), 60 * S, 0, []),
        (Left(last_ns=BEGIN_NS + HOUR), HOUR, 60 * S - HOUR, []),
        (Left(last_ns=BEGIN_NS + 50 * S, mark=mark_of("this", boot_ns=50 * S)), 60 * S, 0, []),
        (Left(mark=mark_of("this", boot_ns=50 * S, shift_ns=-HOUR)), 60 * S, 0, [(50 * S, HOUR)]),
        (Left(last_ns=BEGIN_NS - HOUR, mark=mark_of("that", boot_ns=9 * S)), 60 * S, 0, []),
        (Left(last_ns=BEGIN_NS + HOUR, mark=mark_of("that", boot_ns=9 * S)), 60 * S + HOUR, -HOUR, []),
    ],
    ids=["new", "no mark", "no mark, behind", "restart", "set meanwhile", "reboot", "reboot, behind"],
)
def test_going_on(left: Left, line_ns: int, shift_ns: int, steps: list[tuple[int, int]]) -> None:
    """A minute after the machine began, by a clock that is right."""
    line = BootLine(lambda: ClockReading(BEGIN_NS + 60 * S, 60 * S, "this"))
    line.go_on(left)
    assert line.now_ns() == line.mark().at_ns == BEGIN_NS + line_ns
    assert line.mark().shift_ns == shift_ns
    assert [(step.since_ns - BEGIN_NS, step.step_ns) for step in line.steps] == steps
    (time_ns,) = line.even(0, batch_of([b"x"], times=[BEGIN_NS + 60 * S])).ts_ns.tolist()
    assert time_ns == BEGIN_NS + line_ns
