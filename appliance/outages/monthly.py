"""The monthly operations report: availability, faults, ports in use, traffic, works; HTML, and CSV beside it. Pure."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.diagnosis import texts
from appliance.diagnosis.report.page import heading, marked, number, page, table
from appliance.diagnosis.report.repair import Box, at
from appliance.diagnosis.texts import Text
from appliance.outages import planned
from appliance.outages.levels import Judged, ServiceLevels, Sum
from appliance.outages.outage import Service
from appliance.presentation.spreadsheet import cell
from appliance.show.labels import Language, label
from appliance.show.svg import escaped
from storage.index.totals import Total

TITLE: Final = Text("月次運用報告書", "Monthly operations report")
SERVICES: Final = {
    Service.RECORDING: Text("通話録音", "recording"),
    Service.TELEPHONY: Text("電話", "telephony"),
}
_YES: Final = {
    True: ("ok", Text("達成", "met")),
    False: ("ng", Text("未達", "not met")),
    None: ("unknown", Text("未確定", "open")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Something that was done to the box: a ledger entry."""

    at: str
    """RFC 3339, as the ledger has it."""
    kind: str
    who: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Everything that the report tells of a month."""

    month: str
    """`2026-01`."""
    sums: tuple[Sum, ...]
    outages: tuple[Judged, ...]
    days: tuple[Total, ...]
    """Traffic by day."""
    outcomes: tuple[Total, ...]
    """Traffic by outcome."""
    works: tuple[Work, ...]
    software: str


def report(box: Box, found: Operations, levels: ServiceLevels, languages: Sequence[Language]) -> str:
    """The report as an HTML page, a section for each language."""
    sections = ["\n".join(_section(box, found, levels, language)) for language in languages]
    return page(f"{TITLE.told(languages[0])} {found.month}", languages[0].value, sections)


def _section(box: Box, found: Operations, levels: ServiceLevels, language: Language) -> Iterator[str]:
    yield f"<h1>{TITLE.told(language)} {found.month}</h1>"
    names = (Text("お客様", "customer"), Text("拠点", "site"), Text("装置番号", "serial number"))
    values = (box.customer or "-", box.site or "-", box.serial or "-")
    yield table([heading(name.told(language)), escaped(value)] for name, value in zip(names, values, strict=True))
    yield f"<h2>{Text('稼働率', 'Availability').told(language)}</h2>"
    head = (
        Text("サービス", "service"),
        Text("停止時間", "out"),
        Text("稼働率", "availability"),
        Text("目標", "target"),
    )
    yield table((_sum(each, levels, language) for each in found.sums), [each.told(language) for each in head])
    yield f"<h2>{Text('障害', 'Outages').told(language)}</h2>"
    yield _outages(box, found.outages, levels, language)
    yield f"<h2>{Text('トラフィック', 'Traffic').told(language)}</h2>"
    yield from _traffic(found, language)
    yield f"<h2>{Text('実施作業', 'Works done').told(language)}</h2>"
    head = (Text("日時", "time"), Text("種別", "kind"), Text("実施者", "by"), Text("理由", "why"))
    works = ([escaped(each.at), escaped(each.kind), escaped(each.who), escaped(each.why)] for each in found.works)
    yield table(works, [each.told(language) for each in head])
    yield f'<p class="small">{escaped(found.software)}</p>'


def _sum(found: Sum, levels: ServiceLevels, language: Language) -> list[str]:
    met = found.availability_percent >= levels.availability_percent
    kind, word = _YES[met]
    return [
        heading(SERVICES[found.service].told(language)),
        number(_length(found.out_s)),
        number(f"{found.availability_percent:.3f} %"),
        marked(kind, f"{levels.availability_percent} % {word.told(language)}"),
    ]


def _outages(box: Box, outages: Iterable[Judged], levels: ServiceLevels, language: Language) -> str:
    head = (
        Text("サービス", "service"),
        Text("内容", "what"),
        Text("原因", "whose"),
        Text("発生", "began"),
        Text("検知", "detected"),
        Text("通知", "notified"),
        Text("事業者への申告", "reported"),
        Text("復旧", "over"),
        Text(f"復旧時間（{levels.repair_h:g} h）", f"repaired ({levels.repair_h:g} h)"),
        Text(f"通知時間（{levels.notification_min:g} 分）", f"told ({levels.notification_min:g} min)"),
        Text("返還条件", "refunds"),
    )
    return table((_outage(box, each, language) for each in outages), [each.told(language) for each in head])


def _outage(box: Box, judged: Judged, language: Language) -> list[str]:
    outage = judged.outage
    times = (outage.began_ns, outage.detected_ns, outage.notified_ns, outage.reported_ns, outage.ended_ns)
    what = ", ".join(planned.title(row, language) for row in outage.rows)
    kinds = [_YES[each] for each in (judged.repair_ok, judged.notification_ok)]
    lasted = "" if judged.lasted_s is None else f"{_length(judged.lasted_s)} "
    return [
        escaped(SERVICES[outage.service].told(language)),
        escaped(what),
        escaped(texts.domains(outage.domains, language)),
        *(escaped(at(each or 0, box.zone)) for each in times),
        marked(kinds[0][0], lasted + kinds[0][1].told(language)),
        marked(kinds[1][0], kinds[1][1].told(language)),
        escaped(", ".join(f"{terms} ×{blocks}" for terms, blocks in judged.refunds) or "-"),
    ]


def _traffic(found: Operations, language: Language) -> Iterator[str]:
    head = (Text("結果", "outcome"), Text("通話数", "calls"), Text("通話時間", "time"))
    rows = (
        [
            heading("-" if each.outcome is None else label(each.outcome, language)),
            number(f"{each.calls:,}"),
            number(_length(each.length_ms / 1000)),
        ]
        for each in found.outcomes
    )
    yield table(rows, [each.told(language) for each in head])
    head_of_days = (
        *(Text("日", "day"), Text("通話数", "calls"), Text("着信", "in"), Text("発信", "out")),
        *(Text("通話時間", "time"), Text("同時最大（使用回線数）", "most at a time (ports in use)")),
    )
    days = (_day_row(each) for each in found.days)
    yield table(days, [each.told(language) for each in head_of_days])


def _day_row(day: Total) -> list[str]:
    counts = [number(f"{value:,}") for value in (day.calls, day.incoming, day.outgoing)]
    return [heading(_day(day.period)), *counts, number(_length(day.length_ms / 1000)), number(f"{day.peak:,}")]


def outages_csv(outages: Iterable[Judged], box: Box) -> str:
    """The outages for spreadsheets."""
    names = ("id", "service", "rows", "domains", "began", "detected", "notified", "reported", "ended")
    head = [*names, "lasted_s", "repair_ok", "notification_ok", "refunds"]
    return _csv([head, *(_csv_row(judged, box) for judged in outages)])


def _csv_row(judged: Judged, box: Box) -> list[object]:
    outage = judged.outage
    times = (outage.began_ns, outage.detected_ns, outage.notified_ns, outage.reported_ns, outage.ended_ns)
    return [
        *(outage.id, outage.service.value, " ".join(outage.rows), " or ".join(outage.domains)),
        *("" if each is None else at(each, box.zone) for each in times),
        *(judged.lasted_s, judged.repair_ok, judged.notification_ok),
        " ".join(f"{terms}:{blocks}" for terms, blocks in judged.refunds),
    ]


def traffic_csv(days: Iterable[Total]) -> str:
    """The traffic of each day for spreadsheets."""
    rows: list[list[object]] = [["day", "calls", "incoming", "outgoing", "seconds", "peak"]]
    rows += [[_day(d.period), d.calls, d.incoming, d.outgoing, d.length_ms / 1000, d.peak] for d in days]
    return _csv(rows)


def _csv(rows: Iterable[Iterable[object]]) -> str:
    told = _Written()
    csv.writer(told).writerows([cell(each) for each in row] for row in rows)
    return "\ufeff" + "".join(told.lines)  # or Excel takes it for Shift_JIS


class _Written:
    """What `csv` writes to."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.lines.append(line)


def _day(period: int) -> str:
    return f"{period // 10_000:04}-{period // 100 % 100:02}-{period % 100:02}"


def _length(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
