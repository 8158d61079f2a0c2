"""What is to be erased now, and why. Pure.

| why            | what                                                 | clock confirmed | spares the young |
|----------------|------------------------------------------------------|-----------------|------------------|
| `contract_end` | everything of an enterprise whose contract has ended | needed          | no               |
| `expired`      | what has been in the archive for `keep_days`         | needed          | -                |
| `max_bytes`    | the oldest under a rule that holds more than it may  | needed          | yes              |
| `room`         | the oldest of all, as long as room is wanted         | not needed      | yes              |

Never what a legal hold names, what an upload still needs, or a call that goes on. Never the newest call, save at the
contract's end. Ages are what has passed at least: without a confirmed clock they are too small, never too great, which
is why room can be made even then.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from storage.retention.holding import DAY_NS, Holding, Moment
from storage.retention.policy import Policy, Rule


class Cause(StrEnum):
    """Why a call is erased."""

    CONTRACT_END = "contract_end"
    EXPIRED = "expired"
    MAX_BYTES = "max_bytes"
    ROOM = "room"


class Spared(StrEnum):
    """Why a call is kept that would be erased otherwise."""

    HELD = "held"
    PENDING = "pending"
    OPEN = "open"
    NEWEST = "newest"
    TOO_YOUNG = "too_young"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """A call to be erased."""

    holding: Holding
    """Which."""
    cause: Cause
    """Why."""
    rule: str
    """By which rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be erased, oldest first."""

    evictions: tuple[Eviction, ...]
    """The calls."""
    spared: Mapping[Spared, int]
    """How many calls were wanted and are kept, by the reason why."""
    short_bytes: int
    """Room that was asked for and cannot be made."""

    @property
    def freed_bytes(self) -> int:
        """Room that it makes."""
        return sum(eviction.holding.bytes for eviction in self.evictions)


def plan(inventory: Sequence[Holding], policy: Policy, now: Moment, *, room_bytes: int = 0) -> Plan:
    """Plan what is to be erased at `now`; `room_bytes`: how much room is wanted in all."""
    return _Planner(inventory, policy, now).plan(room_bytes)


class _Planner:
    """Goes through the causes one after the other."""

    def __init__(self, inventory: Sequence[Holding], policy: Policy, now: Moment) -> None:
        self._now = now
        self._oldest_first = sorted(inventory, key=lambda holding: (holding.position, holding.call_id))
        self._newest = self._oldest_first[-1].call_id if inventory else ""
        self._policy = policy
        self._chosen: dict[str, Eviction] = {}
        self._spared: dict[str, Spared] = {}

    def plan(self, room_bytes: int) -> Plan:
        for cause, wanted in ((Cause.CONTRACT_END, self._has_ended), (Cause.EXPIRED, self._is_expired)):
            for holding in self._oldest_first:
                if wanted(holding):
                    self._choose(holding, cause)
        for group in self._by_rule().values():
            self._evict_beyond(group)
        freed = sum(eviction.holding.bytes for eviction in self._chosen.values())
        for holding in self._left():
            if freed >= room_bytes:
                break
            freed += self._choose(holding, Cause.ROOM)
        return Plan(
            evictions=tuple(sorted(self._chosen.values(), key=lambda eviction: eviction.holding.position)),
            spared=Counter(self._spared.values()),
            short_bytes=max(0, room_bytes - freed),
        )

    def _has_ended(self, holding: Holding) -> bool:
        ended_on, today = self._rule(holding).ended_on, self._now.confirmed_on
        return ended_on is not None and today is not None and ended_on <= today

    def _is_expired(self, holding: Holding) -> bool:
        keep_days = self._rule(holding).retention.keep_days
        return keep_days > 0 and self._now.age_ns(holding) >= keep_days * DAY_NS

    def _by_rule(self) -> dict[str, list[Holding]]:
        groups: dict[str, list[Holding]] = {}
        for holding in self._oldest_first:
            groups.setdefault(self._rule(holding).name, []).append(holding)
        return groups

    def _evict_beyond(self, group: list[Holding]) -> None:
        """Evict the oldest of the calls under one rule until the rest is no more than the rule allows."""
        bound = self._rule(group[0]).retention.max_bytes
        rest = [holding for holding in group if holding.call_id not in self._chosen]
        excess = sum(holding.bytes for holding in rest) - bound if bound else 0
        for holding in rest:
            if excess <= 0:
                return
            excess -= self._choose(holding, Cause.MAX_BYTES)

    def _left(self) -> Iterator[Holding]:
        return (holding for holding in self._oldest_first if holding.call_id not in self._chosen)

    def _choose(self, holding: Holding, cause: Cause) -> int:
        """Choose a call unless something speaks against it; return the room that this makes."""
        if (spared := self._why_not(holding, cause)) is not None:
            self._spared[holding.call_id] = spared
            return 0
        self._chosen[holding.call_id] = Eviction(holding=holding, cause=cause, rule=self._rule(holding).name)
        self._spared.pop(holding.call_id, None)
        return holding.bytes

    def _why_not(self, holding: Holding, cause: Cause) -> Spared | None:
        minimum_ns = self._rule(holding).retention.minimum_days * DAY_NS
        checks = (
            (Spared.HELD, holding.is_held),
            (Spared.PENDING, holding.is_pending),
            (Spared.OPEN, holding.is_open),
            (Spared.NEWEST, holding.call_id == self._newest and cause is not Cause.CONTRACT_END),
            (Spared.CLOCK, self._now.confirmed_on is None and cause is not Cause.ROOM),
            (
                Spared.TOO_YOUNG,
                cause in (Cause.MAX_BYTES, Cause.ROOM) and self._now.age_ns(holding) < minimum_ns,
            ),
        )
        return next((spared for spared, applies in checks if applies), None)

    def _rule(self, holding: Holding) -> Rule:
        return self._policy.rule(holding.enterprise, holding.line)
