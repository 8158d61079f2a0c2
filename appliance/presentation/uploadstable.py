"""`rokubox uploads` as tables and as JSON. Recordings are named by call id and part: no number is shown."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import msgspec
from rich.table import Table

from appliance.presentation import terminal
from appliance.presentation.terminal import printable
from storage.layout import ID_DIGITS
from storage.timestamps import local_time
from uploader.clock import Now
from uploader.queueview import QueueReader
from uploader.status import TargetStatus, UploadStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A delivery that waits, or was given up."""

    call_id: str
    part: int
    target: str
    state: str
    attempts: int
    next_in_s: float
    """Seconds until it is tried again; 0 when it is due, or given up."""
    taken_ns: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is shown."""

    status: UploadStatus
    deliveries: tuple[Listed, ...]


def report(status: UploadStatus, queue: QueueReader, now: Now, limit: int) -> Report:
    """Put together what is shown."""
    listed = (
        Listed(
            call_id=delivery.call_id,
            part=delivery.part,
            target=delivery.target,
            state=state,
            attempts=delivery.attempts,
            next_in_s=round(max(0.0, next_s - now.running_s), 1) if state == "waiting" else 0.0,
            taken_ns=delivery.taken_ns,
            error=delivery.error,
        )
        for delivery, state, next_s in queue.listed(limit)
    )
    return Report(status=status, deliveries=tuple(listed))


def print_json(shown: Report) -> None:
    """Print it as one JSON object."""
    print(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())


def show(shown: Report, zone: ZoneInfo) -> None:
    """Print it as tables."""
    console = terminal.output()
    targets = _table(
        "target 配送先", "waiting 待ち", "oldest 最古", "given up 断念", "delivered 配送済み", "last error 直近のエラー"
    )
    for one in shown.status.targets:
        targets.add_row(*map(printable, _target(one, zone)))
    console.print(targets)
    if not shown.deliveries:
        console.print("nothing waits / 待機中の配送はありません")
        return
    listed = _table(
        "recording 録音",
        "target 配送先",
        "state 状態",
        "attempts 試行",
        "since 受付",
        "next in 次回まで",
        "error エラー",
    )
    for item in shown.deliveries:
        listed.add_row(
            f"{item.call_id[:ID_DIGITS]} p{item.part:02d}",
            printable(item.target),
            {"waiting": "waiting 待ち", "given_up": "given up 断念"}.get(item.state, item.state),
            str(item.attempts),
            _at(item.taken_ns, zone),
            _duration(item.next_in_s) if item.state == "waiting" else "-",
            printable(item.error) or "-",
        )
    console.print()
    console.print(listed)


def _target(one: TargetStatus, zone: ZoneInfo) -> tuple[str, ...]:
    oldest = "-" if one.oldest_ns is None else _at(one.oldest_ns, zone)
    return (
        one.name,
        f"{one.waiting:,}",
        f"{oldest} OVERDUE 遅延" if one.overdue else oldest,
        f"{one.given_up:,}" if one.given_up else "-",
        f"{one.delivered:,}",
        f"{_at(one.error_ns, zone)} {one.error}" if one.error else "-",
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _at(instant_ns: int, zone: ZoneInfo) -> str:
    return local_time(instant_ns, zone).strftime("%m-%d %H:%M") if instant_ns else "-"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
