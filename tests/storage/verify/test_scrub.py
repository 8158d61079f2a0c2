from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage.disk import Disk
from storage.verify import scrub, scrubbing
from storage.verify.defects import Defect, Kind
from storage.verify.scrub import DAY_NS, ScrubState, SlowReader

PERIOD_NS = 30 * DAY_NS
NOW_NS = 1_767_290_645_000_000_000
DEFECT = Defect(kind=Kind.ALTERED, subject="part 1 of call 0123456789", path="a/0312345678.zip", what="the audio")


def run(state, sizes, now_ns, read, period_ns=PERIOD_NS):
    """One run, as the command does it."""
    state = scrub.begin(state, now_ns, period_ns)
    for day in scrub.due(state, sizes, now_ns, period_ns):
        read.append(day)
        state = scrub.after(state, str(day), [], now_ns)
    return scrub.end(state, [day for day, _ in sizes], now_ns)


@settings(deadline=None)
@given(st.lists(st.integers(0, 1 << 40), max_size=60), st.integers(1, 60))
@example([1, 0, 0], 1)
@example([0] * 60, 30)
def test_a_run_a_day_reads_everything_once_in_a_period(sizes, period):
    days = [(20260101 + number, size) for number, size in enumerate(sizes)]
    state = ScrubState()
    read: list[int] = []
    for day in range(period):
        state = run(state, days, NOW_NS + day * DAY_NS, read, period * DAY_NS)
    assert read == [day for day, _ in days]
    assert state.last_whole_round_ns
    state = run(state, days, NOW_NS + period * DAY_NS, read, period * DAY_NS)
    assert state.round_started_ns == NOW_NS + period * DAY_NS


def test_when_a_run_is_due():
    assert scrub.is_due(ScrubState(), NOW_NS)
    state = ScrubState(last_run_ns=NOW_NS)
    assert not scrub.is_due(state, NOW_NS + DAY_NS // 3)
    assert scrub.is_due(state, NOW_NS + DAY_NS)
    assert scrub.is_due(state, NOW_NS - 1)  # the clock was set back: not none for years


def test_the_work_is_spread():
    days = [(20260101 + number, 10) for number in range(60)]
    state = ScrubState()
    read: list[int] = []
    counts = []
    for day in range(30):
        before = len(read)
        state = run(state, days, NOW_NS + day * DAY_NS, read)
        counts.append(len(read) - before)
    assert set(counts) <= {1, 2, 3}
    assert sum(counts[:15]) in (29, 30, 31)


def test_what_was_missed_is_made_up_for():
    days = [(20260101 + number, 10) for number in range(60)]
    state = ScrubState()
    read: list[int] = []
    state = run(state, days, NOW_NS, read)
    run(state, days, NOW_NS + 14 * DAY_NS, read)
    assert len(read) == 30


def test_a_killed_run_goes_on_where_it_was():
    days = [(20260101, 1), (20260102, 1), (20260103, 1)]
    state = scrub.begin(ScrubState(), NOW_NS, DAY_NS)
    assert scrub.due(state, days, NOW_NS, DAY_NS) == [20260101, 20260102, 20260103]
    state = scrub.after(state, "20260101", [], NOW_NS)
    assert scrub.due(state, days, NOW_NS, DAY_NS) == [20260102, 20260103]
    assert not scrub.end(state, [day for day, _ in days], NOW_NS).round_ended_ns


def test_a_clock_set_back_begins_a_round():
    state = ScrubState(round_started_ns=NOW_NS, round_ended_ns=NOW_NS, next_day=20260104)
    assert scrub.begin(state, NOW_NS + 1, PERIOD_NS) == state
    assert scrub.begin(state, NOW_NS - DAY_NS, PERIOD_NS).next_day == 0


def test_defects_stay_until_they_are_gone():
    state = scrub.after(ScrubState(), "20260101", [DEFECT], NOW_NS)
    state = scrub.after(state, "20260101", [DEFECT], NOW_NS + DAY_NS)
    (kept,) = state.defects["20260101"]
    assert kept.found_ns == NOW_NS
    assert state.last_run_ns == NOW_NS + DAY_NS
    assert not scrub.after(state, "20260101", [], NOW_NS).defects
    assert scrub.end(state, [20260101], NOW_NS).defects
    assert not scrub.end(state, [20251231], NOW_NS).defects  # the whole day was erased meanwhile


def test_the_state_is_kept_without_numbers(tmp_path):
    state = scrub.after(scrub.begin(ScrubState(), NOW_NS, PERIOD_NS), "20260101", [DEFECT], NOW_NS)
    scrub.write_state(tmp_path, state, Disk())
    assert scrub.read_state(tmp_path) == state
    assert b"0312345678" not in (tmp_path / "scrub.json").read_bytes()
    (tmp_path / "scrub.json").write_bytes(b"{")
    assert scrub.read_state(tmp_path) == ScrubState()


def test_no_faster_than_the_rate(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))
    slept: list[float] = []
    reader = SlowReader(100.0, lambda: sum(slept), slept.append)
    with path.open("rb", buffering=0) as file:
        while reader.read(file, 300):
            pass
    assert reader.read_bytes == 1000
    assert abs(sum(slept) - 10) < 1e-9


def scrubbed(root, now_ns, period_ns=PERIOD_NS):
    told: list[Defect] = []
    reader = SlowReader(1e12, lambda: 0.0, lambda _s: None)
    done = scrubbing.run(root, period_ns=period_ns, now_ns=lambda: now_ns, reader=reader, told=told.append)
    assert tuple(told) == done.defects
    return done


def test_bit_rot_is_found_within_a_period(made):
    part = made.parts[-1]
    content = bytearray(part.read_bytes())
    content[300] ^= 4
    part.write_bytes(content)
    first = scrubbed(made.root, NOW_NS)
    assert (first.days, first.defects) == ((20260102,), ())
    done = scrubbed(made.root, NOW_NS + 29 * DAY_NS)
    assert done.days == (20260103,)
    assert {defect.kind for defect in done.defects} == {Kind.ALTERED}
    assert done.state.round_ended_ns
    assert scrub.read_state(made.root / "run").defects["20260103"][0].subject.startswith("part 1 of call ")
    again = scrubbed(made.root, NOW_NS + 29 * DAY_NS)
    assert again.days == ()
    assert again.state.defects  # it is still there, and still said


def test_the_ledger_is_read_by_every_run(made):
    for _ in range(2):
        scrubbed(made.root, NOW_NS, DAY_NS)
    (made.root / "ledger/checkpoint").unlink()
    done = scrubbed(made.root, NOW_NS, DAY_NS)
    assert done.days == ()
    assert {defect.kind for defect in done.defects} == {Kind.MISSING, Kind.SIGNATURE}
