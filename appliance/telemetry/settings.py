"""`[mqtt]`: where telemetry goes. Pure."""

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from appliance.tomltree import Check

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")


def _host_problem(host: str) -> str:
    return "" if not host or _HOST.fullmatch(host) or _address(host) else "neither a host name nor an address"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _prefix_problem(prefix: str) -> str:
    return "" if prefix and not set(prefix) & set("+#") and prefix.isprintable() else "no topic to publish on"


class Command(StrEnum):
    """What the NOC may ask a box, if the configuration lists it."""

    ACK = "ack"
    """Acknowledge an alarm."""
    SHELVE = "shelve"
    """Put an alarm on the shelf."""
    UNSHELVE = "unshelve"
    """Take it from there."""
    SELFTEST = "selftest"
    """Run the self-test and publish its result."""
    HEALTH = "health"
    """Publish `health` and `info` now."""
    ALARMS = "alarms"
    """Publish every alarm that stands once more."""
    UPDATE = "update"
    """Fetch an update from below one of `[update] sources`, and install it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """`[mqtt]`: the NOC's broker."""

    host: Annotated[str, Check(_host_problem)] = ""
    """Name or address of the broker; without one nothing is published."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 8883
    """Its port."""
    tls: bool = True
    """TLS with certificates. Without it the broker has to be on this machine."""
    ca_file: str = ""
    """PEM file with the authorities that may vouch for the broker; those of the system when empty."""
    certificate_file: str = ""
    """PEM file with this box's certificate, and what is between it and the authority."""
    key_file: str = ""
    """PEM file with its key."""
    health_interval_s: Annotated[int, Meta(ge=10, le=3600)] = 60
    """How often `health` is published."""
    keepalive_s: Annotated[int, Meta(ge=10, le=600)] = 30
    """How soon the broker notices that the box is gone: within one and a half times as long."""
    outbox_max_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 40)] = 256 << 20
    """What waits for a broker that is away takes no more room than this."""
    call_summaries: bool = True
    """A message for each call."""
    numbers: bool = False
    """Call summaries name the parties."""
    commands: tuple[Command, ...] = ()
    """What the NOC may ask of the box; nothing when empty."""
    home_assistant: bool = False
    """Announce the box to Home Assistant (MQTT discovery)."""
    home_assistant_prefix: Annotated[str, Meta(max_length=64), Check(_prefix_problem)] = "homeassistant"
    """Where Home Assistant looks for announcements."""


def problems(settings: MqttSettings, names: dict[str, str]) -> list[str]:
    """What does not go together; `names` are those of `[site]` that stand in topics."""
    if not settings.host:
        return []
    found = [f"site.{name}: is needed for [mqtt]; it stands in every topic" for name, text in names.items() if not text]
    if not settings.tls and not is_loopback(settings.host):
        found.append("mqtt.tls: without TLS the broker has to be on this machine (127.0.0.1, ::1 or localhost)")
    if settings.tls and bool(settings.certificate_file) != bool(settings.key_file):
        found.append("mqtt: certificate_file and key_file go together")
    return found


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address alone."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback
