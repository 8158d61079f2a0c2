"""An alarm: its key, and all that is known of it. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from appliance.alarms.kind import AlarmName, Severity

Fact = str | int | float | bool
"""A figure or a name; never speech, nor a caller's number."""
MAX_FACTS = 32
_ID_DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmKey:
    """What makes two reports the same alarm."""

    resource: str
    """What is concerned, such as `span:enp2s0`."""
    name: AlarmName
    """The type."""
    qualifier: str = ""
    """One of those that the catalogue lists for the type; empty where it lists none."""

    @property
    def id(self) -> str:
        """Its name in topics and on the command line: always the same for the same key."""
        digest = hashlib.sha256(f"{self.resource}\0{self.qualifier}".encode("utf-8", "replace")).hexdigest()
        return f"{self.name}-{digest[:_ID_DIGITS]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a rule has found wrong."""

    key: AlarmKey
    severity: Severity | None = None
    """How bad it is now; None: as the catalogue says."""
    raise_after_s: float | None = None
    """How long it has to hold, when this is not for the catalogue to say."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """The figures behind it."""
    test: bool = False
    """Somebody tries out whether alarms arrive."""


class AlarmState(StrEnum):
    """Whether an alarm stands."""

    RAISED = "raised"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """Somebody has taken note of an alarm."""

    by: str
    at_ns: int
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelving:
    """An alarm that nobody is to be bothered with for a while (IEC 62682)."""

    by: str
    at_ns: int
    until_ns: int
    """It comes back by itself then."""
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm as it stands, or as it ended."""

    key: AlarmKey
    state: AlarmState
    severity: Severity
    """How bad it is, or was at last."""
    source: str
    """Which rules tell of it."""
    first_raised_ns: int
    """Since when it stands, in real time."""
    last_changed_ns: int
    """When anything but its figures changed."""
    cleared_ns: int | None = None
    """When it ended."""
    count: int = 1
    """How often the condition came, or came back before the alarm was cleared."""
    boot_id: str
    """The boot in which it changed last."""
    sequence: int
    """Number of the change, counted over all alarms of the box: one that is missing was lost."""
    test: bool = False
    """Somebody tried out whether alarms arrive."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """The figures behind it."""
    acknowledged: Acknowledgement | None = None
    shelved: Shelving | None = None
