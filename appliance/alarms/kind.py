"""What the catalogue says of a kind of alarm, in the terms of ITU-T X.733. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

Text = Annotated[str, Meta(min_length=1, max_length=1000)]
Delay = Annotated[float, Meta(ge=0, le=86_400)]


class Severity(StrEnum):
    """Perceived severity (X.733 section 8.1.2.3), the worst first."""

    CRITICAL = "critical"
    """The service is gone; act at once."""
    MAJOR = "major"
    """The service suffers; act soon."""
    MINOR = "minor"
    """Nothing is lost yet; act before it grows."""
    WARNING = "warning"
    """A fault may come; look into it."""
    INDETERMINATE = "indeterminate"
    """Nobody knows how bad it is."""
    CLEARED = "cleared"
    """It is over."""

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return list(Severity).index(self)


class EventType(StrEnum):
    """What kind of thing is wrong (X.733 section 8.1.1, X.736)."""

    COMMUNICATIONS = "communications"
    QUALITY_OF_SERVICE = "quality_of_service"
    PROCESSING_ERROR = "processing_error"
    EQUIPMENT = "equipment"
    ENVIRONMENTAL = "environmental"
    INTEGRITY_VIOLATION = "integrity_violation"


class AlarmName(StrEnum):
    """The type in an alarm's key."""

    NO_FRAMES = "no_frames"
    MIRROR_PORT_DOWN = "mirror_port_down"
    ONE_WAY_MIRROR = "one_way_mirror"
    DOUBLED_MIRROR = "doubled_mirror"
    CAPTURE_LOSS = "capture_loss"
    MIRROR_PORT_SENDS = "mirror_port_sends"
    JOURNAL_BACKLOG = "journal_backlog"
    SET_ASIDE = "set_aside"
    COMPLETENESS_BELOW_TARGET = "completeness_below_target"
    CALL_NOT_RECORDED = "call_not_recorded"
    SILENT_CHANNEL = "silent_channel"
    ONE_WAY_AUDIO = "one_way_audio"
    ENCRYPTED_CALLS = "encrypted_calls"
    LINE_NOT_IN_CONTRACT = "line_not_in_contract"
    DISK_SPACE = "disk_space"
    DISK_HEALTH = "disk_health"
    DISK_LATENCY = "disk_latency"
    VOLUME_MISSING = "volume_missing"
    BIT_ROT = "bit_rot"
    LEDGER_FAULT = "ledger_fault"
    DAYS_UNTIL_FULL = "days_until_full"
    UPKEEP_FAILED = "upkeep_failed"
    CLOCK_UNSYNCHRONISED = "clock_unsynchronised"
    CLOCK_STEPPED = "clock_stepped"
    TEMPERATURE = "temperature"
    SERVICE_RESTARTED = "service_restarted"
    SERVICE_DOWN = "service_down"
    UPDATE_FAILED = "update_failed"
    SELF_TEST_FAILED = "self_test_failed"
    CERTIFICATE_EXPIRY = "certificate_expiry"
    ALARM_TABLE_FULL = "alarm_table_full"
    BROKER_UNREACHABLE = "broker_unreachable"
    OUTBOX_FULL = "outbox_full"
    UPLOAD_OVERDUE = "upload_overdue"
    UPLOAD_GIVEN_UP = "upload_given_up"
    INBOX_REJECTED = "inbox_rejected"
    CARRIER_DELETES = "carrier_deletes"
    DELIVERY_DESTINATION_CHANGED = "delivery_destination_changed"
    VPN_CHANGED = "vpn_changed"
    GATEWAY_UNREACHABLE = "gateway_unreachable"
    VPN_UNREACHABLE = "vpn_unreachable"
    CARRIER_UNREACHABLE = "carrier_unreachable"
    FAULT_ISOLATED = "fault_isolated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A text in the two languages of the product."""

    ja: Text
    en: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmKind:
    """A row of the catalogue."""

    number: Annotated[int, Meta(ge=100, le=999)]
    """Never given to another kind, also when this one goes."""
    event_type: EventType
    severity: Severity
    """Unless the condition says otherwise."""
    severities: tuple[Severity, ...] = ()
    """What else a condition may say, by how bad it is."""
    raise_after_s: Delay
    """So long the condition has to hold."""
    clear_after_s: Delay
    """So long it has to be gone."""
    occurrence: bool = False
    """It happens rather than lasts: it is over when it has not happened again for `clear_after_s`."""
    resource: Words
    """What the first part of the key names."""
    qualifiers: tuple[str, ...] = ()
    """What the last part of the key may be; without any it is empty."""
    title: Words
    cause: Words
    remedy: Words
