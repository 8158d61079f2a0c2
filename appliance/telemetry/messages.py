"""What is published, and what is asked and answered: the schemas in `schema/` are made from these classes. Pure.

No message holds speech. Callers' numbers stand in none but a call summary, and there only when the configuration says
so.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta

from appliance.alarms.alarm import AlarmState
from appliance.alarms.kind import AlarmName, EventType, Severity
from storage.vocabulary import CallId, Count, Direction, Duration, Mos, Outcome, Percent, Reason, Timestamp

MessageId = Annotated[str, Meta(pattern="^[0-9a-f]{8}-[0-9]{1,19}$", max_length=28)]
Name = Annotated[str, Meta(max_length=200)]
Word = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,63}$", max_length=64)]
FactValue = bool | int | float | Annotated[str, Meta(max_length=500)]
Facts = Annotated[dict[Word, FactValue], Meta(max_length=32)]


class Presence(StrEnum):
    """Whether a box is connected to the broker."""

    ONLINE = "online"
    OFFLINE = "offline"


class PresenceReason(StrEnum):
    """Why it is, or is not."""

    CONNECTED = "connected"
    STOPPED = "stopped"
    """The box said so before it went."""
    LOST = "lost"
    """The broker says so: the connection broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Whether the box is there. Retained; also the will."""

    schema: Literal["rokubox.status/1"] = "rokubox.status/1"
    """Name and version of this form."""
    message_id: MessageId
    """Always another one."""
    at: Timestamp
    """When it was made. Of the will that is when the connection was made, not when it broke."""
    state: Presence
    """Online or offline."""
    reason: PresenceReason
    """Why."""
    boot_id: Name
    """The boot of the machine."""
    interval_s: Annotated[int, Meta(ge=1)]
    """How often `health` comes: a box that has been silent for three times as long is stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What the box is. Retained; published at each connection."""

    schema: Literal["rokubox.info/1"] = "rokubox.info/1"
    """Name and version of this form."""
    message_id: MessageId
    """Always another one."""
    at: Timestamp
    """When it was made."""
    customer: Name
    """Whose it is."""
    site: Name
    """Where it stands."""
    serial: Name
    """Its serial number."""
    software: Name
    """Program and version."""
    operating_system: Name
    """Name and version."""
    kernel: Name
    """Release of the kernel."""
    hardware: Name
    """Maker and model, as the firmware tells; empty when it does not."""
    time_zone: Name
    """The site's."""
    boot_id: Name
    """The boot of the machine."""
    started_at: Timestamp
    """When the agent was started."""
    config_digest: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$", max_length=64)]
    """SHA-256 of the configuration; empty without one."""
    mirror_ports: tuple[Name, ...]
    """Interfaces that are recorded."""
    commands: tuple[Word, ...]
    """What the box may be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceHealth:
    """One of the box's services."""

    name: Word
    """Which."""
    running: bool
    """Whether it runs."""
    restarts: Count
    """How often it was started again, since the agent began to look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortHealth:
    """A mirror port since the message before."""

    interface: Name
    """Its name."""
    up: bool | None
    """Whether it hears; null when nobody knows."""
    frames: Count | None
    """Frames that came, by the adapter's count; null when it does not tell."""
    dropped: Count | None
    """Packets that the recorder missed; null when nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsHealth:
    """Calls of the day so far, local time."""

    in_progress: Count | None
    """Calls that go on now; null when nobody knows."""
    recorded: Count
    """Whole ones."""
    partly: Count
    """With something missing."""
    not_recorded: Count
    """Missing, though wanted."""
    not_expected: Count
    """Not wanted."""
    completeness: Percent | None
    """Of what was wanted, in the archive; null when nothing was wanted."""
    capture_completeness: Percent | None
    """The same, for losses of the recorder alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskHealth:
    """The disk under the archive."""

    free_bytes: Count | None
    """Room; null when it is not there."""
    total_bytes: Count | None
    """All of it."""
    days_until_full: Count | None
    """By the rate of late; null: not within ten years, or not known."""
    health: Name
    """`good`, `warning`, `failing` or `unknown`."""
    write_median_ms: Duration | None
    """How long a small write takes; null when not known."""
    temperature_c: int | None
    """How hot it is; null when it does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmCounts:
    """Alarms that stand, by severity, without shelved and test ones."""

    critical: Count = 0
    """The worst."""
    major: Count = 0
    """Act soon."""
    minor: Count = 0
    """Before it grows."""
    warning: Count = 0
    """Look into it."""
    indeterminate: Count = 0
    """Nobody knows how bad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxHealth:
    """Messages that wait for the broker."""

    messages: Count
    """How many."""
    size_bytes: Count
    """Their room."""
    dropped: Count
    """Dropped for want of room since the agent began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryHealth:
    """Delivery of recordings to the customer's systems, and of the carrier's files to us."""

    waiting: Count
    """Recordings that wait, once for each target."""
    oldest_s: Count
    """How long the longest has been tried."""
    given_up: Count
    """Those that were given up and are still here."""
    delivered: Count
    """Those that targets have proved to hold, ever."""
    inbox_waiting: Count | None
    """Files from the carrier that are not stored yet; null without an inbox."""
    inbox_set_aside: Count | None
    """Files from the carrier that were set aside; null without an inbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the box is. Retained; every `interval_s`."""

    schema: Literal["rokubox.health/1"] = "rokubox.health/1"
    """Name and version of this form."""
    message_id: MessageId
    """Always another one."""
    at: Timestamp
    """When it was made."""
    boot_id: Name
    """The boot of the machine."""
    interval_s: Annotated[int, Meta(ge=1)]
    """When the next one is due."""
    uptime_s: Count
    """Since the machine was started."""
    services: tuple[ServiceHealth, ...]
    """Capture, assembly and so on."""
    ports: tuple[PortHealth, ...]
    """The mirror ports."""
    calls: CallsHealth
    """Today's calls."""
    disk: DiskHealth
    """The archive's disk."""
    clock_synchronised: bool | None
    """Whether a time server disciplines the clock; null when nobody knows."""
    temperature_c: float | None
    """Of the hottest sensor; null without one."""
    memory_available_bytes: Count | None
    """What programs can still have."""
    load_1min: Duration | None
    """Processes that want to run, over a minute."""
    ledger_entries: Count | None
    """Lines of the ledger; null when not known."""
    alarms: AlarmCounts
    """What stands."""
    alarm_sequence: Count
    """Number of the last change of an alarm: whoever has seen less has missed some."""
    outbox: OutboxHealth
    """What waits."""
    delivery: DeliveryHealth | None
    """Recordings on their way; null where nothing is delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """Somebody has taken note."""

    by: Name
    """Who."""
    at: Timestamp
    """When."""
    comment: Name
    """What else there is to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """Nobody is to be bothered for a while."""

    by: Name
    """Who said so."""
    at: Timestamp
    """When."""
    until: Timestamp
    """It comes back then."""
    comment: Name
    """Why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmMessage:
    """A change of an alarm. Retained while it stands; an empty message takes it away after it was cleared."""

    schema: Literal["rokubox.alarm/1"] = "rokubox.alarm/1"
    """Name and version of this form."""
    message_id: MessageId
    """Always another one."""
    at: Timestamp
    """When it changed."""
    alarm_id: Annotated[str, Meta(pattern="^[a-z_]{1,64}-[0-9a-f]{10}$", max_length=80)]
    """The last level of the topic; the same for the same key, for ever."""
    number: Annotated[int, Meta(ge=100, le=999)]
    """Of the catalogue (docs/alarms.md)."""
    resource: Name
    """First part of the key: what is concerned."""
    type: AlarmName
    """Second part."""
    qualifier: Name
    """Third part; empty for most."""
    event_type: EventType
    """Kind of trouble (X.733)."""
    state: AlarmState
    """Raised or cleared."""
    severity: Severity
    """Perceived severity (X.733); `cleared` when it is."""
    title_ja: Name
    """What it is, in Japanese."""
    title_en: Name
    """What it is."""
    first_raised_at: Timestamp
    """Since when it stands."""
    last_changed_at: Timestamp
    """When anything but its figures changed."""
    cleared_at: Timestamp | None
    """When it ended."""
    count: Annotated[int, Meta(ge=1)]
    """How often its condition came."""
    boot_id: Name
    """The boot of the machine."""
    sequence: Annotated[int, Meta(ge=1)]
    """Number of the change, over all alarms of the box."""
    test: bool
    """Somebody tries out whether alarms arrive."""
    facts: Facts
    """The figures behind it."""
    acknowledged: Acknowledged | None
    """Null while nobody has."""
    shelved: Shelved | None
    """Null when it is not."""


class EventName(StrEnum):
    """What can happen that is no alarm."""

    AGENT_STARTED = "agent_started"
    AGENT_STOPPED = "agent_stopped"
    SERVICE_STARTED = "service_started"
    CONFIGURATION_CHANGED = "configuration_changed"
    CLOCK_STEPPED = "clock_stepped"
    CERTIFICATES_RENEWED = "certificates_renewed"
    COMMAND = "command"
    VERDICT = "verdict"
    MESSAGES_DROPPED = "messages_dropped"
    UPDATE = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened."""

    schema: Literal["rokubox.event/1"] = "rokubox.event/1"
    """Name and version of this form."""
    message_id: MessageId
    """Always another one."""
    at: Timestamp
    """When."""
    boot_id: Name
    """The boot of the machine."""
    event: EventName
    """What; also the last level of the topic."""
    facts: Facts
    """The figures behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The parties of a call."""

    caller: Name
    """Who called."""
    callee: Name
    """Who was called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSummary:
    """A call has ended and its record is in the archive."""

    schema: Literal["rokubox.call-summary/1"] = "rokubox.call-summary/1"
    """Name and version of this form."""
    message_id: MessageId
    """Always another one."""
    at: Timestamp
    """When it was made."""
    call_id: CallId
    """The call's id; it is a hash and tells nobody's number."""
    started_at: Timestamp
    """First packet of the call."""
    duration_s: Duration
    """Answer to end."""
    direction: Direction
    """Seen from the contracted line."""
    enterprise: Name
    """Enterprise ID; empty when none is concerned."""
    line: Count | None
    """Place of the line among those of the enterprise, from 1; null when none is concerned."""
    outcome: Outcome
    """Whether it is in the archive."""
    reasons: tuple[Reason, ...]
    """Why not, or not whole."""
    completeness: Percent | None
    """Null when nothing was wanted."""
    mos: Mos | None
    """The worse side's listening quality; null without speech."""
    parts: Count
    """Files of the recording."""
    numbers: Numbers | None
    """Null unless the configuration wants them published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCheckpoint:
    """The ledger's newest signed checkpoint. Retained: whoever keeps it can prove later tampering."""

    schema: Literal["rokubox.checkpoint/1"] = "rokubox.checkpoint/1"
    """Name and version of this form."""
    message_id: MessageId
    """Always another one."""
    at: Timestamp
    """When it was published."""
    entries: Count
    """Lines of the ledger."""
    note: Annotated[str, Meta(max_length=4096)]
    """The checkpoint as it lies on the share (C2SP signed note)."""


class SelfTestOutcome(StrEnum):
    """What a test came to."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_OBSERVABLE = "not_observable"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestStep:
    """A rung of the ladder. What was tried is confidential and not named."""

    step: Word
    """Which."""
    state: Word
    """What it came to."""
    cause: Annotated[str, Meta(max_length=64)]
    """Why it is not good; empty when it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestResult:
    """A self-test has ended."""

    schema: Literal["rokubox.test-result/1"] = "rokubox.test-result/1"
    """Name and version of this form."""
    message_id: MessageId
    """Always another one."""
    at: Timestamp
    """When it ended."""
    test: Word
    """Which: `selftest`, `end_to_end`, `first_call`."""
    outcome: SelfTestOutcome
    """What it came to."""
    exit_code: Annotated[int, Meta(ge=0, le=255)]
    """As `rokubox selftest` would end: it names the domain."""
    domains: tuple[Word, ...]
    """Who has to act, in order; empty when nobody has or nobody knows."""
    steps: tuple[SelfTestStep, ...]
    """The ladder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    """The box is asked to do something; comes on `cmd/NAME` with a response topic and correlation data (MQTT 5)."""

    schema: Literal["rokubox.command/1"] = "rokubox.command/1"
    """Name and version of this form."""
    by: Annotated[str, Meta(min_length=1, max_length=200)]
    """Who asks."""
    arguments: Facts
    """What else is to be known; see docs/telemetry.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAnswer:
    """What came of a request; goes to its response topic with its correlation data."""

    schema: Literal["rokubox.command-answer/1"] = "rokubox.command-answer/1"
    """Name and version of this form."""
    message_id: MessageId
    """Always another one."""
    at: Timestamp
    """When."""
    command: Annotated[str, Meta(max_length=64)]
    """What was asked for."""
    done: bool
    """Whether it was done."""
    problem: Annotated[str, Meta(max_length=500)]
    """Why not; empty when it was."""
    facts: Facts
    """What there is to say."""


Published = (
    Status | Info | Health | AlarmMessage | Event | CallSummary | LedgerCheckpoint | SelfTestResult | CommandAnswer
)
