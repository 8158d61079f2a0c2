"""`rokubox inbox` as tables and as JSON. Names of files hold numbers and are not shown: quarantine tells them."""

from contextlib import suppress
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import msgspec
from rich.table import Table

from appliance.condition import observed
from appliance.presentation import terminal
from storage.archive import Archive
from storage.timestamps import local_time
from uploader import status
from uploader.inbox.intake import QUARANTINE
from uploader.queueview import DIRECTORY
from uploader.status import InboxStatus, UploadStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A file in quarantine."""

    file: str
    """What it is called there."""
    reason: str
    bytes: int
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is shown."""

    at_ns: int
    """When the uploader looked last; 0: it never did."""
    inbox: InboxStatus | None
    set_aside: tuple[SetAside, ...]


class _Said(msgspec.Struct):
    reason: str
    bytes: int
    at_ns: int


def report(archive: Archive) -> Report:
    """Put together what is shown."""
    seen = observed.read(archive.run, status.NAME, UploadStatus)
    found: list[SetAside] = []
    with suppress(FileNotFoundError):
        for path in sorted((archive.root / DIRECTORY / QUARANTINE).glob("*.json")):
            with suppress(OSError, msgspec.MsgspecError):
                said = msgspec.json.decode(path.read_bytes(), type=_Said)
                file = path.with_suffix(".file").name
                found.append(SetAside(file=file, reason=said.reason, bytes=said.bytes, at_ns=said.at_ns))
    return Report(at_ns=seen.at_ns if seen else 0, inbox=seen.inbox if seen else None, set_aside=tuple(found))


def print_json(shown: Report) -> None:
    """Print it as one JSON object."""
    print(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())


def show(shown: Report, zone: ZoneInfo) -> None:
    """Print it as tables."""
    console = terminal.output()
    if shown.inbox is None:
        console.print("rokubox-upload has not looked into the inbox yet / まだ受信処理が動いていません")
    else:
        console.print(_state(shown.inbox, zone))
    if shown.set_aside:
        table = _table("set aside 隔離", "reason 理由", "bytes", "at 日時")
        for one in shown.set_aside:
            table.add_row(one.file, one.reason, f"{one.bytes:,}", _at(one.at_ns, zone))
        console.print(table)


def _state(inbox: InboxStatus, zone: ZoneInfo) -> Table:
    table = _table("inbox 受信箱", "")
    table.add_row("receives 受信", "yes 可" if inbox.able else "NO 不可")
    table.add_row("waiting 処理待ち", f"{inbox.waiting:,}")
    table.add_row("set aside 隔離", f"{inbox.set_aside:,}")
    if inbox.trouble:
        table.add_row("trouble 障害", inbox.trouble)
    if inbox.countdown is not None:
        table.add_row("since 停止から", _at(inbox.countdown.since_ns, zone))
        left = f"{inbox.countdown.left_s / 86_400:.1f} days 日"
        table.add_row("carrier deletes 事業者側の削除", f"{_at(inbox.countdown.deletes_ns, zone)} ({left})")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _at(instant_ns: int, zone: ZoneInfo) -> str:
    return local_time(instant_ns, zone).strftime("%Y-%m-%d %H:%M")
