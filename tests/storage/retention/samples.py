"""Holdings, policies and moments for tests of retention, and strategies that make them."""

from datetime import date
from typing import Any

from hypothesis import strategies as st

from storage.retention.holding import DAY_NS, Holding, Moment
from storage.retention.policy import EnterprisePolicy, Policy, Retention, Rule

TODAY = date(2026, 11, 27)


def holding(number: int, *, day: float = 0.0, size: int = 1000, **changes) -> Holding:
    fields: dict[str, Any] = {
        "call_id": f"{number:064x}",
        "position": number,
        "archived_ns": round(day * DAY_NS),
        "bytes": size,
    }
    return Holding(**(fields | changes))


def moment(day: float, *, confirmed: bool = True, today: date = TODAY) -> Moment:
    return Moment(elapsed_ns=round(day * DAY_NS), confirmed_on=today if confirmed else None)


def policy(*, ended_on: date | None = None, lines: dict[str, Retention] | None = None, **default) -> Policy:
    """Everything by default, but enterprise E1 keeps for a year, its lines as given."""
    return Policy(
        default=Rule(name="default", retention=Retention(**default)),
        enterprises={
            "E1": EnterprisePolicy(
                rule=Rule(name="E1", retention=Retention(keep_days=365), ended_on=ended_on),
                lines={
                    number: Rule(name=f"E1/{number}", retention=retention, ended_on=ended_on)
                    for number, retention in (lines or {}).items()
                },
            )
        },
    )


@st.composite
def retentions(draw: st.DrawFn) -> Retention:
    minimum = draw(st.integers(0, 5))
    keep = draw(st.one_of(st.just(0), st.integers(minimum, 12)))
    return Retention(keep_days=keep, minimum_days=minimum, max_bytes=draw(st.one_of(st.just(0), st.integers(1, 8000))))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    ended = draw(st.one_of(st.none(), st.dates(date(2026, 11, 25), date(2026, 11, 29))))
    return Policy(
        default=Rule(name="default", retention=draw(retentions())),
        enterprises={
            "E1": EnterprisePolicy(
                rule=Rule(name="E1", retention=draw(retentions()), ended_on=ended),
                lines={"1": Rule(name="E1/1", retention=draw(retentions()), ended_on=ended)},
            )
        },
    )


@st.composite
def inventories(draw: st.DrawFn, most: int = 12) -> list[Holding]:
    days = sorted(draw(st.lists(st.floats(0, 14), max_size=most)))
    return draw(
        st.permutations(
            [
                holding(
                    number,
                    day=day,
                    size=draw(st.integers(1, 3000)),
                    enterprise=draw(st.sampled_from([None, "E1", "E2"])),
                    line=draw(st.sampled_from([None, "1", "2"])),
                    is_open=draw(st.booleans()) and draw(st.booleans()),
                    is_pending=draw(st.booleans()) and draw(st.booleans()),
                    is_held=draw(st.booleans()) and draw(st.booleans()),
                )
                for number, day in enumerate(days)
            ]
        )
    )


@st.composite
def moments(draw: st.DrawFn) -> Moment:
    return moment(draw(st.floats(14, 30)), confirmed=draw(st.booleans()))
