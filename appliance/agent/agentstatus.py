"""`agent/status.json`: what the agent knows of the box at present, for the status page. Pure.

Written a few times a minute; it need not survive a power cut.
"""

from dataclasses import dataclass
from typing import Literal

from appliance.diagnosis.domains import Domains
from appliance.diagnosis.evidence import Port
from appliance.diagnosis.findings import Row, Verdict
from appliance.telemetry.messages import CallsHealth, DiskHealth, ServiceHealth

NAME = "status.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSeen:
    """A mirror port."""

    name: str
    up: bool | None = None
    """None when nobody knows."""
    speed_mbps: int | None = None
    frames_per_s: float | None = None
    """None when nobody knows."""
    dropped: int | None = None
    """Packets that the recorder missed of late; None when nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingSeen:
    """Something that is wrong, and whose it is."""

    row: Row
    domains: Domains


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictSeen:
    """The verdict, most important first."""

    findings: tuple[FindingSeen, ...]
    withheld: int
    """Suspicions that are not spoken, because something nearer is in doubt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    """What the agent knows."""

    schema: Literal["rokubox.agent/1"] = "rokubox.agent/1"
    at_ns: int
    """When it was written, in real time. Older than a minute: the agent does not run."""
    services: tuple[ServiceHealth, ...]
    calls: CallsHealth
    """Today's calls."""
    disk: DiskHealth
    clock_synchronised: bool | None
    """None when nobody knows."""
    mirrors: tuple[MirrorSeen, ...]
    verdict: VerdictSeen | None
    """None while nothing is known."""


def mirror_seen(port: Port) -> MirrorSeen:
    """A port as its counters rose within their window."""
    seconds = port.window.length_s
    counted = port.kernel_drops is not None or port.nic_drops is not None
    return MirrorSeen(
        name=port.name,
        up=port.link_up,
        speed_mbps=port.speed_mbps,
        frames_per_s=None if port.received is None or seconds <= 0 else port.received / seconds,
        dropped=(port.kernel_drops or 0) + (port.nic_drops or 0) if counted else None,
    )


def verdict_seen(found: Verdict) -> VerdictSeen:
    """The verdict without its evidence."""
    findings = tuple(FindingSeen(row=finding.row, domains=finding.domains) for finding in found.findings)
    return VerdictSeen(findings=findings, withheld=len(found.withheld))
