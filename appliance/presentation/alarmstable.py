"""`rokubox alarms`: alarms as a table for people, as JSON lines for programs, and their explanations."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from rich.table import Table
from rich.text import Text

from appliance.agent.alarmbook import Change
from appliance.alarms.alarm import Alarm, AlarmState
from appliance.alarms.catalogue import catalogue
from appliance.alarms.kind import AlarmKind, AlarmName, Severity
from appliance.errors import ConfigurationError
from appliance.presentation import terminal
from appliance.presentation.terminal import printable
from storage.timestamps import local_time

STYLES: Final[Mapping[Severity, str]] = MappingProxyType(
    {
        Severity.CRITICAL: "bold white on red",
        Severity.MAJOR: "bold red",
        Severity.MINOR: "yellow",
        Severity.WARNING: "cyan",
        Severity.INDETERMINATE: "magenta",
        Severity.CLEARED: "green",
    }
)
"""Colours; the word stands there too, for whoever does not see them."""


def show(alarms: Sequence[Alarm], zone: ZoneInfo, *, as_json: bool) -> None:
    """Print them."""
    if as_json:
        for alarm in alarms:
            sys.stdout.buffer.write(msgspec.json.encode(alarm) + b"\n")
        return
    console = terminal.output()
    if alarms:
        console.print(table(alarms, zone))
    console.print(f"{len(alarms):,} alarm{'s' * (len(alarms) != 1)}")


def show_history(changes: Sequence[Change], zone: ZoneInfo, *, as_json: bool) -> None:
    """Print changes, with when the NOC was told."""
    if as_json:
        for change in changes:
            sys.stdout.buffer.write(msgspec.json.encode(change) + b"\n")
        return
    console = terminal.output()
    if changes:
        told = ["-" if one.told_ns is None else f"{local_time(one.told_ns, zone):%m-%d %H:%M:%S}" for one in changes]
        console.print(table([change.alarm for change in changes], zone, changed=True, told=told))
    console.print(f"{len(changes):,} change{'s' * (len(changes) != 1)}")


def table(
    alarms: Iterable[Alarm], zone: ZoneInfo, *, changed: bool = False, told: Sequence[str] | None = None
) -> Table:
    """Lay them out, one a row; `changed`: by when they changed, `told`: when the NOC was told of each."""
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    at = "changed" if changed else "since"
    for name in ("severity", "no.", at, *(() if told is None else ("NOC told",)), "alarm", "id", "figures", "known"):
        shown.add_column(name, no_wrap=name in ("severity", "no.", at, "NOC told"), overflow="fold")
    for place, alarm in enumerate(alarms):
        kind = catalogue()[alarm.key.name]
        severity = Severity.CLEARED if alarm.state is AlarmState.CLEARED else alarm.severity
        qualifier = f" ({alarm.key.qualifier})" if alarm.key.qualifier else ""
        shown.add_row(
            Text(str(severity), style=STYLES[severity]),
            str(kind.number),
            f"{local_time(alarm.last_changed_ns if changed else alarm.first_raised_ns, zone):%Y-%m-%d %H:%M:%S}",
            *(() if told is None else (told[place],)),
            printable(f"{kind.title.ja} / {kind.title.en}{qualifier}: {alarm.key.resource}"),
            alarm.key.id,
            printable(", ".join(f"{name} {fact}" for name, fact in alarm.facts.items())),
            printable(_known(alarm, zone)),
        )
    return shown


def _known(alarm: Alarm, zone: ZoneInfo) -> str:
    """What people have said of it, and how often it came."""
    said = ["TEST"] if alarm.test else []
    said += [f"x{alarm.count}"] if alarm.count > 1 else []
    if alarm.acknowledged is not None:
        said.append(f"ack {alarm.acknowledged.by} {alarm.acknowledged.comment}".strip())
    if alarm.shelved is not None:
        said.append(f"shelved until {local_time(alarm.shelved.until_ns, zone):%m-%d %H:%M}")
    return ", ".join(said)


def explain(named: str) -> None:
    """Print cause and remedy of the alarms of this number, type or id; of all without one.

    Raises:
        ConfigurationError: there is none.
    """
    chosen = {name: kind for name, kind in catalogue().items() if _is_meant(named, name, kind)}
    if not chosen:
        raise ConfigurationError(f"no alarm {named!r}; `rokubox alarms explain` lists all")
    console = terminal.output()
    for name, kind in chosen.items():
        console.print(Text(f"{kind.number} {name}: {kind.title.ja} / {kind.title.en}", style="bold"))
        for words, label in ((kind.cause, "原因 / cause"), (kind.remedy, "対処 / remedy")):
            console.print(f"  {label}\n    {words.ja}\n    {words.en}")


def _is_meant(named: str, name: AlarmName, kind: AlarmKind) -> bool:
    return named in ("", str(kind.number), name) or named.startswith(f"{name}-")
