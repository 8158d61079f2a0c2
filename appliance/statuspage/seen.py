"""Everything that the status page shows. Pure."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from appliance.agent.agentstatus import AgentStatus
from appliance.alarms.alarm import Alarm
from appliance.firmware.updatestatus import UpdateStatus
from appliance.provisioning.outcome import Told


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceSeen:
    """A network interface that is none of a mirror's."""

    name: str
    up: bool
    addresses: tuple[str, ...]
    """With their prefixes, without those of the link alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSeen:
    """The box at one moment."""

    at_ns: int
    zone: ZoneInfo
    customer: str
    site: str
    serial: str
    software: str
    slot: str
    """Which of the two systems runs; empty on a server."""
    problem: str
    """Why the configuration cannot be used; empty when it can."""
    interfaces: tuple[InterfaceSeen, ...]
    mirror_ports: tuple[str, ...]
    """Those that the configuration names."""
    agent: AgentStatus | None
    """None when it never ran."""
    alarms: tuple[Alarm, ...]
    """Those that stand, the worst first."""
    update: UpdateStatus | None
    """The update that goes on, or the last one; None without one."""
    medium: Told | None
    """What came of the last medium since the box was started; None without one."""
    ignored: bool = False
    """A USB medium is there that nobody reads, because of its label, and the box has no configuration yet."""
