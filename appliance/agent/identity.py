"""What the box is, from its configuration and the kernel."""

from appliance import clocks
from appliance.agent import machine
from appliance.agent.reports import Identity
from appliance.alarms.rules.calls import Place
from appliance.config import Configuration
from appliance.version import software
from capture.numbers import canonical


def of(configuration: Configuration) -> Identity:
    """The box as it is now."""
    now, site = clocks.read(), configuration.site
    return Identity(
        customer=site.customer,
        site=site.site,
        serial=site.serial,
        zone=configuration.zone,
        software=software(),
        operating_system=machine.operating_system(),
        kernel=machine.kernel(),
        hardware=machine.hardware(),
        boot_id=now.boot_id,
        started_ns=now.real_ns,
        config_digest=configuration.digest or "",
        mirror_ports=tuple(span.interface for span in configuration.span if span.interface),
        commands=tuple(configuration.mqtt.commands),
        interval_s=configuration.mqtt.health_interval_s,
    )


def places(configuration: Configuration) -> dict[str, Place]:
    """The contracted lines by their canonical numbers."""
    return {
        canonical(line.number): Place(table.id, number)
        for table in configuration.enterprise
        for number, line in enumerate(table.lines, 1)
    }
