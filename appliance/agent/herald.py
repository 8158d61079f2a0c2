"""What goes to the NOC, put into the outbox: which topic, which priority, retained or not."""

import time
from collections.abc import Iterable, Mapping

from appliance.agent.reports import HealthSeen, Make, Reports
from appliance.agent.selftestseen import SelfTestSeen
from appliance.alarms.alarm import Alarm, AlarmState, Fact
from appliance.telemetry.messages import EventName, PresenceReason
from appliance.telemetry.outbox import Outbox, Priority
from appliance.telemetry.session import Said
from appliance.telemetry.topics import BoxTopics
from storage.call_record import CallRecord
from storage.errors import LedgerError
from storage.ledger import checkpoint as checkpoints

CHECKPOINT_S = 300.0
"""How often a new checkpoint is published at most."""


class Herald:
    """Tells, if there is a broker; without one nobody is told."""

    def __init__(self, reports: Reports, topics: BoxTopics, outbox: Outbox, *, has_broker: bool) -> None:
        self._reports = reports
        self._topics = topics
        self._outbox = outbox
        self._has_broker = has_broker
        self._checkpoint = b""
        self._checkpoint_s = -CHECKPOINT_S
        self.has_news = False
        """Something was put that is not on the disk yet; whoever brings it there takes this back."""

    def changed(self, alarm: Alarm) -> None:
        """An alarm is another one; when it is over, its retained message is taken away."""
        topic = self._topics.alarm(alarm.key.id)
        is_over = alarm.state is AlarmState.CLEARED
        self._put(self._reports.alarm(alarm), topic, Priority.ALARM, retain=not is_over)
        if is_over:
            self.forget(alarm.key.id)

    def forget(self, id: str) -> None:
        """Take away what the broker keeps of an alarm."""
        self._put(lambda _id: b"", self._topics.alarm(id), Priority.ALARM, retain=True)

    def standing(self, alarms: Iterable[Alarm]) -> None:
        """Once more what stands: the broker may be another one."""
        for alarm in alarms:
            self.changed(alarm)

    def event(self, now_ns: int, name: EventName, facts: Mapping[str, Fact] | None = None) -> None:
        """Something happened."""
        self._put(self._reports.event(now_ns, name, facts or {}), self._topics.event(name), Priority.EVENT)

    def call(self, now_ns: int, record: CallRecord) -> None:
        """A call has ended."""
        self._put(self._reports.call(now_ns, record), self._topics.call_summary, Priority.SUMMARY)

    def checkpoint(self, now_ns: int, stored: bytes) -> None:
        """The ledger's newest checkpoint, when it is another one and the last was not just now."""
        now_s = time.monotonic()
        if not stored or stored == self._checkpoint or now_s < self._checkpoint_s + CHECKPOINT_S:
            return
        try:
            entries = checkpoints.parse(stored).size
        except LedgerError:  # for `verify` to tell
            return
        self._checkpoint, self._checkpoint_s = stored, now_s
        make = self._reports.checkpoint(now_ns, entries, stored)
        self._put(make, self._topics.checkpoint, Priority.CHECKPOINT, retain=True)

    def health(self, now_ns: int, seen: HealthSeen) -> None:
        """How the box is."""
        make = self._reports.health(now_ns, seen)
        self._put(make, self._topics.health, Priority.STATE, retain=True, collapses=True)

    def info(self, now_ns: int) -> None:
        """What the box is."""
        self._put(self._reports.info(now_ns), self._topics.info, Priority.STATE, retain=True, collapses=True)

    def test_result(self, now_ns: int, test: str, seen: SelfTestSeen) -> None:
        """A self-test has ended."""
        self._put(self._reports.test_result(now_ns, test, seen), self._topics.test_result, Priority.EVENT)

    def announce(self, topic: str, payload: bytes) -> None:
        """Let somebody else's software find the box."""
        self._put(lambda _id: payload, topic, Priority.STATE, retain=True, collapses=True)

    def said(self) -> Said:
        """What the connection says of the box when it comes and goes, past the outbox."""
        return Said(
            online=lambda: self._status(PresenceReason.CONNECTED),
            stopped=lambda: self._status(PresenceReason.STOPPED),
            lost=lambda: self._status(PresenceReason.LOST),
            info=lambda: self._reports.info(time.time_ns())(self._outbox.next_id()),
        )

    def answer(self, now_ns: int, command: str, problem: str, facts: Mapping[str, Fact]) -> bytes:
        """What came of a request, past the outbox."""
        return self._reports.answer(now_ns, command, problem, facts)(self._outbox.next_id())

    def _status(self, reason: PresenceReason) -> bytes:
        return self._reports.status(time.time_ns(), reason)(self._outbox.next_id())

    def _put(
        self, make: Make, topic: str, priority: Priority, *, retain: bool = False, collapses: bool = False
    ) -> None:
        if self._has_broker:
            self._outbox.put(make, topic, priority, retain=retain, collapses=collapses)
            self.has_news = True
