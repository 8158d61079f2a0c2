"""What is known of the disk under an archive: gathered, for people and for programs."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from appliance.condition import disklook
from appliance.condition.seen import DiskSeen
from appliance.config import Configuration
from appliance.custody import retentionrun
from appliance.custody.retentionrun import Outlook
from appliance.presentation import retentiontable
from storage.archive import Archive
from storage.volume.smart import Verdict

HEALTH = {
    Verdict.GOOD: "good 正常",
    Verdict.WARNING: "warning 注意",
    Verdict.FAILING: "failing 故障の恐れ",
    Verdict.UNKNOWN: "unknown 不明",
}
_MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageReport:
    """The disk, and what is on it."""

    archive: str
    expected_uuid: str
    """As configured; empty when any file system will do."""
    disk: DiskSeen
    outlook: Outlook


def look(archive: Archive, configuration: Configuration) -> StorageReport:
    """Gather everything. Raises StorageError when there is no archive."""
    return StorageReport(
        archive=str(archive.root),
        expected_uuid=configuration.storage.volume_uuid,
        disk=disklook.look(archive),
        outlook=retentionrun.look(archive, configuration),
    )


def document(report: StorageReport) -> dict[str, Any]:
    """The report for programs."""
    outlook, disk = report.outlook, asdict(report.disk)
    del disk["at_ns"]
    return {
        "archive": report.archive,
        **disk,
        "expected_uuid": report.expected_uuid or None,
        "free_bytes": outlook.room.free_bytes,
        "free_inodes": outlook.room.free_inodes,
        "calls": outlook.calls,
        "recorded_bytes": outlook.bytes,
        "growth_bytes_a_day": outlook.forecast.growth_bytes,
        "days_until_full": outlook.forecast.days_until_full,
        "days_until_short": outlook.forecast.days_until_short,
    }


def table(report: StorageReport) -> Table:
    """The report for people."""
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    shown.add_column(no_wrap=True, style="bold")
    shown.add_column(overflow="fold")
    for row in (*_place(report), *_room(report), *_health(report)):
        shown.add_row(*row)
    return shown


def _place(report: StorageReport) -> list[tuple[str, str]]:
    found, expected = report.disk, report.expected_uuid
    uuid = found.uuid or "none なし"
    if expected:
        uuid += " (as configured 設定どおり)" if found.uuid.lower() == expected.lower() else f" - not {expected} 不一致"
    mounted = f"{found.file_system} at {found.mount_point}" + (" read-only 読み取り専用" if found.read_only else "")
    return [
        ("archive 保存先", report.archive),
        ("file system ファイルシステム", mounted),
        ("UUID", uuid),
        ("disk ディスク", " ".join(filter(None, (found.disk, found.model))) or "-"),
    ]


def _room(report: StorageReport) -> list[tuple[str, str]]:
    outlook = report.outlook
    days, inodes = outlook.forecast.days_until_full, outlook.room.free_inodes
    return [
        ("recordings 録音", f"{outlook.calls:,} calls 件, {outlook.bytes / _MB:,.1f} MB"),
        ("free 空き容量", f"{outlook.room.free_bytes / _MB:,.1f} MB"),
        ("free inodes 空き inode", "-" if inodes is None else f"{inodes:,}"),
        ("growth 増加量", f"{outlook.forecast.growth_bytes / _MB:,.1f} MB a day 日"),
        ("full in 満杯まで", "more than ten years 10年以上" if days is None else f"{days:,} days 日"),
        ("clock 時刻", retentiontable.clock_line(outlook.clock).partition(": ")[2]),
    ]


def _health(report: StorageReport) -> list[tuple[str, str]]:
    disk = report.disk
    figures = [
        ("temperature 温度", None if disk.temperature_c is None else f"{disk.temperature_c} °C"),
        ("at work 稼働時間", None if disk.power_on_h is None else f"{disk.power_on_h:,} h"),
        ("worn 消耗度", None if disk.worn_percent is None else f"{disk.worn_percent} %"),
    ]
    latency = "-"
    if disk.write_median_ms is not None:
        latency = f"{disk.write_median_ms:.1f} ms, longest 最大 {disk.write_longest_ms:.1f} ms"
    return [
        ("health 健康状態", "; ".join((HEALTH[disk.health], *disk.problems))),
        *((name, told) for name, told in figures if told is not None),
        ("write latency 書き込み遅延", latency),
    ]
