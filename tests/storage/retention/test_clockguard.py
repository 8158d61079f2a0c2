"""Real elapsed time against clocks that are set, stepped, wrong or confirmed."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from storage.retention import clockguard
from storage.retention.clockguard import HOUR_NS, MARK_NS, MAX_OFF_NS, NS, TOLERANCE_NS, ClockState, Sighting

DAY_NS = 24 * HOUR_NS
NOW_NS = 1_795_748_400 * NS
"""2026-11-27 03:00 UTC."""
IN_2099_NS = 4_092_000_000 * NS


def sighting(hours: float, *, boot: str = "a", wall_ns: int | None = None, synchronised: bool = True) -> Sighting:
    boot_ns = round(hours * HOUR_NS)
    return Sighting(
        boot_id=boot,
        boot_ns=boot_ns,
        wall_ns=NOW_NS + boot_ns if wall_ns is None else wall_ns,
        synchronised=synchronised,
    )


def seen(*sightings: Sighting, state: ClockState | None = None) -> ClockState:
    state = state or ClockState()
    for one in sightings:
        state = clockguard.observe(state, one, 0)
    return state


def test_within_a_boot_the_boot_clock_counts() -> None:
    state = seen(sighting(5), sighting(29))
    assert state.elapsed_ns == DAY_NS
    assert clockguard.is_confirmed(state)
    assert clockguard.today(state) == date(2026, 11, 27)


def test_the_day_of_the_last_zone_counts() -> None:
    """2026-11-27 08:00 UTC is the 26th still at UTC-12, 12:00 UTC is not."""
    assert clockguard.today(seen(sighting(8.9))) == date(2026, 11, 26)
    assert clockguard.today(seen(sighting(9))) == date(2026, 11, 27)


def test_an_unconfirmed_clock_confirms_nothing() -> None:
    state = seen(sighting(0, synchronised=False), sighting(100, synchronised=False))
    assert (state.elapsed_ns, clockguard.is_confirmed(state), clockguard.today(state)) == (100 * HOUR_NS, False, None)


def test_a_confirmation_holds_for_a_day() -> None:
    state = seen(sighting(0), sighting(24, synchronised=False))
    assert clockguard.is_confirmed(state)
    assert not clockguard.is_confirmed(seen(sighting(24.1, synchronised=False), state=state))


def test_a_clock_set_to_2099_changes_nothing() -> None:
    state = seen(sighting(0), sighting(1))
    state = seen(sighting(2, wall_ns=IN_2099_NS, synchronised=False), state=state)
    assert state.elapsed_ns == 2 * HOUR_NS
    assert clockguard.today(state) == date(2026, 11, 26)


def test_a_time_server_of_2099_is_disputed() -> None:
    state = seen(sighting(0), sighting(1, wall_ns=IN_2099_NS))
    assert (state.elapsed_ns, clockguard.is_confirmed(state), clockguard.today(state)) == (HOUR_NS, False, None)
    assert state.ahead_ns == IN_2099_NS - NOW_NS - HOUR_NS
    state = seen(sighting(2), state=state)
    assert clockguard.is_confirmed(state)
    assert state.elapsed_ns == 2 * HOUR_NS


def test_2099_after_a_reboot_is_disputed_too() -> None:
    state = seen(sighting(0), sighting(1), sighting(0.5, boot="b", wall_ns=IN_2099_NS))
    assert (state.elapsed_ns, clockguard.is_confirmed(state)) == (1.5 * HOUR_NS, False)
    state = seen(sighting(50, boot="b", wall_ns=IN_2099_NS + 50 * HOUR_NS), state=state)
    assert (state.elapsed_ns, clockguard.is_confirmed(state)) == (51 * HOUR_NS, False)


def test_a_clock_set_back_is_disputed() -> None:
    state = seen(sighting(0), sighting(1, wall_ns=NOW_NS - 40 * DAY_NS))
    assert not clockguard.is_confirmed(state)
    assert seen(sighting(1, boot="b", wall_ns=NOW_NS - DAY_NS), state=state).ahead_ns is not None


def test_a_weekend_off_counts_once_the_clock_is_confirmed() -> None:
    state = seen(sighting(0), sighting(10))
    state = seen(sighting(0.1, boot="b", wall_ns=0, synchronised=False), state=state)
    assert (state.elapsed_ns, clockguard.is_confirmed(state)) == (round(10.1 * HOUR_NS), False)
    state = seen(sighting(0.2, boot="b", wall_ns=NOW_NS + 70 * HOUR_NS), state=state)
    assert (state.elapsed_ns, clockguard.is_confirmed(state)) == (70 * HOUR_NS, True)


def test_off_for_months_a_person_has_to_say_so() -> None:
    back = sighting(1, boot="b", wall_ns=NOW_NS + MAX_OFF_NS + DAY_NS)
    state = seen(sighting(0), back)
    assert (state.elapsed_ns, clockguard.is_confirmed(state)) == (HOUR_NS, False)
    state = clockguard.confirm(state, back, 0, "tanaka: in store since summer")
    assert (state.elapsed_ns, clockguard.is_confirmed(state)) == (MAX_OFF_NS + DAY_NS, True)
    assert state.confirmed_by == "tanaka: in store since summer"


def test_within_a_boot_a_person_changes_the_date_but_not_what_has_passed() -> None:
    wrong = sighting(1, wall_ns=IN_2099_NS, synchronised=False)
    state = clockguard.confirm(seen(sighting(0)), wrong, 0, "x")
    assert (state.elapsed_ns, clockguard.is_confirmed(state)) == (HOUR_NS, True)


def test_a_person_confirms_where_there_is_no_time_server() -> None:
    now = sighting(3, synchronised=False)
    state = clockguard.confirm(seen(sighting(0, synchronised=False)), now, 0, "x")
    assert clockguard.is_confirmed(state)
    assert not clockguard.is_confirmed(seen(sighting(28, synchronised=False), state=state))


def test_an_entry_is_as_old_as_the_first_mark_behind_it() -> None:
    state = ClockState()
    for hours, entries in ((0, 0), (1, 5), (6, 7), (11, 9), (13, 9), (30, 9)):
        state = clockguard.observe(state, sighting(hours), entries)
    assert [(mark.elapsed_ns // HOUR_NS, mark.entries) for mark in state.marks] == [(0, 0), (6, 7), (13, 9)]
    assert [clockguard.archived_ns(state, position) // HOUR_NS for position in (0, 6, 7, 8, 9)] == [6, 6, 13, 13, 30]


def test_a_ledger_taken_from_a_backup_makes_nothing_older() -> None:
    state = ClockState()
    for hours, entries in ((0, 100), (10, 200), (20, 150), (40, 210)):
        state = clockguard.observe(state, sighting(hours), entries)
    assert clockguard.archived_ns(state, 149) == 20 * HOUR_NS
    assert clockguard.archived_ns(state, 150) == 40 * HOUR_NS


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, Sighting]]:
    """(what has really passed, what was seen): clocks stepped at will, confirmed only while they are right."""
    real_ns, boot, boot_ns, seen_then = 0, 0, 0, []
    step_ns = draw(st.sampled_from([0, -DAY_NS, IN_2099_NS - NOW_NS]))
    for _ in range(draw(st.integers(1, 20))):
        passed = draw(st.integers(0, 3 * DAY_NS))
        if draw(st.integers(0, 3)) == 0:
            boot, boot_ns = boot + 1, draw(st.integers(0, passed))
        else:
            boot_ns += passed
        real_ns += passed
        step_ns = draw(st.sampled_from([step_ns, 0, -400 * DAY_NS, 20 * DAY_NS, IN_2099_NS - NOW_NS]))
        right = step_ns == 0 and draw(st.booleans())
        one = Sighting(boot_id=str(boot), boot_ns=boot_ns, wall_ns=NOW_NS + real_ns + step_ns, synchronised=right)
        seen_then.append((real_ns, one))
    return seen_then


@given(histories())
def test_never_more_than_has_passed(history) -> None:
    """Whatever the clocks were set to, in any order, with any reboots."""
    state, start_ns, before_ns = ClockState(), history[0][0], 0
    for real_ns, one in history:
        state = clockguard.observe(state, one, 0)
        assert before_ns <= state.elapsed_ns <= real_ns - start_ns
        before_ns = state.elapsed_ns
        today = clockguard.today(state)
        if today is not None:
            day_end = (NOW_NS + real_ns) // NS
            assert today <= date.fromtimestamp(day_end)


@given(histories())
def test_a_confirmed_clock_loses_nothing(history) -> None:
    """What was missed while off is made up for at the next confirmation, as long as that was not too long."""
    state, first = ClockState(), None
    for real_ns, one in history:
        state = clockguard.observe(state, one, 0)
        if one.synchronised and first is None:
            first = real_ns - state.elapsed_ns
        if one.synchronised and state.ahead_ns is None and first is not None:
            assert state.elapsed_ns == real_ns - first


@given(st.integers(-TOLERANCE_NS, TOLERANCE_NS))
def test_small_differences_are_nothing(ahead_ns: int) -> None:
    state = seen(sighting(0), sighting(1, wall_ns=NOW_NS + HOUR_NS + ahead_ns))
    assert (state.elapsed_ns, clockguard.is_confirmed(state)) == (HOUR_NS, True)


@given(st.lists(st.tuples(st.integers(0, 2 * MARK_NS), st.integers(0, 3)), max_size=30))
def test_no_entry_seems_older_than_it_is(growth: list[tuple[int, int]]) -> None:
    state, entries, boot_ns = clockguard.observe(ClockState(), sighting(0), 0), 0, 0
    came: list[int] = []
    for passed_ns, more in growth:
        boot_ns += passed_ns
        came += [boot_ns] * more
        entries += more
        state = clockguard.observe(state, sighting(boot_ns / HOUR_NS), entries)
        for position, at_ns in enumerate(came):
            assert clockguard.archived_ns(state, position) >= min(at_ns, state.elapsed_ns) - 1000
