"""How many days until the archive's disk is full, recordings coming and going as they do now. Pure.

Every rule takes in what it took in a day lately, and gives back what has reached its age; what a bound on bytes takes
away, and what making room would, is not waited for: the forecast says when the rules alone no longer do.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from storage.retention.holding import DAY_NS, Holding, Moment
from storage.retention.policy import MAX_DAYS, Policy, Retention, Rule

RECENT_DAYS = 28
"""What came in these days is what comes in a day from now on, on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is to be expected."""

    growth_bytes: int
    """Recordings that come in a day."""
    days_until_full: int | None
    """None: not within ten years."""
    days_until_short: int | None
    """Until recordings have to go before their time, or new ones find no room: from then on a rule cannot be kept.

    Where nothing is promised, the oldest make room for the newest for ever. None: not within ten years."""


@dataclass(slots=True)
class _Group:
    """Calls under one rule."""

    retention: Retention
    growth_bytes: float
    """Coming in a day."""
    held_bytes: int
    """There now."""
    leaving: dict[int, int]
    """Bytes that reach their age, by the day from now; day 0 is what has reached it already."""


def forecast(inventory: Sequence[Holding], policy: Policy, now: Moment, room_bytes: int) -> Forecast:
    """Look ahead; `room_bytes` is what recordings may still take."""
    days, by_rule = _days_known(inventory, now), _by_rule(inventory, policy)
    groups = [_group(retention, holdings, now, days) for retention, holdings in by_rule]
    promised = [_promised(retention, holdings, now, days) for retention, holdings in by_rule]
    most_bytes = sum(group.held_bytes for group in groups) + room_bytes
    return Forecast(
        growth_bytes=round(sum(group.growth_bytes for group in groups)),
        days_until_full=_first_beyond(groups, most_bytes),
        days_until_short=_first_beyond(promised, most_bytes),
    )


def _first_beyond(groups: Sequence[_Group], most_bytes: int) -> int | None:
    """The first day on which they hold more; None when there is none within ten years."""
    days = range(MAX_DAYS + 1)
    return next((day for day in days if sum(_bytes_on(group, day) for group in groups) > most_bytes), None)


def _days_known(inventory: Sequence[Holding], now: Moment) -> float:
    """Over how many days the growth is averaged: at least one, or a box just set up would seem to fill in an hour."""
    oldest_ns = max((now.age_ns(holding) for holding in inventory), default=0)
    return min(max(oldest_ns / DAY_NS, 1.0), RECENT_DAYS)


def _by_rule(inventory: Sequence[Holding], policy: Policy) -> list[tuple[Retention, list[Holding]]]:
    by_rule: dict[str, tuple[Rule, list[Holding]]] = {}
    for holding in inventory:
        rule = policy.rule(holding.enterprise, holding.line)
        by_rule.setdefault(rule.name, (rule, []))[1].append(holding)
    return [(rule.retention, holdings) for rule, holdings in by_rule.values()]


def _promised(retention: Retention, holdings: Sequence[Holding], now: Moment, days: float) -> _Group:
    """Calls under one rule as if each went as soon as it may when room is needed."""
    keep_days = retention.keep_days or retention.minimum_days
    if keep_days:
        return _group(replace(retention, keep_days=keep_days), holdings, now, days)
    held_bytes = sum(holding.bytes for holding in holdings if holding.is_held)
    return _Group(retention=retention, growth_bytes=0, held_bytes=held_bytes, leaving={})


def _group(retention: Retention, holdings: Sequence[Holding], now: Moment, days: float) -> _Group:
    # Of a rule that keeps recordings for less there are no older ones to count.
    days = min(days, retention.keep_days) if retention.keep_days else days
    recent = sum(holding.bytes for holding in holdings if now.age_ns(holding) <= days * DAY_NS)
    leaving: defaultdict[int, int] = defaultdict(int)
    for holding in holdings if retention.keep_days else ():
        if not holding.is_held:
            leaving[max(0, retention.keep_days - now.age_ns(holding) // DAY_NS)] += holding.bytes
    return _Group(
        retention=retention,
        growth_bytes=recent / days,
        held_bytes=sum(holding.bytes for holding in holdings),
        leaving=dict(leaving),
    )


def _bytes_on(group: _Group, day: int) -> float:
    """What a rule will hold so many days from now."""
    keep_days, bound = group.retention.keep_days, group.retention.max_bytes
    come = group.growth_bytes * (min(day, keep_days) if keep_days else day)
    left = sum(size for leaves_on, size in group.leaving.items() if leaves_on <= day)
    total = group.held_bytes + come - left
    return min(total, bound) if bound else total
