"""The box itself: services, clock, certificates, the connection to the broker, what has to be notified. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from appliance.alarms.alarm import AlarmKey, Condition, Fact
from appliance.alarms.kind import AlarmName, Severity
from appliance.telemetry.failure import Failure
from appliance.telemetry.outbox import OutboxState

SERVICES, CLOCK, CERTIFICATES, BROKER, CHANGES = "services", "clock", "certificates", "broker", "changes"
BACKLOG, ASSEMBLE = "backlog", "assemble"
BEHIND_NS = 60_000_000_000
"""Assembly reports whenever it has read the journal to its end, every few seconds."""
SOON_DAYS, VERY_SOON_DAYS = 30, 7
"""Certificates that expire within so many days."""
_NOTIFIABLE = {"target": AlarmName.DELIVERY_DESTINATION_CHANGED, "vpn": AlarmName.VPN_CHANGED}
"""What stands before the colon in the name of something that has to be notified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSeen:
    """One of the services that make recordings."""

    name: str
    pid: int
    """Process that does the job; 0: nobody does."""
    expected: bool
    """It should run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSeen:
    """A certificate that is in use."""

    purpose: str
    """What for, such as `mqtt client`."""
    days_left: float | None
    """None: it cannot be used."""
    problem: str = ""
    """Why not."""


def services(seen: Iterable[ServiceSeen]) -> list[Condition]:
    """What should run and does not."""
    return [
        Condition(key=AlarmKey(resource=f"service:{service.name}", name=AlarmName.SERVICE_DOWN))
        for service in seen
        if service.expected and not service.pid
    ]


def restarted(service: ServiceSeen, before: int) -> Condition | None:
    """Another process does the job than before."""
    if not before or not service.pid or service.pid == before:
        return None
    return Condition(key=AlarmKey(resource=f"service:{service.name}", name=AlarmName.SERVICE_RESTARTED))


def backlog(seen: Iterable[ServiceSeen], caught_up_ns: int, now_ns: int) -> list[Condition]:
    """Assembly runs, and has not read the journal to its end for too long."""
    runs = any(service.name == ASSEMBLE and service.pid for service in seen)
    if not runs or not caught_up_ns or now_ns - caught_up_ns <= BEHIND_NS:
        return []
    key = AlarmKey(resource=f"service:{ASSEMBLE}", name=AlarmName.JOURNAL_BACKLOG)
    return [Condition(key=key, facts={"behind_s": round((now_ns - caught_up_ns) / 1e9)})]


def sends(interface: str, frames: int) -> Condition:
    """A mirror port has sent frames."""
    key = AlarmKey(resource=f"span:{interface}", name=AlarmName.MIRROR_PORT_SENDS)
    return Condition(key=key, facts={"frames": frames})


def clock(synchronised: bool | None) -> list[Condition]:
    """Nobody disciplines it."""
    key = AlarmKey(resource="clock", name=AlarmName.CLOCK_UNSYNCHRONISED)
    return [Condition(key=key)] if synchronised is False else []


def stepped(step_ns: int) -> Condition:
    """It was set."""
    key = AlarmKey(resource="clock", name=AlarmName.CLOCK_STEPPED)
    return Condition(key=key, facts={"step_ms": round(step_ns / 1e6)})


def certificates(seen: Iterable[CertificateSeen]) -> list[Condition]:
    """What expires soon, or cannot be used."""
    found = []
    for certificate in seen:
        severity = _expiry(certificate.days_left)
        if severity is not None:
            key = AlarmKey(resource=f"certificate:{certificate.purpose}", name=AlarmName.CERTIFICATE_EXPIRY)
            days = certificate.days_left
            facts: dict[str, Fact] = {"problem": certificate.problem} if days is None else {"days": int(days // 1)}
            found.append(Condition(key=key, severity=severity, facts=facts))
    return found


def _expiry(days_left: float | None) -> Severity | None:
    if days_left is None or days_left < 0:
        return Severity.CRITICAL
    if days_left < VERY_SOON_DAYS:
        return Severity.MAJOR
    return Severity.WARNING if days_left < SOON_DAYS else None


def broker(failure: Failure | None, outbox: OutboxState, dropped_before: int) -> list[Condition]:
    """Why the NOC cannot be told, each reason by itself; and what that costs."""
    found = []
    if failure is not None:
        key = AlarmKey(resource="broker", name=AlarmName.BROKER_UNREACHABLE, qualifier=failure.reason)
        found.append(Condition(key=key, facts={"detail": failure.detail}))
    if outbox.dropped > dropped_before:
        key = AlarmKey(resource="broker", name=AlarmName.OUTBOX_FULL)
        found.append(Condition(key=key, facts={"dropped": outbox.dropped, "messages": outbox.messages}))
    if not outbox.is_saved:
        key = AlarmKey(resource="agent's file", name=AlarmName.VOLUME_MISSING)
        found.append(Condition(key=key))
    return found


def changed(noted: Mapping[str, str], now: Mapping[str, str]) -> list[Condition]:
    """What is another one than was noted last, and so has to be notified; an acknowledgement notes it.

    Names begin with `target:` or `vpn:`. What was never noted is no change.
    """
    return [
        Condition(key=AlarmKey(resource=name, name=_NOTIFIABLE[name.partition(":")[0]]))
        for name, value in now.items()
        if noted.get(name, value) != value
    ]
