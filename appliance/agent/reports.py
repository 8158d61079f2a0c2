"""What is known as messages for the NOC. Pure: who is told is for others.

Each method returns a function that makes the message once its id is known, which is what the outbox takes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import msgspec

from appliance.agent.daysums import DaySums
from appliance.agent.machine import MachineSeen
from appliance.agent.selftestseen import SelfTestSeen
from appliance.alarms.alarm import Alarm, AlarmState, Fact
from appliance.alarms.catalogue import catalogue
from appliance.alarms.kind import Severity
from appliance.alarms.rules.calls import Place, place_of
from appliance.condition.record import Condition as ArchiveCondition
from appliance.diagnosis.evidence import Port
from appliance.telemetry.messages import (
    Acknowledged,
    AlarmCounts,
    AlarmMessage,
    CallSummary,
    CommandAnswer,
    DeliveryHealth,
    DiskHealth,
    Event,
    EventName,
    Health,
    Info,
    LedgerCheckpoint,
    Numbers,
    OutboxHealth,
    PortHealth,
    Presence,
    PresenceReason,
    Published,
    SelfTestResult,
    ServiceHealth,
    Shelved,
    Status,
)
from appliance.telemetry.outbox import OutboxState
from storage.call_record import CallRecord
from storage.json_form import encodable
from storage.timestamps import rfc3339
from uploader.status import UploadStatus

Make = Callable[[str], bytes]
_PRESENCE = {
    PresenceReason.CONNECTED: Presence.ONLINE,
    PresenceReason.STOPPED: Presence.OFFLINE,
    PresenceReason.LOST: Presence.OFFLINE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the box is, as long as the process runs."""

    customer: str
    site: str
    serial: str
    zone: ZoneInfo
    software: str
    operating_system: str
    kernel: str
    hardware: str
    boot_id: str
    started_ns: int
    config_digest: str
    mirror_ports: tuple[str, ...]
    commands: tuple[str, ...]
    interval_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSeen:
    """What `health` is made of."""

    machine: MachineSeen
    services: Sequence[ServiceHealth]
    ports: Iterable[Port]
    day: DaySums
    in_progress: int | None
    condition: ArchiveCondition | None
    free_bytes: int | None
    total_bytes: int | None
    clock_synchronised: bool | None
    ledger_entries: int | None
    alarms: Sequence[Alarm]
    alarm_sequence: int
    outbox: OutboxState
    uploads: UploadStatus | None


class Reports:
    """Makes the messages of one box."""

    def __init__(self, identity: Identity, places: Mapping[str, Place], *, numbers: bool) -> None:
        """`places` are the contracted lines by number; `numbers`: call summaries name the parties."""
        self._identity = identity
        self._places = places
        self._numbers = numbers

    def status(self, now_ns: int, reason: PresenceReason) -> Make:
        """Whether the box is there."""
        identity = self._identity
        return lambda id: encoded(
            Status(
                message_id=id,
                at=self._at(now_ns),
                state=_PRESENCE[reason],
                reason=reason,
                boot_id=identity.boot_id,
                interval_s=identity.interval_s,
            )
        )

    def info(self, now_ns: int) -> Make:
        """What the box is."""
        identity = self._identity
        return lambda id: encoded(
            Info(
                message_id=id,
                at=self._at(now_ns),
                customer=identity.customer,
                site=identity.site,
                serial=identity.serial,
                software=identity.software,
                operating_system=identity.operating_system,
                kernel=identity.kernel,
                hardware=identity.hardware,
                time_zone=identity.zone.key,
                boot_id=identity.boot_id,
                started_at=self._at(identity.started_ns),
                config_digest=identity.config_digest,
                mirror_ports=identity.mirror_ports,
                commands=identity.commands,
            )
        )

    def alarm(self, alarm: Alarm) -> Make:
        """A change of an alarm."""
        kind = catalogue()[alarm.key.name]
        is_over = alarm.state is AlarmState.CLEARED
        return lambda id: encoded(
            AlarmMessage(
                message_id=id,
                at=self._at(alarm.last_changed_ns),
                alarm_id=alarm.key.id,
                number=kind.number,
                resource=alarm.key.resource,
                type=alarm.key.name,
                qualifier=alarm.key.qualifier,
                event_type=kind.event_type,
                state=alarm.state,
                severity=Severity.CLEARED if is_over else alarm.severity,
                title_ja=kind.title.ja,
                title_en=kind.title.en,
                first_raised_at=self._at(alarm.first_raised_ns),
                last_changed_at=self._at(alarm.last_changed_ns),
                cleared_at=None if alarm.cleared_ns is None else self._at(alarm.cleared_ns),
                count=alarm.count,
                boot_id=alarm.boot_id,
                sequence=alarm.sequence,
                test=alarm.test,
                facts=dict(alarm.facts),
                acknowledged=self._acknowledged(alarm),
                shelved=self._shelved(alarm),
            )
        )

    def event(self, now_ns: int, name: EventName, facts: Mapping[str, Fact]) -> Make:
        """Something happened."""
        return lambda id: encoded(
            Event(message_id=id, at=self._at(now_ns), boot_id=self._identity.boot_id, event=name, facts=dict(facts))
        )

    def call(self, now_ns: int, record: CallRecord) -> Make:
        """A call has ended."""
        place = place_of(record, self._places)
        heard = [side.mos for side in record.sides if side.mos is not None]
        numbers = Numbers(caller=record.caller.number[:200], callee=(record.callee.number or record.dialled)[:200])
        return lambda id: encoded(
            CallSummary(
                message_id=id,
                at=self._at(now_ns),
                call_id=record.call_id,
                started_at=record.started_at,
                duration_s=record.duration_s,
                direction=record.direction,
                enterprise=record.enterprise or "",
                line=None if place is None else place.line,
                outcome=record.outcome,
                reasons=record.reasons,
                completeness=record.completeness,
                mos=min(heard, default=None),
                parts=len(record.parts),
                numbers=numbers if self._numbers else None,
            )
        )

    def checkpoint(self, now_ns: int, entries: int, note: bytes) -> Make:
        """The ledger's newest checkpoint."""
        return lambda id: encoded(
            LedgerCheckpoint(message_id=id, at=self._at(now_ns), entries=entries, note=note.decode("utf-8", "replace"))
        )

    def test_result(self, now_ns: int, test: str, seen: SelfTestSeen) -> Make:
        """A self-test has ended."""
        return lambda id: encoded(
            SelfTestResult(
                message_id=id,
                at=self._at(now_ns),
                test=test,
                outcome=seen.outcome,
                exit_code=seen.exit_code,
                domains=seen.domains,
                steps=seen.steps,
            )
        )

    def answer(self, now_ns: int, command: str, problem: str, facts: Mapping[str, Fact]) -> Make:
        """What came of a request."""
        return lambda id: encoded(
            CommandAnswer(
                message_id=id,
                at=self._at(now_ns),
                command=command[:64],
                done=not problem,
                problem=problem[:500],
                facts=dict(facts),
            )
        )

    def health(self, now_ns: int, seen: HealthSeen) -> Make:
        """How the box is."""
        identity = self._identity
        return lambda id: encoded(
            Health(
                message_id=id,
                at=self._at(now_ns),
                boot_id=identity.boot_id,
                interval_s=identity.interval_s,
                uptime_s=seen.machine.uptime_s,
                services=tuple(seen.services),
                ports=tuple(_port(port) for port in seen.ports),
                calls=seen.day.health(seen.in_progress),
                disk=disk_health(seen.condition, seen.free_bytes, seen.total_bytes),
                clock_synchronised=seen.clock_synchronised,
                temperature_c=seen.machine.temperature_c,
                memory_available_bytes=seen.machine.memory_available_bytes,
                load_1min=seen.machine.load_1min,
                ledger_entries=seen.ledger_entries,
                alarms=_counts(seen.alarms),
                alarm_sequence=seen.alarm_sequence,
                outbox=OutboxHealth(
                    messages=seen.outbox.messages, size_bytes=seen.outbox.size_bytes, dropped=seen.outbox.dropped
                ),
                delivery=None if seen.uploads is None else _delivery(seen.uploads),
            )
        )

    def _at(self, instant_ns: int) -> str:
        return rfc3339(instant_ns, self._identity.zone)

    def _acknowledged(self, alarm: Alarm) -> Acknowledged | None:
        one = alarm.acknowledged
        return None if one is None else Acknowledged(by=one.by, at=self._at(one.at_ns), comment=one.comment)

    def _shelved(self, alarm: Alarm) -> Shelved | None:
        one = alarm.shelved
        if one is None:
            return None
        return Shelved(by=one.by, at=self._at(one.at_ns), until=self._at(one.until_ns), comment=one.comment)


def encoded(message: Published) -> bytes:
    """The message as it is sent. What is no text, from undecodable signalling or a file's name, becomes U+FFFD."""
    try:
        return msgspec.json.encode(message)
    except UnicodeEncodeError:
        return msgspec.json.encode(encodable(msgspec.to_builtins(message)))


def _port(port: Port) -> PortHealth:
    counted = port.kernel_drops is not None or port.nic_drops is not None
    return PortHealth(
        interface=port.name,
        up=port.link_up,
        frames=port.received,
        dropped=(port.kernel_drops or 0) + (port.nic_drops or 0) if counted else None,
    )


def _delivery(seen: UploadStatus) -> DeliveryHealth:
    return DeliveryHealth(
        waiting=sum(one.waiting for one in seen.targets),
        oldest_s=round(max((one.oldest_s for one in seen.targets), default=0.0)),
        given_up=sum(one.given_up for one in seen.targets),
        delivered=sum(one.delivered for one in seen.targets),
        inbox_waiting=None if seen.inbox is None else seen.inbox.waiting,
        inbox_set_aside=None if seen.inbox is None else seen.inbox.set_aside,
    )


def disk_health(condition: ArchiveCondition | None, free_bytes: int | None, total_bytes: int | None) -> DiskHealth:
    """What is known of the archive's disk."""
    figures = None if condition is None else condition.figures
    disk = None if figures is None else figures.disk
    retention = None if figures is None else figures.retention
    return DiskHealth(
        free_bytes=free_bytes,
        total_bytes=total_bytes,
        days_until_full=None if retention is None else retention.days_until_full,
        health="unknown" if disk is None else disk.health,
        write_median_ms=None if disk is None else disk.write_median_ms,
        temperature_c=None if disk is None else disk.temperature_c,
    )


def _counts(alarms: Sequence[Alarm]) -> AlarmCounts:
    counted = Counter(alarm.severity.value for alarm in alarms if alarm.shelved is None and not alarm.test)
    return AlarmCounts(**counted)
