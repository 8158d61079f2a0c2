"""A month against service levels: availability, time to repair, time to notification, refund-relevant outages. Pure."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from importlib.resources import files

import msgspec

from appliance.diagnosis.texts import Text
from appliance.outages.outage import Outage, Service

NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRule:
    """From when on an outage is refund-relevant, by one provider's terms."""

    terms: str
    name: Text
    after_h: float
    """Continuous outage since the provider learnt of it."""
    after_gross_negligence_h: float | None = None
    """The same when it was grossly negligent; None: no difference."""
    block_h: float | None = None
    """Counted in whole blocks of so many hours; None: not in blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLevels:
    """What is measured against."""

    availability_percent: float
    repair_h: float
    notification_min: float
    refund: tuple[RefundRule, ...]


def shipped() -> ServiceLevels:
    """Return the levels that the product ships with."""
    tree = tomllib.loads(files("appliance.outages").joinpath("servicelevels.toml").read_text("utf-8"))
    for rule in tree["refund"]:
        rule["name"] = [rule["name"]["ja"], rule["name"]["en"]]
    return msgspec.convert(tree, ServiceLevels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """An interval of real time, a calendar month where the box stands."""

    begin_ns: int
    end_ns: int

    @staticmethod
    def of(year: int, month: int, zone: tzinfo) -> "Month":
        """The month."""
        following = (year + 1, 1) if month == 12 else (year, month + 1)
        ends = [round(datetime(*each, 1, tzinfo=zone).timestamp()) * NS for each in ((year, month), following)]
        return Month(begin_ns=ends[0], end_ns=ends[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One outage against the levels."""

    outage: Outage
    lasted_s: float | None
    """None while it goes on."""
    repair_ok: bool | None
    """Whether it was over in time; None while that cannot be told."""
    notification_ok: bool | None
    """Whether it was told in time; None when it was not told yet, and still may be in time."""
    refunds: tuple[tuple[str, int], ...]
    """Terms by which it is refund-relevant, and whole blocks (1 where there are no blocks)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """One service in one month."""

    service: Service
    out_s: float
    """Time of outages, overlapping ones once."""
    observed_s: float
    """Length of the month, or of what has passed of it."""

    @property
    def availability_percent(self) -> float:
        """Share of the time in which it was not out."""
        return 100.0 if not self.observed_s else 100 * (1 - self.out_s / self.observed_s)


def judge(outage: Outage, levels: ServiceLevels, now_ns: int) -> Judged:
    """Hold one outage against the levels; refunds count from when the provider, whose it is, learnt of it."""
    end_ns = now_ns if outage.ended_ns is None else outage.ended_ns
    lasted_s = (end_ns - outage.began_ns) / NS
    in_time = lasted_s <= levels.repair_h * 3600
    told_ns = now_ns if outage.notified_ns is None else outage.notified_ns
    told_in_time = (told_ns - outage.began_ns) / NS <= levels.notification_min * 60
    return Judged(
        outage=outage,
        lasted_s=None if outage.ended_ns is None else lasted_s,
        repair_ok=in_time if outage.ended_ns is not None or not in_time else None,
        notification_ok=told_in_time if outage.notified_ns is not None or not told_in_time else None,
        refunds=tuple(_refunds(outage, levels, end_ns)),
    )


def _refunds(outage: Outage, levels: ServiceLevels, end_ns: int) -> Iterable[tuple[str, int]]:
    if outage.reported_ns is None or not outage.is_providers:
        return
    known_h = (end_ns - max(outage.reported_ns, outage.began_ns)) / NS / 3600
    for rule in levels.refund:
        if known_h >= rule.after_h:
            blocks = 1 if rule.block_h is None else int(known_h // rule.block_h)
            yield rule.terms, blocks


def sums(outages: Iterable[Outage], month: Month, now_ns: int) -> tuple[Sum, ...]:
    """Sum up a month for each service."""
    every, end_ns = list(outages), min(month.end_ns, now_ns)
    observed_s = max(end_ns - month.begin_ns, 0) / NS
    return tuple(
        Sum(service=service, out_s=_together_s(every, service, month.begin_ns, end_ns), observed_s=observed_s)
        for service in Service
    )


def _together_s(outages: list[Outage], service: Service, begin_ns: int, end_ns: int) -> float:
    spans = sorted(
        (max(outage.began_ns, begin_ns), min(end_ns if outage.ended_ns is None else outage.ended_ns, end_ns))
        for outage in outages
        if outage.service is service and outage.within(begin_ns, end_ns)
    )
    total, reached = 0, begin_ns
    for first, last in spans:
        total += max(0, last - max(first, reached))
        reached = max(reached, last)
    return total / NS
