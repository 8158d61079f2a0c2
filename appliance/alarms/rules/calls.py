"""Call records as alarms: what was not recorded, one-way audio, encryption, unknown lines, completeness. Pure.

No alarm names a number: a line is called by its place among those of its enterprise, as everywhere outside of records.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from appliance.alarms.alarm import AlarmKey, Condition, Fact
from appliance.alarms.kind import AlarmName, Severity
from appliance.alarms.settings import AlarmSettings
from appliance.diagnosis.wire import levels
from appliance.diagnosis.wire.levels import SilentChannel
from capture.numbers import canonical
from storage.call_record import CallRecord
from storage.vocabulary import Outcome, Reason

SOURCE, SILENCE = "completeness", "silence"
WINDOW_NS = 3600 * 1_000_000_000
"""Completeness is that of the calls that ended in the last hour."""
LEAST_SAMPLES = 8000 * 600
"""With less speech than ten minutes a single packet would be news."""
MAX_CALLS = 100_000
NEVER_HEARD_S, LOST_S = 300.0, 10.0
"""A channel is silent after so long from the answer on, or after it was heard."""


@dataclass(frozen=True, slots=True)
class Place:
    """A contracted line without its number."""

    enterprise: str
    line: int
    """From 1, in the order of the configuration."""

    def __str__(self) -> str:
        return f"{self.enterprise} line {self.line}"


def occurrences(record: CallRecord, places: Mapping[str, Place]) -> list[Condition]:
    """What has happened with a call; `places` by canonical number."""
    resource = _resource(record, places)
    found = []
    if record.outcome is Outcome.NOT_RECORDED and record.reasons:
        found.append(AlarmKey(resource=resource, name=AlarmName.CALL_NOT_RECORDED, qualifier=record.reasons[0]))
    if Reason.ENCRYPTED in record.reasons:
        found.append(AlarmKey(resource=resource, name=AlarmName.ENCRYPTED_CALLS))
    if Reason.RULE_LINE_UNKNOWN in record.reasons:
        found.append(AlarmKey(resource="box", name=AlarmName.LINE_NOT_IN_CONTRACT))
    if record.outcome in (Outcome.RECORDED, Outcome.PARTLY):
        found += [
            AlarmKey(resource=resource, name=AlarmName.ONE_WAY_AUDIO, qualifier=side.side)
            for side in record.sides
            if side.one_way
        ]
    return [Condition(key=key, facts={"call": record.call_id[:10]}) for key in found]


def place_of(record: CallRecord, places: Mapping[str, Place]) -> Place | None:
    """The contracted line that a call is about; `places` by canonical number."""
    return places.get(canonical(record.line)) if record.line else None


def _resource(record: CallRecord, places: Mapping[str, Place]) -> str:
    place = place_of(record, places)
    return str(place) if place is not None else (record.enterprise or levels.NO_LINE)


def silence(silent: Iterable[SilentChannel]) -> list[Condition]:
    """The channels that have been silent for too long. One that was heard before may just be muted."""
    found: dict[AlarmKey, Condition] = {}
    for channel in silent:
        if channel.silent_s < (LOST_S if channel.had_signal else NEVER_HEARD_S):
            continue
        key = AlarmKey(resource=channel.line, name=AlarmName.SILENT_CHANNEL, qualifier=channel.side)
        facts: dict[str, Fact] = {"silent_s": channel.silent_s, "had_signal": channel.had_signal}
        if key not in found or not channel.had_signal:
            severity = Severity.MINOR if channel.had_signal else None
            found[key] = Condition(key=key, severity=severity, facts=facts)
    return list(found.values())


@dataclass(slots=True)
class Completeness:
    """Calls that ended lately, and what of them is in the archive."""

    settings: AlarmSettings
    _calls: deque[tuple[int, int, int, int]] = field(default_factory=lambda: deque(maxlen=MAX_CALLS))

    def add(self, boot_ns: int, record: CallRecord) -> None:
        """Count a call whose record has just come."""
        if record.expected_samples:
            lost = record.network_lost_samples, record.capture_lost_samples
            self._calls.append((boot_ns, record.expected_samples, *lost))

    def conditions(self, boot_ns: int) -> list[Condition]:
        """What is below its target now."""
        while self._calls and boot_ns - self._calls[0][0] > WINDOW_NS:
            self._calls.popleft()
        expected = sum(call[1] for call in self._calls)
        if expected < LEAST_SAMPLES:
            return []
        capture_lost = sum(call[3] for call in self._calls)
        lost = capture_lost + sum(call[2] for call in self._calls)
        found = []
        for qualifier, missing, target in (
            ("total", lost, self.settings.completeness_percent),
            ("capture", capture_lost, self.settings.capture_completeness_percent),
        ):
            percent = 100 * (1 - missing / expected)
            if percent < target:
                key = AlarmKey(resource="box", name=AlarmName.COMPLETENESS_BELOW_TARGET, qualifier=qualifier)
                facts = {"percent": round(percent, 4), "target_percent": target, "calls": len(self._calls)}
                found.append(Condition(key=key, facts=facts))
        return found
