"""Looks at what the daemons and the kernel say of the box; changes nothing, and asks nobody on the network."""

import re
import time
from pathlib import Path

from appliance import config
from appliance.agent import agentstatus, alarmbook
from appliance.agent.agentstatus import AgentStatus
from appliance.alarms.alarm import Alarm
from appliance.condition import observed
from appliance.config import Configuration
from appliance.diagnosis.probes import ipcommand
from appliance.errors import ConfigurationError, StateFileError
from appliance.firmware import updatestatus
from appliance.provisioning import outcome
from appliance.provisioning.outcome import Told
from appliance.statuspage.seen import BoxSeen, InterfaceSeen
from appliance.telemetry import statefile
from appliance.version import software

RUN = Path("/run/rokubox")
UNLABELLED = Path("/run/rokubox-unlabelled")
"""Is there while a USB medium is that is not labelled ROKUBOX (image/overlay/usr/lib/udev/rules.d)."""
SHIPPED = Path("/usr/share/rokubox/rokubox.toml")
_COMMAND_LINE = Path("/proc/cmdline")
_SLOT = re.compile(r"\brokubox\.slot=(\S+)")


def look(config_file: Path | None, archive: Path | None, run: Path = RUN) -> BoxSeen:
    """Look at everything now. The configuration is read each time: a medium may have brought another one."""
    configuration, problem = _configuration(config_file)
    root = archive or (Path(configuration.storage.archive) if configuration.storage.archive else None)
    names = tuple(span.interface for span in configuration.span if span.interface)
    site = configuration.site
    return BoxSeen(
        at_ns=time.time_ns(),
        zone=configuration.zone,
        customer=site.customer,
        site=site.site,
        serial=site.serial,
        software=software(),
        slot=_slot(),
        problem=problem,
        interfaces=interfaces(ipcommand.ask("address", "show"), names),
        mirror_ports=names,
        agent=None if root is None else observed.read(root / statefile.DIRECTORY, agentstatus.NAME, AgentStatus),
        alarms=() if root is None else _alarms(root),
        update=updatestatus.read(),
        medium=observed.read(run, outcome.NAME, Told),
        ignored=UNLABELLED.exists() and config_file is not None and _is_as_shipped(config_file),
    )


def interfaces(told: list[dict[str, object]], mirror_ports: tuple[str, ...]) -> tuple[InterfaceSeen, ...]:
    """What ip(8) tells, without loopback and mirror ports: those with an address, or all while none has one. Pure."""
    found = []
    for link in told:
        name, flags, addresses = str(link.get("ifname", "")), link.get("flags"), link.get("addr_info")
        if not isinstance(flags, list) or not isinstance(addresses, list) or "LOOPBACK" in flags:
            continue
        if name in mirror_ports or name.startswith("span"):
            continue
        own = tuple(
            f"{each['local']}/{each['prefixlen']}"
            for each in addresses
            if each.get("scope") == "global" and "local" in each and "prefixlen" in each
        )
        found.append(InterfaceSeen(name=name, up="LOWER_UP" in flags, addresses=own))
    return tuple(one for one in found if one.addresses) or tuple(found)


def _configuration(file: Path | None) -> tuple[Configuration, str]:
    if file is None:
        return Configuration(), ""
    try:
        return config.read(file), ""
    except ConfigurationError as error:
        return Configuration(), str(error).splitlines()[0]


def _is_as_shipped(file: Path) -> bool:
    try:
        return file.read_bytes() == SHIPPED.read_bytes()
    except OSError:
        return False


def _alarms(root: Path) -> tuple[Alarm, ...]:
    try:
        return tuple(alarmbook.standing(root / statefile.DIRECTORY))
    except StateFileError:
        return ()


def _slot() -> str:
    try:
        found = _SLOT.search(_COMMAND_LINE.read_text("ascii", "replace"))
    except OSError:
        return ""
    return found[1] if found else ""
