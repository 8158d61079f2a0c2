"""What retention erases: each cause by example, and what never happens by properties."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.retention.holding import DAY_NS, Holding, Moment
from storage.retention.plan import Cause, Plan, Spared, plan
from storage.retention.policy import Policy, Retention
from tests.storage.retention.samples import TODAY, holding, inventories, moment, moments, policies, policy


def numbers(found: Plan) -> list[tuple[int, str]]:
    return [(eviction.holding.position, eviction.cause.value) for eviction in found.evictions]


def test_nothing_is_erased_without_a_rule() -> None:
    found = plan([holding(number) for number in range(3)], policy(), moment(10_000))
    assert (found.evictions, found.spared, found.short_bytes) == ((), {}, 0)


def test_what_has_reached_its_age_goes() -> None:
    inventory = [holding(0, day=0), holding(1, day=1), holding(2, day=1.5), holding(3, day=9)]
    assert numbers(plan(inventory, policy(keep_days=9), moment(10))) == [(0, "expired"), (1, "expired")]
    assert numbers(plan(inventory, policy(keep_days=9), moment(9.999999))) == [(0, "expired")]


def test_each_line_by_its_own_rule() -> None:
    rules = policy(keep_days=5, lines={"03": Retention(keep_days=100)})
    inventory = [
        holding(0, enterprise="E1", line="03"),
        holding(1, enterprise="E1", line="06"),
        holding(2, enterprise="E1"),
        holding(3, enterprise="E2", line="03"),
        holding(4, day=300),
    ]
    found = plan(inventory, rules, moment(304))
    assert [(one.holding.position, one.rule) for one in found.evictions] == [(0, "E1/03"), (3, "default")]
    found = plan(inventory, rules, moment(366))
    assert [(one.holding.position, one.rule) for one in found.evictions] == [
        (0, "E1/03"),
        (1, "E1"),
        (2, "E1"),
        (3, "default"),
    ]
    assert found.spared == {Spared.NEWEST: 1}


def test_more_than_a_rule_may_hold_takes_the_oldest() -> None:
    inventory = [holding(number, day=number) for number in range(5)]
    assert numbers(plan(inventory, policy(max_bytes=3000), moment(10))) == [(0, "max_bytes"), (1, "max_bytes")]
    found = plan(inventory, policy(max_bytes=3000, minimum_days=9), moment(10))
    assert numbers(found) == [(0, "max_bytes"), (1, "max_bytes")]
    found = plan(inventory, policy(max_bytes=3000, minimum_days=10), moment(10))
    assert numbers(found) == [(0, "max_bytes")]
    assert found.spared == {Spared.TOO_YOUNG: 3, Spared.NEWEST: 1}


def test_room_is_made_from_the_oldest_of_all_lines() -> None:
    inventory = [holding(number, day=number, enterprise=("E1" if number % 2 else None)) for number in range(5)]
    found = plan(inventory, policy(), moment(10), room_bytes=2500)
    assert numbers(found) == [(0, "room"), (1, "room"), (2, "room")]
    assert (found.freed_bytes, found.short_bytes) == (3000, 0)
    found = plan(inventory, policy(), moment(10), room_bytes=9000)
    assert (found.freed_bytes, found.short_bytes, found.spared) == (4000, 5000, {Spared.NEWEST: 1})


def test_what_has_expired_makes_room_first() -> None:
    inventory = [holding(0, enterprise="E1"), holding(1), holding(2), holding(3)]
    assert numbers(plan(inventory, policy(keep_days=1), moment(2), room_bytes=2000)) == [(1, "expired"), (2, "expired")]


@pytest.mark.parametrize("flag", ["is_held", "is_pending", "is_open"])
def test_some_calls_are_never_touched(flag: str) -> None:
    inventory = [holding(0, **{flag: True}), holding(1), holding(2)]
    found = plan(inventory, policy(keep_days=1), moment(99), room_bytes=10**9)
    assert numbers(found) == [(1, "expired")]
    assert found.spared == {Spared(flag.removeprefix("is_")): 1, Spared.NEWEST: 1}


def test_a_contract_that_has_ended_takes_everything_even_the_newest() -> None:
    inventory = [holding(number, enterprise="E1") for number in range(2)] + [
        holding(2, enterprise="E1", line="1", is_held=True),
        holding(3, enterprise="E1", line="1"),
    ]
    rules = policy(ended_on=TODAY, lines={"1": Retention(minimum_days=30)})
    assert plan(inventory, rules, moment(1, today=TODAY - timedelta(days=1))).evictions == ()
    found = plan(inventory, rules, moment(1))
    assert numbers(found) == [(0, "contract_end"), (1, "contract_end"), (3, "contract_end")]
    assert found.spared == {Spared.HELD: 1}


def test_without_a_confirmed_clock_only_room_is_made() -> None:
    inventory = [holding(number, enterprise="E1") for number in range(4)]
    rules = policy(ended_on=date(2020, 1, 1))
    found = plan(inventory, rules, moment(400, confirmed=False))
    assert found.evictions == ()
    assert found.spared == {Spared.NEWEST: 1, Spared.CLOCK: 3}
    found = plan(inventory, rules, moment(400, confirmed=False), room_bytes=1)
    assert numbers(found) == [(0, "room")]


@given(inventories(), policies(), moments(), st.integers(0, 40_000))
def test_what_must_stay_stays(inventory: list[Holding], rules: Policy, now: Moment, room_bytes: int) -> None:
    found = plan(inventory, rules, now, room_bytes=room_bytes)
    newest = max((one.position for one in inventory), default=None)
    for eviction in found.evictions:
        gone, retention = eviction.holding, rules.rule(eviction.holding.enterprise, eviction.holding.line).retention
        assert (gone.is_held, gone.is_pending, gone.is_open) == (False, False, False)
        assert gone.position != newest or eviction.cause is Cause.CONTRACT_END
        assert now.confirmed_on is not None or eviction.cause is Cause.ROOM
        if eviction.cause is not Cause.CONTRACT_END:
            assert now.age_ns(gone) >= retention.minimum_days * DAY_NS
    assert len({one.holding.call_id for one in found.evictions}) == len(found.evictions)
    assert [one.holding.position for one in found.evictions] == sorted(one.holding.position for one in found.evictions)


@given(inventories(), policies(), moments(), st.integers(0, 40_000))
def test_enough_is_freed_when_that_is_possible(
    inventory: list[Holding], rules: Policy, now: Moment, room_bytes: int
) -> None:
    found = plan(inventory, rules, now, room_bytes=room_bytes)
    everything = plan(inventory, rules, now, room_bytes=1 << 60)
    assert found.short_bytes == max(0, room_bytes - everything.freed_bytes)
    assert found.freed_bytes >= min(room_bytes, everything.freed_bytes)


@given(inventories(), policies(), moments(), st.integers(0, 40_000), st.integers(0, 40_000))
def test_more_room_takes_more(inventory: list[Holding], rules: Policy, now: Moment, less: int, more: int) -> None:
    smaller, larger = (plan(inventory, rules, now, room_bytes=room) for room in sorted((less, more)))
    assert set(smaller.evictions) <= set(larger.evictions)


@given(inventories(), policies(), moments(), st.integers(0, 20 * DAY_NS))
def test_time_takes_more(inventory: list[Holding], rules: Policy, now: Moment, later_ns: int) -> None:
    later = Moment(elapsed_ns=now.elapsed_ns + later_ns, confirmed_on=now.confirmed_on)
    earlier_gone = {one.holding.call_id for one in plan(inventory, rules, now).evictions}
    assert earlier_gone <= {one.holding.call_id for one in plan(inventory, rules, later).evictions}


@given(inventories(), policies(), moments())
def test_the_rest_is_left_in_peace(inventory: list[Holding], rules: Policy, now: Moment) -> None:
    gone = {one.holding.call_id for one in plan(inventory, rules, now).evictions}
    rest = [one for one in inventory if one.call_id not in gone]
    assert plan(rest, rules, now).evictions == ()


@given(inventories(), policies(), moments(), st.integers(0, 40_000), st.randoms())
def test_the_order_of_the_inventory_does_not_matter(inventory, rules, now, room_bytes, random) -> None:
    shuffled = random.sample(inventory, len(inventory))
    assert plan(shuffled, rules, now, room_bytes=room_bytes) == plan(inventory, rules, now, room_bytes=room_bytes)


@given(inventories(), policies(), moments(), st.integers(0, 40_000))
def test_room_takes_no_newer_call_before_an_older_one(inventory, rules, now, room_bytes) -> None:
    found = plan(inventory, rules, now, room_bytes=room_bytes)
    for eviction in found.evictions:
        if eviction.cause is Cause.ROOM:
            older = [one for one in inventory if one.position < eviction.holding.position]
            kept = {one.call_id for one in older} - {one.holding.call_id for one in found.evictions}
            everything = plan(inventory, rules, now, room_bytes=1 << 60)
            assert not kept & {one.holding.call_id for one in everything.evictions}
