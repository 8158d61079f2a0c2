"""Days until full, by example: what comes, what goes, what is bounded."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.retention.forecast import forecast
from tests.storage.retention.samples import holding, inventories, moment, moments, policies, policy

GB = 10**9


def daily(days: int, size: int = GB, **changes):
    """One call at noon of each of the last so many days; now is `days`."""
    return [holding(number, day=number + 0.5, size=size, **changes) for number in range(days)]


def test_an_empty_archive_never_fills() -> None:
    found = forecast([], policy(), moment(5), 100 * GB)
    assert (found.growth_bytes, found.days_until_full) == (0, None)


def test_without_rules_it_fills_by_the_day() -> None:
    found = forecast(daily(100), policy(), moment(100), 30 * GB)
    assert (found.growth_bytes, found.days_until_full) == (GB, 31)


def test_a_disk_that_is_full_is_full_today() -> None:
    assert forecast(daily(10), policy(), moment(10), -1).days_until_full == 0


def test_old_ones_leaving_keep_it_from_filling() -> None:
    assert forecast(daily(30), policy(keep_days=30), moment(30), 2 * GB).days_until_full is None
    assert forecast(daily(30), policy(keep_days=90), moment(30), 59 * GB).days_until_full == 60
    assert forecast(daily(30), policy(keep_days=90), moment(30), 61 * GB).days_until_full is None


def test_growth_of_a_rule_that_keeps_days_only() -> None:
    """Of 7 days 7 are there: a day's worth is a seventh of it, not a part of the longer time others are known for."""
    others = daily(60, enterprise="E1")
    mine = [holding(100 + number, day=53.5 + number, size=GB) for number in range(7)]
    assert forecast([*others, *mine], policy(keep_days=7), moment(60), 0).growth_bytes == pytest.approx(2 * GB)


def test_what_is_held_does_not_leave() -> None:
    assert forecast(daily(30, is_held=True), policy(keep_days=30), moment(30), 2 * GB).days_until_full == 3


def test_a_bound_on_bytes_bounds() -> None:
    assert forecast(daily(30), policy(max_bytes=40 * GB), moment(30), 9 * GB).days_until_full == 10
    assert forecast(daily(30), policy(max_bytes=40 * GB), moment(30), 10 * GB).days_until_full is None


def test_a_box_just_set_up_is_not_full_in_an_hour() -> None:
    inventory = [holding(number, day=0.01 * number, size=GB) for number in range(4)]
    assert forecast(inventory, policy(), moment(0.04), 8 * GB).days_until_full == 3


def test_what_a_rule_promises_counts_and_not_what_may_go_at_any_time() -> None:
    def short(room: int, **rules: Any) -> int | None:
        return forecast(daily(30), policy(**rules), moment(30), room).days_until_short

    assert short(0) is None  # the oldest make room for the newest for ever
    assert short(2 * GB, keep_days=90) == 3
    assert short(2 * GB, minimum_days=20) is None  # ten of the thirty may go
    assert short(2 * GB, minimum_days=40) == 3
    assert short(9 * GB, minimum_days=40) == 10
    assert short(10 * GB, minimum_days=40) is None


def test_what_is_held_makes_no_room_for_what_is_promised() -> None:
    """E1 keeps for a year; what is under no rule goes for it, unless it is held."""
    for is_held, days in ((False, 31), (True, 1)):
        others = [holding(100 + number, size=3 * GB, is_held=is_held) for number in range(10)]
        inventory = [*others, *daily(30, enterprise="E1")]
        assert forecast(inventory, policy(), moment(30), 0).days_until_short == days


@given(inventories(), policies(), moments(), st.integers(0, 10_000), st.integers(0, 10_000))
def test_more_room_lasts_longer(inventory, rules, now, less, more) -> None:
    small, large = (forecast(inventory, rules, now, room).days_until_full for room in sorted((less, more)))
    assert large is None or (small is not None and small <= large)
