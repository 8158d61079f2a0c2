"""The report for a repair request (切分け結果報告): what was checked, what was found, and where on the path. Pure.

The customer confirms that their own side is sound before the carrier is asked; the report shows how that was done.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from appliance.diagnosis import figures, texts
from appliance.diagnosis.domains import BEYOND
from appliance.diagnosis.evidence import OWN_SIDE, Check, Evidence, Port, Role, State, Window
from appliance.diagnosis.findings import Fact, Finding, Rung, Verdict
from appliance.diagnosis.report.drawing import drawing
from appliance.diagnosis.report.page import heading, marked, number, page, table
from appliance.diagnosis.texts import Text
from appliance.presentation import amounts
from appliance.show.labels import Language
from appliance.show.svg import escaped

_WITHHELD: Final = Text("保留中の疑い（先に自社側を解決）", "Withheld until our own side is settled")
_UNSIGNED: Final = Text("署名なし（装置の鍵を読む権限がありません）", "Not signed: the device key could not be read.")
TITLE: Final = Text("切分け結果報告", "Result of fault isolation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Which box reports."""

    customer: str
    site: str
    serial: str
    zone: tzinfo
    """The site's time zone."""
    key_fingerprint: str
    """SHA-256 of the device's public key, hexadecimal; empty when the report is not signed."""


def report(
    box: Box, evidence: Evidence, verdict: Verdict, languages: tuple[Language, ...], *, is_redacted: bool
) -> str:
    """Return the report as an HTML page, a section for each language."""
    sections = ["\n".join(_section(box, evidence, verdict, each, is_redacted=is_redacted)) for each in languages]
    return page(TITLE.told(languages[0]), languages[0].value, sections)


def _section(box: Box, evidence: Evidence, verdict: Verdict, language: Language, *, is_redacted: bool) -> Iterator[str]:
    yield f"<h1>{TITLE.told(language)}</h1>"
    yield table(_identity(box, verdict, language))
    yield _conclusion(verdict, language)
    yield drawing(verdict, language)
    yield f"<h2>{Text('指摘事項と根拠', 'Findings and evidence').told(language)}</h2>"
    for place, finding in enumerate(verdict.findings, 1):
        yield _finding(place, finding, box.zone, language)
    if not verdict.findings:
        yield f"<p>{Text('なし', 'none').told(language)}</p>"
    if verdict.withheld:
        yield f"<h2>{_WITHHELD.told(language)}</h2>"
        yield (
            "<ul>"
            + "".join(f"<li>{escaped(amounts.withheld(each, language))}</li>" for each in verdict.withheld)
            + "</ul>"
        )
    yield f"<h2>{Text('検査結果（下から順に）', 'Checks, bottom up').told(language)}</h2>"
    head = [Text("検査", "check"), Text("結果", "result"), Text("測定値", "measured"), Text("時刻", "time")]
    yield table((_rung(rung, box.zone, language) for rung in verdict.ladder), [each.told(language) for each in head])
    yield f"<h2>{Text('カウンター', 'Counters').told(language)}</h2>"
    yield counters(evidence.ports, box.zone, language)
    yield from foot(box, evidence.software, language, is_redacted=is_redacted)


def _identity(box: Box, verdict: Verdict, language: Language) -> Iterator[list[str]]:
    rows = (
        (Text("お客様", "customer"), box.customer or "-"),
        (Text("拠点", "site"), box.site or "-"),
        (Text("装置番号", "serial number"), box.serial or "-"),
        (Text("判定時刻", "time of the verdict"), at(verdict.at_ns, box.zone)),
        (Text("ソフトウェア", "software"), verdict.software),
    )
    return ([heading(name.told(language)), escaped(value)] for name, value in rows)


def _conclusion(verdict: Verdict, language: Language) -> str:
    if not verdict.findings:
        kind = "open" if verdict.withheld else "sound"
        told = Text("異常は見つかりませんでした。", "No fault was found.").told(language)
        return f'<div class="verdict {kind}"><div class="whose">{told}</div></div>'
    first = verdict.findings[0]
    lines = [
        f'<div class="whose">{escaped(texts.domains(first.domains, language))}'
        f" ({texts.CONFIDENCES[first.confidence].told(language)})</div>",
        f"<div>{escaped(texts.title(first.row, language))}</div>",
        f"<div>→ {escaped(texts.action(first.row, language))}</div>",
    ]
    if BEYOND & set(first.domains):
        lines.append(f'<div class="small">{_own_side(verdict, language)}</div>')
    return f'<div class="verdict">{"".join(lines)}</div>'


def _own_side(verdict: Verdict, language: Language) -> str:
    own = [rung for rung in verdict.ladder if rung.step in OWN_SIDE]
    sound = sum(rung.state is State.OK for rung in own)
    unseen = sum(rung.state is State.NOT_OBSERVABLE for rung in own)
    failing = len(own) - sound - unseen
    return Text(
        f"自社側の検査 {len(own)} 項目: 正常 {sound}、この装置では確認不可 {unseen}、異常 {failing}。",
        f"Checks of our own side: {len(own)}, sound {sound}, not observable on this box {unseen}, failing {failing}.",
    ).told(language)


def _finding(place: int, finding: Finding, zone: tzinfo, language: Language) -> str:
    whose = texts.domains(finding.domains, language)
    rows = [_fact(fact, zone, language) for fact in finding.evidence]
    head = [Text("根拠", "evidence"), Text("値", "value"), Text("測定点", "measured at"), Text("期間", "window")]
    return (
        f"<h3>{place}. {escaped(whose)}: {escaped(texts.title(finding.row, language))}"
        f" ({texts.CONFIDENCES[finding.confidence].told(language)})</h3>\n"
        + table(rows, [each.told(language) for each in head])
        + f"\n<p>→ {escaped(texts.action(finding.row, language))}</p>"
    )


def _fact(fact: Fact, zone: tzinfo, language: Language) -> list[str]:
    where = " ".join(filter(None, (texts.POINTS[fact.point].told(language), fact.subject)))
    return [
        escaped(figures.name(fact.name, language)),
        number(amounts.counted(fact.count, fact.of, fact.unit)),
        escaped(where),
        escaped(between(fact.window, zone)),
    ]


def _rung(rung: Rung, zone: tzinfo, language: Language) -> list[str]:
    return [
        heading(texts.STEPS[rung.step].told(language)),
        marked(rung.state.value, texts.STATES[rung.state].told(language)),
        "<br>".join(escaped(amounts.check(check, language)) for check in rung.checks),
        "<br>".join(escaped(_time(check, zone)) for check in rung.checks),
    ]


def _time(check: Check, zone: tzinfo) -> str:
    return at(check.window.end_ns, zone) if check.window.end_ns else ""


def counters(ports: tuple[Port, ...], zone: tzinfo, language: Language) -> str:
    """What the ports counted, a column each."""
    names: tuple[tuple[Text, Callable[[Port], str]], ...] = (
        (Text("用途", "role"), lambda port: _ROLES[port.role].told(language)),
        (Text("リンク", "link"), lambda port: _link(port, language)),
        (Text("受信フレーム", "frames received"), lambda port: _count(port.received)),
        (Text("送信フレーム（起動以来）", "frames sent (since it appeared)"), lambda port: _count(port.sent)),
        (Text("カーネルの取りこぼし", "dropped by the kernel"), lambda port: _count(port.kernel_drops)),
        (Text("NIC の取りこぼし", "dropped by the adapter"), lambda port: _count(port.nic_drops)),
        (Text("CRC エラー", "checksum errors"), lambda port: _count(port.crc_errors)),
        (Text("アライメントエラー", "alignment errors"), lambda port: _count(port.alignment_errors)),
        (Text("期間", "window"), lambda port: between(port.window, zone)),
    )
    head = ["", *(port.name for port in ports)]
    return table(
        ([heading(name.told(language)), *(escaped(told(port)) for port in ports)] for name, told in names), head
    )


_ROLES: Final = {
    Role.SPAN: Text("ミラーポート", "mirror port"),
    Role.MANAGEMENT: Text("管理ポート", "management port"),
}


def _link(port: Port, language: Language) -> str:
    if port.link_up is None:
        return "-"
    if not port.link_up:
        return Text("断", "down").told(language)
    duplex = {True: Text("全二重", "full duplex"), False: Text("半二重", "half duplex")}
    words = [
        f"{port.speed_mbps} Mbit/s" if port.speed_mbps else "",
        "" if port.full_duplex is None else duplex[port.full_duplex].told(language),
    ]
    return " ".join(filter(None, words)) or Text("接続", "up").told(language)


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def foot(box: Box, software: str, language: Language, *, is_redacted: bool) -> Iterator[str]:
    """Who made it, what is left out, and how its signature is verified."""
    yield f"<h2>{Text('作成と署名', 'Origin and signature').told(language)}</h2>"
    left_out = Text(
        "通信事業者の設備情報（アドレス等）は伏せています。電話番号・通話内容は含みません。",
        "The carrier's equipment is named by numbers only. There are no callers' numbers and no speech in it.",
    )
    whole = Text(
        "通信事業者の設備情報を含みます。取扱いに注意してください。電話番号・通話内容は含みません。",
        "It names the carrier's equipment: confidential. There are no callers' numbers and no speech in it.",
    )
    yield f'<p class="small">{(left_out if is_redacted else whole).told(language)} {escaped(software)}</p>'
    if not box.key_fingerprint:
        yield f'<p class="small">{_UNSIGNED.told(language)}</p>'
        return
    name = Text("装置の公開鍵の SHA-256", "SHA-256 of the device's public key").told(language)
    yield f'<p class="small">{name}: <code>{box.key_fingerprint}</code></p>'
    command = "openssl pkeyutl -verify -pubin -inkey device-key.pem -rawin -in REPORT.html -sigfile REPORT.html.sig"
    yield f'<p class="small">{Text("検証", "Verify").told(language)}: <code>{command}</code></p>'


def at(ns: int, zone: tzinfo) -> str:
    """A time with its offset, to the second."""
    return datetime.fromtimestamp(ns // 1_000_000_000, zone).isoformat(" ") if ns else "-"


def between(window: Window, zone: tzinfo) -> str:
    """A window: its end, and how long it is."""
    if not window.end_ns:
        return "-"
    length = f" ({window.length_s:,.0f} s)" if window.length_s >= 1 else ""
    return f"{at(window.end_ns, zone)}{length}"
