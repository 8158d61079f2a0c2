"""What is known of the disk under an archive: gathered, for people and for programs."""

from dataclasses import dataclass
from typing import Any

from rich.table import Table

from appliance.config import Configuration
from appliance.custody import retentionrun
from appliance.custody.retentionrun import Outlook
from appliance.presentation import retentiontable
from storage.archive import Archive
from storage.volume import latency, volume
from storage.volume.latency import Latency
from storage.volume.smart import Health, Verdict
from storage.volume.volume import Volume

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
    volume: Volume
    expected_uuid: str
    """As configured; empty when any file system will do."""
    health: Health
    latency: Latency | None
    """None when nothing may be written there."""
    outlook: Outlook


def look(archive: Archive, configuration: Configuration) -> StorageReport:
    """Gather everything. Raises StorageError when there is no archive."""
    found = volume.describe(archive.root)
    return StorageReport(
        archive=str(archive.root),
        volume=found,
        expected_uuid=configuration.storage.volume_uuid,
        health=volume.health(found),
        latency=latency.measured(archive.spool),
        outlook=retentionrun.look(archive, configuration),
    )


def document(report: StorageReport) -> dict[str, Any]:
    """The report for programs."""
    outlook, health = report.outlook, report.health
    return {
        "archive": report.archive,
        "mount_point": report.volume.mount.point,
        "file_system": report.volume.mount.kind,
        "read_only": report.volume.mount.read_only,
        "uuid": report.volume.uuid,
        "expected_uuid": report.expected_uuid or None,
        "disk": report.volume.disk,
        "free_bytes": outlook.room.free_bytes,
        "free_inodes": outlook.room.free_inodes,
        "calls": outlook.calls,
        "recorded_bytes": outlook.bytes,
        "growth_bytes_a_day": outlook.forecast.growth_bytes,
        "days_until_full": outlook.forecast.days_until_full,
        "health": health.verdict.value,
        "problems": list(health.problems),
        "model": health.model,
        "temperature_c": health.temperature_c,
        "power_on_h": health.power_on_h,
        "worn_percent": health.worn_percent,
        "write_median_ms": None if report.latency is None else report.latency.median_ms,
        "write_longest_ms": None if report.latency is None else report.latency.longest_ms,
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
    found, expected = report.volume, report.expected_uuid
    uuid = found.uuid or "none なし"
    if expected:
        uuid += " (as configured 設定どおり)" if found.uuid.lower() == expected.lower() else f" - not {expected} 不一致"
    mounted = f"{found.mount.kind} at {found.mount.point}" + (
        " read-only 読み取り専用" if found.mount.read_only else ""
    )
    return [
        ("archive 保存先", report.archive),
        ("file system ファイルシステム", mounted),
        ("UUID", uuid),
        ("disk ディスク", " ".join(filter(None, (found.disk, report.health.model))) or "-"),
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
    health, measured = report.health, report.latency
    figures = [
        ("temperature 温度", None if health.temperature_c is None else f"{health.temperature_c} °C"),
        ("at work 稼働時間", None if health.power_on_h is None else f"{health.power_on_h:,} h"),
        ("worn 消耗度", None if health.worn_percent is None else f"{health.worn_percent} %"),
    ]
    latency_told = f"{measured.median_ms:.1f} ms, longest 最大 {measured.longest_ms:.1f} ms" if measured else "-"
    return [
        ("health 健康状態", "; ".join((HEALTH[health.verdict], *health.problems))),
        *((name, told) for name, told in figures if told is not None),
        ("write latency 書き込み遅延", latency_told),
    ]
