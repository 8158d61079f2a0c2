"""What retention would do, for people: a table by rule, what is spared, the clock, the disk. English and Japanese."""

from collections import defaultdict

from rich.console import Console
from rich.table import Table

from appliance.custody.retentionrun import Outlook
from storage.retention import clockguard
from storage.retention.clockguard import ClockState
from storage.retention.plan import Cause, Eviction, Spared

CAUSES = {
    Cause.CONTRACT_END: "contract ended 契約終了",
    Cause.EXPIRED: "kept long enough 保存期間満了",
    Cause.MAX_BYTES: "more than allowed 容量上限",
    Cause.ROOM: "room needed 空き容量確保",
}
SPARED = {
    Spared.HELD: "legal hold 法的保全",
    Spared.PENDING: "not delivered yet 未送信",
    Spared.OPEN: "call in progress 通話中",
    Spared.NEWEST: "the newest call 最新の通話",
    Spared.TOO_YOUNG: "younger than minimum_days 最低保存期間内",
    Spared.CLOCK: "clock not confirmed 時刻未確認",
}
_DAY_NS = 86_400 * 1_000_000_000


def show(console: Console, outlook: Outlook) -> None:
    """Print everything."""
    if outlook.plan.evictions:
        console.print(_table(outlook))
    else:
        console.print("nothing is to be erased / 消去対象はありません")
    for why, count in outlook.plan.spared.items():
        console.print(f"spared 対象外: {count:,} ({SPARED[why]})")
    if outlook.plan.short_bytes:
        console.print(f"room that cannot be made 不足容量: {outlook.plan.short_bytes:,} bytes")
    console.print(clock_line(outlook.clock))
    console.print(disk_line(outlook))


def clock_line(clock: ClockState) -> str:
    """The state of the clock in one line."""
    if clock.ahead_ns is not None:
        days = clock.ahead_ns / _DAY_NS
        return f"clock 時刻: disputed, {days:+.1f} days from what can be; look, then --confirm-clock / 要確認"
    if clockguard.is_confirmed(clock):
        return "clock 時刻: confirmed 確認済み"
    return "clock 時刻: not confirmed within 24 h; --confirm-clock if it is right / 未確認"


def disk_line(outlook: Outlook) -> str:
    """Room and forecast in one line."""
    days = outlook.forecast.days_until_full
    full = "not within ten years 10年以内には満杯になりません" if days is None else f"in {days:,} days 日後"
    return (
        f"disk ディスク: {outlook.calls:,} calls, {outlook.bytes:,} bytes; free 空き {outlook.room.free_bytes:,}; "
        f"growth 増加 {outlook.forecast.growth_bytes:,} a day; full 満杯: {full}"
    )


def _table(outlook: Outlook) -> Table:
    groups: defaultdict[tuple[Cause, str], list[Eviction]] = defaultdict(list)
    for eviction in outlook.plan.evictions:
        groups[eviction.cause, eviction.rule].append(eviction)
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    shown.add_column("rule 規則", overflow="fold")
    shown.add_column("why 理由", overflow="fold")
    for name in ("calls 件数", "bytes 容量"):
        shown.add_column(name, justify="right", no_wrap=True)
    for name in ("from 最古", "to 最新"):
        shown.add_column(name, no_wrap=True)
    for (cause, rule), evictions in groups.items():
        days = sorted(one.holding.day for one in evictions)
        size = sum(one.holding.bytes for one in evictions)
        shown.add_row(rule, CAUSES[cause], f"{len(evictions):,}", f"{size:,}", days[0], days[-1])
    return shown
