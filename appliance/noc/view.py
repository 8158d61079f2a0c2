"""What the NOC sees: the fleet, one line a box; one box with everything; the history of alarms. Pure but for rich."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from appliance.alarms.kind import Severity
from appliance.noc.fleet import Box, BoxState, Fleet
from appliance.presentation.alarmstable import STYLES
from appliance.presentation.terminal import printable
from appliance.telemetry.messages import AlarmMessage, Event, SelfTestResult
from appliance.telemetry.topics import BoxTopics

_STATES = {
    BoxState.OFFLINE: "bold white on red",
    BoxState.STALE: "bold black on yellow",
    BoxState.UNKNOWN: "magenta",
    BoxState.ONLINE: "green",
}
_SHOWN = (Severity.CRITICAL, Severity.MAJOR, Severity.MINOR, Severity.WARNING)
_GIB = 1 << 30
_FULL_PERCENT = 10.0
"""Less room than this is worth a colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which part of a list is shown."""

    rows: int
    """Lines there are for it."""
    selected: int = 0
    """The box that the cursor is on."""

    @property
    def first(self) -> int:
        """The first that is shown: the one selected is always among them."""
        return max(0, self.selected - self.rows + 1)


def overview(fleet: Fleet, boxes: Sequence[Box], now_ns: int, page: Page | None, note: str = "") -> RenderableType:
    """The fleet, one line a box. Without a page all of it."""
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name, right in (
        ("state", False), ("age", True), ("crit", True), ("major", True), ("minor", True), ("warn", True),
        ("calls", True), ("not whole", True), ("complete", True), ("disk free", True), ("full in", True),
        ("customer / site / serial", False),
    ):  # fmt: skip
        shown.add_column(name, justify="right" if right else "left", no_wrap=True)
    first = 0 if page is None else page.first
    last = len(boxes) if page is None else first + page.rows
    for place, box in enumerate(boxes[first:last], first):
        selected = page is not None and place == page.selected
        shown.add_row(*_row(box, now_ns), style="reverse" if selected else "")
    return Group(_headline(fleet, boxes, now_ns, note), shown)


def _headline(fleet: Fleet, boxes: Sequence[Box], now_ns: int, note: str) -> Text:
    states = [box.state(now_ns) for box in boxes]
    told = [f"{states.count(state):,} {state}" for state in BoxState if state in states]
    if fleet.malformed:
        told.append(f"{fleet.malformed:,} messages could not be read")
    if note:
        told.append(note)
    return Text(printable(f"{len(boxes):,} boxes: {', '.join(told) or 'none yet'}"), style="bold")


def _row(box: Box, now_ns: int) -> list[Text | str]:
    state, counts, health = box.state(now_ns), box.counts(), box.health
    cells: list[Text | str] = [Text(str(state), style=_STATES[state]), age_text(box.age_s(now_ns))]
    cells += [
        Text(str(counts[severity]) if counts[severity] else "-", style=STYLES[severity] if counts[severity] else "dim")
        for severity in _SHOWN
    ]
    name = Text(printable(f"{box.name.customer} / {box.name.site} / {box.name.serial}"))
    if health is None:
        return [*cells, "-", "-", "-", "-", "-", name]
    calls, disk = health.calls, health.disk
    total = calls.recorded + calls.partly + calls.not_recorded + calls.not_expected
    lost = calls.not_recorded + calls.partly
    complete = "-" if calls.completeness is None else f"{calls.completeness:.2f} %"
    return [
        *cells,
        f"{total:,}",
        Text(f"{lost:,}" if lost else "-", style="bold red" if calls.not_recorded else ""),
        complete,
        _room(disk.free_bytes, disk.total_bytes),
        "-" if disk.days_until_full is None else f"{disk.days_until_full} d",
        name,
    ]


def _room(free: int | None, total: int | None) -> Text | str:
    if free is None or not total:
        return "-"
    percent = 100 * free / total
    return Text(f"{free / _GIB:,.0f} GiB {percent:.0f} %", style="bold red" if percent < _FULL_PERCENT else "")


def age_text(seconds: float) -> str:
    """`12 s`, `3 min`, `5 h`, `9 d`; a dash for never."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return "-" if seconds == float("inf") else f"{seconds / 86_400:.0f} d"


def detail(box: Box, now_ns: int) -> RenderableType:
    """One box with everything that is known of it."""
    state = box.state(now_ns)
    head = Text(printable(f"{box.name.customer} / {box.name.site} / {box.name.serial}  "), style="bold")
    head.append(str(state), style=_STATES[state])
    parts: list[RenderableType] = [head, _facts(box, now_ns), Text()]
    parts.append(alarms_table([(None, one) for one in box.standing()]) if box.alarms else Text("no alarms / 警報なし"))
    parts += [Text(), Text("events", style="bold"), *(_event(one) for one in list(box.events)[-8:][::-1])]
    return Group(*parts)


def _facts(box: Box, now_ns: int) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for name, said in _said(box, now_ns):
        table.add_row(Text(name, style="dim"), printable(said))
    return table


def _said(box: Box, now_ns: int) -> Iterable[tuple[str, str]]:
    status, info, health = box.status, box.info, box.health
    if status is not None:
        yield "status", f"{status.state} ({status.reason}) {status.at[:19]}, health {age_text(box.age_s(now_ns))} old"
    if info is not None:
        yield "software", f"{info.software}; {info.operating_system}; {info.hardware}"
        yield "mirror ports", ", ".join(info.mirror_ports) or "-"
    if box.missed:
        yield "missed", f"{box.missed} changes of alarms never came"
    if health is None:
        return
    calls, disk = health.calls, health.disk
    going_on = "" if calls.in_progress is None else f"{calls.in_progress} in progress, "
    yield (
        "calls today",
        (
            f"{going_on}{calls.recorded} recorded, {calls.partly} partly, {calls.not_recorded} not recorded, "
            f"{calls.not_expected} not expected"
        ),
    )
    yield "completeness", f"{_percent(calls.completeness)}, recorder alone {_percent(calls.capture_completeness)}"
    yield "disk", f"{_room(disk.free_bytes, disk.total_bytes)} free, {disk.health}"
    yield (
        "services",
        ", ".join(
            f"{one.name} {'runs' if one.running else 'DOWN'} ({one.restarts} restarts)" for one in health.services
        ),
    )
    for port in health.ports:
        up = "?" if port.up is None else "up" if port.up else "DOWN"
        yield f"port {port.interface}", f"{up}, {_number(port.frames)} frames, {_number(port.dropped)} dropped"
    clock = {True: "synchronised", False: "NOT synchronised", None: "?"}[health.clock_synchronised]
    yield "clock", clock
    yield "outbox", f"{health.outbox.messages} waiting, {health.outbox.dropped} dropped"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} %"


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _event(event: Event | SelfTestResult) -> Text:
    if isinstance(event, SelfTestResult):
        return Text(printable(f"{event.at[:19]}  {event.test}: {event.outcome} {' or '.join(event.domains)}"))
    facts = ", ".join(f"{name} {fact}" for name, fact in event.facts.items())
    return Text(printable(f"{event.at[:19]}  {event.event} {facts}"))


def history(changes: Sequence[tuple[BoxTopics, AlarmMessage]], rows: int) -> RenderableType:
    """Changes of alarms, the newest first."""
    newest = list(changes)[-rows:][::-1]
    return Group(Text(f"{len(changes):,} changes of alarms", style="bold"), alarms_table(list(newest)))


def alarms_table(alarms: Sequence[tuple[BoxTopics | None, AlarmMessage]]) -> Table:
    """Alarms, one a line, with their box where it is given."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    named = any(name is not None for name, _ in alarms)
    for column in ("severity", "no.", "changed", *(["box"] if named else []), "alarm", "figures", "known"):
        table.add_column(column, no_wrap=column in ("severity", "no.", "changed"), overflow="fold")
    for name, alarm in alarms:
        qualifier = f" ({alarm.qualifier})" if alarm.qualifier else ""
        row: list[Text | str] = [
            Text(str(alarm.severity), style=STYLES[alarm.severity]),
            str(alarm.number),
            alarm.last_changed_at[:19],
        ]
        row += [printable(f"{name.site} {name.serial}")] if name is not None else []
        row += [
            printable(f"{alarm.title_ja} / {alarm.title_en}{qualifier}: {alarm.resource}"),
            printable(", ".join(f"{fact} {value}" for fact, value in alarm.facts.items())),
            printable(_known(alarm)),
        ]
        table.add_row(*row)
    return table


def _known(alarm: AlarmMessage) -> str:
    said = ["TEST"] if alarm.test else []
    said += [f"x{alarm.count}"] if alarm.count > 1 else []
    if alarm.acknowledged is not None:
        said.append(f"ack {alarm.acknowledged.by}")
    if alarm.shelved is not None:
        said.append(f"shelved until {alarm.shelved.until[:16]}")
    return ", ".join(said)
