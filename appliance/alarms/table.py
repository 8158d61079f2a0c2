"""The state machine of all alarms of the box. Pure: what is observed and the clocks come in, changes go out.

| an alarm      | its condition                                    | then                                              |
|---------------|--------------------------------------------------|---------------------------------------------------|
| is not raised | holds                                            | raised, once it has held for the kind's delay     |
| is not raised | is gone                                          | forgotten                                         |
| is raised     | is gone                                          | cleared, once it has been gone for the delay      |
| is raised     | is back before that                              | counted once more                                 |
| is raised     | is worse                                         | its severity at once; what was acknowledged is not|
| is raised     | is less bad                                      | its severity, once that has lasted for the delay  |
| is shelved    | whatever                                         | all the same, and says so, until the time is over |

Delays are counted by the boot-time clock, which nobody sets. What has not been said to be gone is not gone: a rule that
knows nothing says nothing. After a restart raised alarms stand as they did, and delays begin anew.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from appliance.alarms.alarm import (
    MAX_FACTS,
    Acknowledgement,
    Alarm,
    AlarmKey,
    AlarmState,
    Condition,
    Fact,
    Shelving,
)
from appliance.alarms.catalogue import catalogue
from appliance.alarms.kind import AlarmKind, AlarmName, Severity
from capture.bootline import ClockReading

NS = 1_000_000_000
MAX_ALARMS = 2000
"""Conditions watched at one time; what is more is counted."""
RECOUNT_NS = 60 * NS
"""How often a count that has grown is a change."""
MAX_FACT_CHARACTERS = 200


@dataclass(slots=True, kw_only=True)
class _Watch:
    """A condition that holds or held, and its alarm when it is raised."""

    condition: Condition
    source: str
    present: bool
    since_ns: int
    """Boot time since when it holds, or is gone."""
    count: int
    """How often it came."""
    alarm: Alarm | None = None
    eased_ns: int | None = None
    """Boot time since when it is less bad than the alarm says."""
    told_ns: int = 0
    """Boot time of the last change."""

    def lasted_s(self, now: ClockReading) -> float:
        return (now.boot_ns - self.since_ns) / NS


class AlarmTable:
    """Every alarm that stands, and every condition that may become one."""

    def __init__(
        self,
        raised: Iterable[Alarm] = (),
        shelved: Mapping[AlarmKey, Shelving] | None = None,
        *,
        sequence: int = 0,
        now: ClockReading,
    ) -> None:
        """`raised` is what an earlier process left, `sequence` the number of its last change."""
        self._watches = {alarm.key: _restored(alarm, now) for alarm in raised}
        self._shelved = dict(shelved or {})
        self._sequence = sequence
        self._changes: list[Alarm] = []
        self.refused = 0
        """Conditions for which there was no room."""

    @property
    def raised(self) -> list[Alarm]:
        """What stands, the worst first, then in the order in which it was raised."""
        standing = [watch.alarm for watch in self._watches.values() if watch.alarm is not None]
        return sorted(standing, key=lambda alarm: (alarm.severity.rank, alarm.first_raised_ns, alarm.key.id))

    @property
    def shelved(self) -> Mapping[AlarmKey, Shelving]:
        """What is on the shelf, also alarms that do not stand."""
        return self._shelved

    @property
    def sequence(self) -> int:
        """Number of the last change."""
        return self._sequence

    def take_changes(self) -> list[Alarm]:
        """What has changed since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    def observe(self, source: str, conditions: Iterable[Condition], now: ClockReading) -> None:
        """All that a source finds wrong now: what it said before and does not say any more is gone."""
        holding = list(conditions)
        for condition in holding:
            self._came(source, condition, now)
        self._gone(source, {condition.key for condition in holding}, now)
        self.advance(now)

    def happened(self, source: str, condition: Condition, now: ClockReading, *, times: int = 1) -> None:
        """Something has happened, so many times."""
        watch = self._came(source, condition, now, times)
        if watch is not None:
            self._step(watch, now)
            watch.present, watch.since_ns = False, now.boot_ns

    def keep_sources(self, known: Collection[str], now: ClockReading) -> None:
        """Name all sources there are: what others said in an earlier process is gone."""
        for source in {watch.source for watch in self._watches.values()}.difference(known):
            self._gone(source, set(), now)

    def advance(self, now: ClockReading) -> None:
        """Do what is due."""
        for key in [key for key, shelving in self._shelved.items() if now.real_ns >= shelving.until_ns]:
            self.unshelve(key, now)
        for watch in list(self._watches.values()):
            self._step(watch, now)

    def acknowledge(self, key: AlarmKey, acknowledgement: Acknowledgement, now: ClockReading) -> bool:
        """Note that somebody knows; False when the alarm does not stand."""
        watch = self._watches.get(key)
        if watch is None or watch.alarm is None:
            return False
        self._change(watch, replace(watch.alarm, acknowledged=acknowledgement), now)
        return True

    def shelve(self, key: AlarmKey, shelving: Shelving, now: ClockReading) -> None:
        """Let an alarm bother nobody for a while, whether it stands or not."""
        self._shelved[key] = shelving
        self._tell_shelving(key, now)

    def unshelve(self, key: AlarmKey, now: ClockReading) -> bool:
        """Take it from the shelf; False when it is not on it."""
        if self._shelved.pop(key, None) is None:
            return False
        self._tell_shelving(key, now)
        return True

    def _tell_shelving(self, key: AlarmKey, now: ClockReading) -> None:
        watch = self._watches.get(key)
        if watch is not None and watch.alarm is not None:
            self._change(watch, replace(watch.alarm, shelved=self._shelved.get(key)), now)

    def _came(self, source: str, condition: Condition, now: ClockReading, times: int = 1) -> _Watch | None:
        """Take in that a condition holds; None when there is no room for one more."""
        condition = replace(condition, facts=_bounded(condition.facts))
        watch = self._watches.get(condition.key)
        if watch is None:
            if len(self._watches) >= MAX_ALARMS and condition.key.name is not AlarmName.ALARM_TABLE_FULL:
                self.refused += times
                return None
            watch = _Watch(condition=condition, source=source, present=True, since_ns=now.boot_ns, count=times)
            self._watches[condition.key] = watch
        elif not watch.present:
            watch.present, watch.since_ns = True, now.boot_ns
            watch.count += times
        watch.condition, watch.source = condition, source
        return watch

    def _gone(self, source: str, holding: Collection[AlarmKey], now: ClockReading) -> None:
        for key, watch in self._watches.items():
            if watch.source == source and watch.present and key not in holding:
                watch.present, watch.since_ns = False, now.boot_ns

    def _step(self, watch: _Watch, now: ClockReading) -> None:
        condition = watch.condition
        kind = catalogue()[condition.key.name]
        if watch.alarm is None:
            if not watch.present:
                del self._watches[condition.key]
            elif watch.lasted_s(now) >= _raise_after_s(condition, kind):
                self._raise(watch, _severity(condition, kind), now)
        elif not watch.present:
            if watch.lasted_s(now) >= _clear_after_s(condition, kind):
                self._change(watch, replace(watch.alarm, state=AlarmState.CLEARED, cleared_ns=now.real_ns), now)
                del self._watches[condition.key]
        else:
            self._regrade(watch, watch.alarm, kind, now)
        if watch.alarm is not None and watch.count > watch.alarm.count and now.boot_ns - watch.told_ns >= RECOUNT_NS:
            self._change(watch, watch.alarm, now)

    def _raise(self, watch: _Watch, severity: Severity, now: ClockReading) -> None:
        alarm = Alarm(
            key=watch.condition.key,
            state=AlarmState.RAISED,
            severity=severity,
            source=watch.source,
            first_raised_ns=now.real_ns,
            last_changed_ns=now.real_ns,
            boot_id=now.boot_id,
            sequence=0,
            test=watch.condition.test,
            shelved=self._shelved.get(watch.condition.key),
        )
        self._change(watch, alarm, now)

    def _regrade(self, watch: _Watch, alarm: Alarm, kind: AlarmKind, now: ClockReading) -> None:
        """Worse at once, less bad only when that lasts."""
        severity = _severity(watch.condition, kind)
        if severity.rank < alarm.severity.rank:
            self._change(watch, replace(alarm, severity=severity, acknowledged=None), now)
        if severity.rank <= alarm.severity.rank:
            watch.eased_ns = None
            return
        watch.eased_ns = now.boot_ns if watch.eased_ns is None else watch.eased_ns
        if (now.boot_ns - watch.eased_ns) / NS >= kind.clear_after_s:
            watch.eased_ns = None
            self._change(watch, replace(alarm, severity=severity), now)

    def _change(self, watch: _Watch, alarm: Alarm, now: ClockReading) -> None:
        """Make a change known, with the latest figures."""
        self._sequence += 1
        watch.told_ns = now.boot_ns
        watch.alarm = replace(
            alarm,
            last_changed_ns=now.real_ns,
            boot_id=now.boot_id,
            sequence=self._sequence,
            count=watch.count,
            facts=watch.condition.facts,
        )
        self._changes.append(watch.alarm)


def _restored(alarm: Alarm, now: ClockReading) -> _Watch:
    """Take up an alarm that an earlier process raised: what only happens is not going on."""
    lasts = not catalogue()[alarm.key.name].occurrence and not alarm.test
    condition = Condition(key=alarm.key, severity=alarm.severity, facts=alarm.facts, test=alarm.test)
    return _Watch(
        condition=condition,
        source=alarm.source,
        present=lasts,
        since_ns=now.boot_ns,
        count=alarm.count,
        alarm=alarm,
        told_ns=now.boot_ns,
    )


def _severity(condition: Condition, kind: AlarmKind) -> Severity:
    return condition.severity or kind.severity


def _raise_after_s(condition: Condition, kind: AlarmKind) -> float:
    if condition.test:
        return 0.0
    return kind.raise_after_s if condition.raise_after_s is None else condition.raise_after_s


def _clear_after_s(condition: Condition, kind: AlarmKind) -> float:
    return 0.0 if condition.test else kind.clear_after_s


def _bounded(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """So many facts, and of a text so much."""
    kept = list(facts.items())[:MAX_FACTS]
    return {name: fact[:MAX_FACT_CHARACTERS] if isinstance(fact, str) else fact for name, fact in kept}
