"""All boxes of a fleet by what they publish. Pure: messages and the time come in.

| a box is   | when                                                                             |
|------------|----------------------------------------------------------------------------------|
| offline    | its `status` says so: it went, or the broker lost it                             |
| stale      | it is online, and its `health` is older than three of its intervals              |
| online     | otherwise                                                                        |
| unknown    | nothing but other messages came: there is no `status` of it                      |

What comes from a broker is not trusted: what cannot be read is counted, tables have limits.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from appliance.alarms.alarm import AlarmState
from appliance.alarms.kind import Severity
from appliance.telemetry import topics
from appliance.telemetry.messages import (
    AlarmMessage,
    CallSummary,
    Event,
    Health,
    Info,
    LedgerCheckpoint,
    Presence,
    SelfTestResult,
    Status,
)
from appliance.telemetry.topics import BoxTopics
from storage.timestamps import NS_PER_S, instant_ns

STALE_INTERVALS = 3
MAX_BOXES = 10_000
MAX_ALARMS = 2_000
"""Of one box."""
HISTORY = 500
"""Changes of alarms that are remembered of one box."""
EVENTS = 100
FLEET_HISTORY = 2_000


class BoxState(StrEnum):
    """What is to be made of a box, the worst first."""

    OFFLINE = "offline"
    STALE = "stale"
    UNKNOWN = "unknown"
    ONLINE = "online"


@dataclass(slots=True, kw_only=True, eq=False)
class Box:
    """What is known of one box."""

    name: BoxTopics
    status: Status | None = None
    info: Info | None = None
    health: Health | None = None
    health_ns: int = 0
    """When it came; of a retained one, when it was made."""
    alarms: dict[str, AlarmMessage] = field(default_factory=dict)
    """What stands, by id."""
    history: deque[AlarmMessage] = field(default_factory=lambda: deque(maxlen=HISTORY))
    """Changes as they came, the newest last."""
    events: deque[Event | SelfTestResult] = field(default_factory=lambda: deque(maxlen=EVENTS))
    checkpoint: LedgerCheckpoint | None = None
    calls: int = 0
    """Calls that have ended since we look."""
    calls_incomplete: int = 0
    """Of those, wanted and not whole."""
    sequence: int = 0
    """Greatest number of a change of an alarm that came."""
    missed: int = 0
    """Changes of alarms that never came."""

    def state(self, now_ns: int) -> BoxState:
        """What is to be made of it."""
        if self.status is None:
            return BoxState.UNKNOWN
        if self.status.state is Presence.OFFLINE:
            return BoxState.OFFLINE
        return BoxState.STALE if self.age_s(now_ns) > STALE_INTERVALS * self.status.interval_s else BoxState.ONLINE

    def age_s(self, now_ns: int) -> float:
        """How old its health is."""
        return max(0.0, (now_ns - self.health_ns) / NS_PER_S) if self.health_ns else float("inf")

    def counts(self) -> Counter[Severity]:
        """Alarms by severity, without shelved and test ones."""
        return Counter(one.severity for one in self.alarms.values() if one.shelved is None and not one.test)

    def standing(self) -> list[AlarmMessage]:
        """Alarms, the worst first, then the oldest."""
        return sorted(self.alarms.values(), key=lambda one: (one.severity.rank, one.first_raised_at))

    def urgency(self, now_ns: int) -> tuple[int, ...]:
        """Where it stands in a list of what needs somebody, the worst first."""
        counts = self.counts()
        return (list(BoxState).index(self.state(now_ns)), *(-counts[severity] for severity in Severity))


class Fleet:
    """Takes messages."""

    def __init__(self) -> None:
        self.boxes: dict[BoxTopics, Box] = {}
        self.history: deque[tuple[BoxTopics, AlarmMessage]] = deque(maxlen=FLEET_HISTORY)
        """Changes of all boxes as they came."""
        self.messages = 0
        self.size_bytes = 0
        self.malformed = 0
        """Messages that could not be read."""
        self.refused = 0
        """Messages of boxes, or alarms, that there is no room for."""
        self._seen: set[str] = set()
        self._order: deque[str] = deque()

    def take(self, topic: str, payload: bytes, now_ns: int, *, retained: bool = False) -> None:
        """One message as it came; without a topic: the broker tells everything that is retained anew."""
        if not topic:
            for known in self.boxes.values():
                known.alarms.clear()
            return
        self.messages += 1
        self.size_bytes += len(topic) + len(payload)
        found = topics.split(topic)
        if found is None:
            return
        name, rest = found
        box = self.boxes.get(name)
        if box is None:
            if len(self.boxes) >= MAX_BOXES:
                self.refused += 1
                return
            box = self.boxes[name] = Box(name=name)
        try:
            self._apply(box, rest, payload, now_ns, retained=retained)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
            self.malformed += 1

    def sorted(self, now_ns: int) -> list[Box]:
        """All boxes, those first that need somebody."""
        return sorted(self.boxes.values(), key=lambda box: (box.urgency(now_ns), box.name.root))

    def _apply(self, box: Box, rest: str, payload: bytes, now_ns: int, *, retained: bool) -> None:
        kind, _, detail = rest.partition("/")
        match kind:
            case "status":
                box.status = msgspec.json.decode(payload, type=Status)
            case "info":
                box.info = msgspec.json.decode(payload, type=Info)
            case "health":
                box.health = msgspec.json.decode(payload, type=Health)
                box.health_ns = min(instant_ns(box.health.at), now_ns) if retained else now_ns
            case "alarm":
                self._take_alarm(box, detail, payload)
            case "event":
                self._once(box, msgspec.json.decode(payload, type=Event))
            case "test":
                self._once(box, msgspec.json.decode(payload, type=SelfTestResult))
            case "call":
                self._take_call(box, msgspec.json.decode(payload, type=CallSummary))
            case "ledger":
                box.checkpoint = msgspec.json.decode(payload, type=LedgerCheckpoint)
            case _:
                pass

    def _take_alarm(self, box: Box, id: str, payload: bytes) -> None:
        if not payload:
            box.alarms.pop(id, None)
            return
        alarm = msgspec.json.decode(payload, type=AlarmMessage)
        if alarm.state is AlarmState.CLEARED:
            box.alarms.pop(id, None)
        elif id in box.alarms or len(box.alarms) < MAX_ALARMS:
            box.alarms[id] = alarm
        else:
            self.refused += 1
        if not self._is_new(alarm.message_id):
            return
        if box.sequence:
            box.missed += max(0, alarm.sequence - box.sequence - 1)
        box.sequence = max(box.sequence, alarm.sequence)
        box.history.append(alarm)
        self.history.append((box.name, alarm))

    def _take_call(self, box: Box, call: CallSummary) -> None:
        if self._is_new(call.message_id):
            box.calls += 1
            box.calls_incomplete += call.completeness is not None and call.outcome != "recorded"

    def _once(self, box: Box, event: Event | SelfTestResult) -> None:
        if self._is_new(event.message_id):
            box.events.append(event)

    def _is_new(self, message_id: str) -> bool:
        """Whether a message did not come before: what was not confirmed comes twice."""
        if message_id in self._seen:
            return False
        self._seen.add(message_id)
        self._order.append(message_id)
        if len(self._order) > 100_000:
            self._seen.discard(self._order.popleft())
        return True
