"""Topics of a box: `rec/v1/{customer}/{site}/{serial}/...`. Pure."""

import re
from dataclasses import dataclass
from typing import Self

PREFIX = "rec/v1"
_UNFIT = re.compile(r"[/+#\x00-\x1f\x7f]")
_MAX_LEVEL = 64


def level(name: str) -> str:
    """A free text as one level of a topic: what has a meaning in topics (MQTT 5 section 4.7.1) becomes `-`."""
    return _UNFIT.sub("-", name.strip())[:_MAX_LEVEL]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxTopics:
    """The topics of one box."""

    customer: str
    site: str
    serial: str
    """Each one level."""

    @classmethod
    def of(cls, customer: str, site: str, serial: str) -> Self:
        """The topics for the names in the configuration."""
        return cls(customer=level(customer), site=level(site), serial=level(serial))

    @property
    def root(self) -> str:
        """What all begin with, without the last slash."""
        return f"{PREFIX}/{self.customer}/{self.site}/{self.serial}"

    @property
    def status(self) -> str:
        """Online or offline; retained, and the will."""
        return f"{self.root}/status"

    @property
    def info(self) -> str:
        """What the box is; retained."""
        return f"{self.root}/info"

    @property
    def health(self) -> str:
        """How it is; retained, once a minute."""
        return f"{self.root}/health"

    @property
    def call_summary(self) -> str:
        """One message a call."""
        return f"{self.root}/call/summary"

    @property
    def checkpoint(self) -> str:
        """The ledger's latest signed checkpoint; retained."""
        return f"{self.root}/ledger/checkpoint"

    @property
    def test_result(self) -> str:
        """What a self-test came to."""
        return f"{self.root}/test/result"

    @property
    def commands(self) -> str:
        """Filter for everything that the box is asked."""
        return f"{self.root}/cmd/+"

    @property
    def alarms(self) -> str:
        """Filter for every alarm of the box."""
        return f"{self.root}/alarm/+"

    def alarm_of(self, topic: str) -> str:
        """The id of the alarm that a topic is about; empty when it is about none."""
        root = f"{self.root}/alarm/"
        return topic.removeprefix(root) if topic.startswith(root) else ""

    def alarm(self, id: str) -> str:
        """One alarm; retained while it stands."""
        return f"{self.root}/alarm/{id}"

    def event(self, kind: str) -> str:
        """Something that happened."""
        return f"{self.root}/event/{kind}"

    def command(self, name: str) -> str:
        """A request."""
        return f"{self.root}/cmd/{name}"

    def command_of(self, topic: str) -> str:
        """The name of the request that came on a topic; empty when it is none."""
        root = f"{self.root}/cmd/"
        name = topic.removeprefix(root)
        return name if topic.startswith(root) and "/" not in name else ""


def split(topic: str) -> tuple[BoxTopics, str] | None:
    """The box that a topic belongs to, and the rest of the topic; None when it is none of ours."""
    levels = topic.split("/", 5)
    if len(levels) != 6 or levels[:2] != ["rec", "v1"] or not all(levels[2:]):
        return None
    return BoxTopics(customer=levels[2], site=levels[3], serial=levels[4]), levels[5]
