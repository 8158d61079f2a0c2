"""Calls of the local day so far, as `health` tells them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from appliance.telemetry.messages import CallsHealth
from storage.call_record import CallRecord
from storage.vocabulary import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySums:
    """Sums of one day; a call belongs to the day on which it began."""

    day: str = ""
    """Local date, `2026-01-02`."""
    calls: Mapping[Outcome, int] = field(default_factory=dict)
    """By outcome."""
    expected: int = 0
    network_lost: int = 0
    capture_lost: int = 0
    """Samples, over both sides of all calls."""

    def on(self, day: str) -> "DaySums":
        """These when they are of that day, else none."""
        return self if self.day == day else DaySums(day=day)

    def add(self, record: CallRecord) -> "DaySums":
        """With one more call; one of an earlier day, which ended after midnight, is in no sum."""
        day = record.started_at[:10]
        if day < self.day:
            return self
        before = self.on(day)
        return replace(
            before,
            calls={**before.calls, record.outcome: before.calls.get(record.outcome, 0) + 1},
            expected=before.expected + record.expected_samples,
            network_lost=before.network_lost + record.network_lost_samples,
            capture_lost=before.capture_lost + record.capture_lost_samples,
        )

    def health(self, in_progress: int | None) -> CallsHealth:
        """As it is published."""
        return CallsHealth(
            in_progress=in_progress,
            recorded=self.calls.get(Outcome.RECORDED, 0),
            partly=self.calls.get(Outcome.PARTLY, 0),
            not_recorded=self.calls.get(Outcome.NOT_RECORDED, 0),
            not_expected=self.calls.get(Outcome.NOT_EXPECTED, 0),
            completeness=self._percent(self.network_lost + self.capture_lost),
            capture_completeness=self._percent(self.capture_lost),
        )

    def _percent(self, lost: int) -> float | None:
        return None if not self.expected else round(max(0.0, 100 * (1 - lost / self.expected)), 4)
