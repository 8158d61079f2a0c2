"""Retention carried out: look at everything, plan, have it erased. Planning only reads; acting asks the owner."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from appliance import clocks
from appliance.condition.seen import RetentionSeen
from appliance.config import Configuration
from appliance.custody import inventory
from appliance.custody.archiveclient import Ask, checked
from appliance.custody.archiverequests import MAX_CALLS, CallDay, Erase, Erased
from appliance.custody.diskroom import room_of
from storage.archive import Archive
from storage.errors import DamagedRecordError
from storage.ledger.view import LedgerView
from storage.retention import clockfile, clockguard, forecast
from storage.retention.clockguard import ClockState
from storage.retention.forecast import Forecast
from storage.retention.holding import Holding
from storage.retention.plan import Cause, Eviction, Plan, plan
from storage.retention.room import Room

WHY = {
    Cause.CONTRACT_END: "contract ended",
    Cause.EXPIRED: "kept for as long as the rule says",
    Cause.MAX_BYTES: "more than the rule may hold",
    Cause.ROOM: "room for new recordings",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What retention would do now, and what it knows."""

    plan: Plan
    clock: ClockState
    """The time, looked at just now."""
    room: Room
    """What is free on the disk."""
    forecast: Forecast
    """When it will be full."""
    calls: int
    """Calls in the archive."""
    bytes: int
    """Room that they take."""
    staying: Mapping[str, int]
    """Calls of enterprises whose contract has an end that are not erased now, by enterprise ID."""
    ending: Mapping[str, tuple[CallDay, ...]]
    """All calls of the enterprises of which something is to be erased at their contract's end, by enterprise ID."""
    damaged: tuple[str, ...]
    """Call records that cannot be read, and are left out."""


def look(archive: Archive, configuration: Configuration, room_bytes: int = 0) -> Outlook:
    """Plan without changing anything. Raises StorageError when the archive cannot be read."""
    seen = clocks.sighting()
    clock = clockguard.observe(clockfile.read(archive.retention), seen, LedgerView(archive.ledger).size)
    damaged: list[DamagedRecordError] = []
    policy, now = configuration.retention(), inventory.moment(clock)
    holdings = inventory.holdings(archive, clock, configuration.pending_uploads(archive), damaged.append)
    planned = plan(holdings, policy, now, room_bytes=room_bytes)
    sure = [one for one in planned.evictions if inventory.is_confirmed(archive, one.holding, damaged.append)]
    planned = replace(planned, evictions=tuple(sure))
    wanted = {eviction.holding.call_id for eviction in planned.evictions}
    with_end = {table.id for table in configuration.enterprise if table.ended_on is not None}
    room = room_of(archive.root)
    return Outlook(
        plan=planned,
        clock=clock,
        room=room,
        forecast=forecast.forecast(holdings, policy, now, room.free_bytes - configuration.storage.reserve_bytes),
        calls=len(holdings),
        bytes=sum(holding.bytes for holding in holdings),
        staying=Counter(
            holding.enterprise
            for holding in holdings
            if holding.enterprise in with_end and holding.call_id not in wanted
        ),
        ending=_ending(planned, holdings),
        damaged=tuple(str(error) for error in damaged),
    )


def seen(outlook: Outlook, overdue: Sequence[str]) -> RetentionSeen:
    """What others are told of it, when `overdue` is left of contracts that ended weeks ago."""
    return RetentionSeen(
        at_ns=time.time_ns(),
        calls=outlook.calls,
        bytes=outlook.bytes,
        growth_bytes_a_day=outlook.forecast.growth_bytes,
        days_until_full=outlook.forecast.days_until_full,
        days_until_short=outlook.forecast.days_until_short,
        short_bytes=outlook.plan.short_bytes,
        overdue=tuple(overdue),
        damaged=len(outlook.damaged),
    )


def act(outlook: Outlook, ask: Ask, *, who: str) -> Iterator[Erased]:
    """Have everything erased that was planned, oldest first, so many calls at a time.

    Raises ArchiveError when the owner of the archive refuses.
    """
    for batch in _batches(outlook.plan.evictions):
        cause, rule = batch[0].cause, batch[0].rule
        answer = checked(
            ask(
                Erase(
                    calls=tuple((one.holding.call_id, one.holding.day) for one in batch),
                    rule=f"{rule}: {cause}",
                    who=who,
                    why=WHY[cause],
                )
            )
        )
        assert isinstance(answer, Erased)
        yield answer


def _batches(evictions: tuple[Eviction, ...]) -> Iterator[list[Eviction]]:
    """Calls that are erased for the same reason by the same rule, one entry of the ledger for each batch."""

    def reason(one: Eviction) -> tuple[int, str, str]:
        return list(Cause).index(one.cause), _whose(one), one.rule

    by_reason = sorted(evictions, key=lambda one: (*reason(one), one.holding.position))
    for _, alike in groupby(by_reason, key=reason):
        together = list(alike)
        yield from (together[first : first + MAX_CALLS] for first in range(0, len(together), MAX_CALLS))


def _ending(planned: Plan, holdings: Sequence[Holding]) -> dict[str, tuple[CallDay, ...]]:
    """All calls of enterprises whose contract has ended, those that stay included: the certificate tells of them."""
    whose = {one.holding.enterprise for one in planned.evictions if one.cause is Cause.CONTRACT_END}
    calls: dict[str, list[CallDay]] = {enterprise: [] for enterprise in whose if enterprise}
    for holding in holdings:
        if holding.enterprise in calls:
            calls[holding.enterprise].append((holding.call_id, holding.day))
    return {enterprise: tuple(those) for enterprise, those in calls.items()}


def _whose(one: Eviction) -> str:
    return one.holding.enterprise or "" if one.cause is Cause.CONTRACT_END else ""
