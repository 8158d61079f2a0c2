"""The conformance pack: this equipment against the three aims that a carrier's terms judge it by. Pure.

1. It does not damage the carrier's network.  2. It does not disturb other users.  3. The point of demarcation is clear.
Each statement is shown by something measured on this box; what cannot be measured here is said to be so.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from appliance.diagnosis import texts
from appliance.diagnosis.evidence import Evidence, Port, Role, State, Step
from appliance.diagnosis.findings import Verdict
from appliance.diagnosis.report.drawing import drawing
from appliance.diagnosis.report.page import heading, marked, page, table
from appliance.diagnosis.report.repair import Box, at, counters, foot
from appliance.diagnosis.texts import Text
from appliance.presentation import amounts
from appliance.show.labels import Language
from appliance.show.svg import escaped

TITLE: Final = Text("技術的条件適合資料", "Conformance pack")
_AIMS: Final = (
    Text("1. 通信事業者の回線設備を損傷しない", "1. It does not damage the carrier's network"),
    Text("2. 他の利用者に迷惑を及ぼさない", "2. It does not disturb other users"),
    Text("3. 責任の分界が明確である", "3. The point of demarcation is clear"),
)


class Statement(NamedTuple):
    """Something that holds, and what shows it."""

    aim: int
    state: State
    what: Text
    shown: str


PROBES: Final = (
    (
        Text(
            "ゲートウェイ、VPN ルーター: ARP と ping 各 3 回以内",
            "gateway, VPN next hop: ARP and at most 3 echoes each",
        ),
        "15 s",
    ),
    (
        Text(
            "通信事業者: SIP OPTIONS 1 件（再送 3 回以内）と ping 8 回以内",
            "carrier: one SIP OPTIONS (3 repeats at most), 8 echoes at most",
        ),
        "60 s",
    ),
    (Text("DNS 1 問い合わせ", "DNS: one query"), "15 s"),
    (Text("NTP 1 問い合わせ", "NTP: one query"), "60 s"),
    (Text("MQTT ブローカー: TLS 接続 1 回", "broker: one TLS connection"), "15 s"),
)
"""All that the box ever sends to find a fault, and how often."""


def statements(evidence: Evidence, verdict: Verdict) -> tuple[Statement, ...]:
    """Return what holds of this box."""
    spans = [port for port in evidence.ports if port.role is Role.SPAN]
    states = {rung.step: rung.state for rung in verdict.ladder}
    errors = [port for port in evidence.ports if (port.crc_errors or 0) + (port.alignment_errors or 0)]
    return (
        Statement(0, _all(spans, lambda port: port.sent == 0), _SILENT, _sent(spans)),
        Statement(0, State.OK, _PASSIVE, ""),
        Statement(0, State.NG if errors else State.OK, _LINKS, ", ".join(port.name for port in errors)),
        Statement(1, State.OK, _RATES, ""),
        Statement(1, _all(spans, lambda port: port.sent == 0), _NO_PROBES, _sent(spans)),
        Statement(1, states[Step.CLOCK], _TIME, ""),
        Statement(2, _all(spans, lambda port: port.link_up), _SPAN, ", ".join(port.name for port in spans)),
        Statement(2, states[Step.MANAGEMENT_LINK], _MANAGEMENT, _names(evidence, Role.MANAGEMENT)),
        Statement(2, _self_checked(states), _ISOLATION, ""),
    )


_SILENT: Final = Text(
    "ミラーポートからは何も送信しない（送信フレーム数 0）",
    "nothing is ever sent out of the mirror port: frames sent, 0",
)
_PASSIVE: Final = Text(
    "通信事業者の回線には接続せず、お客様スイッチのミラーポートを受信のみで使用する",
    "it is not connected to the carrier's line; it listens at a mirror port of the customer's switch",
)
_LINKS: Final = Text("接続ポートに CRC・アライメントエラーがない", "no checksum or alignment errors on its ports")
_RATES: Final = Text(
    "診断の送信は管理ポートからのみ、下表の頻度以下", "probes leave by the management port only, no oftener than below"
)
_NO_PROBES: Final = Text("通話路に信号・音声を送出しない", "it sends neither signalling nor media into calls")
_TIME: Final = Text("時刻が同期している", "its clock is synchronised")
_SPAN: Final = Text(
    "分界: お客様スイッチのミラーポート（受信専用）", "demarcation: mirror port of the customer's switch, receive only"
)
_MANAGEMENT: Final = Text("分界: 管理ポート（お客様 LAN）", "demarcation: management port in the customer's LAN")
_ISOLATION: Final = Text(
    "自社側を先に検査し、結果を署名付きで報告できる",
    "it checks its own side first, and reports the result with a signature",
)


def pack(box: Box, evidence: Evidence, verdict: Verdict, languages: tuple[Language, ...], *, is_redacted: bool) -> str:
    """Return the pack as an HTML page, a section for each language."""
    sections = ["\n".join(_section(box, evidence, verdict, each, is_redacted=is_redacted)) for each in languages]
    return page(TITLE.told(languages[0]), languages[0].value, sections)


def _section(box: Box, evidence: Evidence, verdict: Verdict, language: Language, *, is_redacted: bool) -> Iterator[str]:
    yield f"<h1>{TITLE.told(language)}</h1>"
    names = (
        Text("お客様", "customer"),
        Text("拠点", "site"),
        Text("装置番号", "serial number"),
        Text("作成時刻", "made at"),
    )
    values = (box.customer or "-", box.site or "-", box.serial or "-", at(verdict.at_ns, box.zone))
    yield table([heading(name.told(language)), escaped(value)] for name, value in zip(names, values, strict=True))
    found = statements(evidence, verdict)
    for number, aim in enumerate(_AIMS):
        yield f"<h2>{aim.told(language)}</h2>"
        yield table(_row(each, language) for each in found if each.aim == number)
        if number == 1:
            head = [
                Text("送信するもの", "what is sent").told(language),
                Text("最短間隔", "at most every").told(language),
            ]
            yield table(([escaped(what.told(language)), every] for what, every in PROBES), head)
    yield drawing(verdict, language)
    yield counters(evidence.ports, box.zone, language)
    yield from foot(box, evidence.software, language, is_redacted=is_redacted)


def _row(statement: Statement, language: Language) -> list[str]:
    return [
        escaped(statement.what.told(language)),
        marked(statement.state.value, texts.STATES[statement.state].told(language)),
        escaped(statement.shown),
    ]


def _all(ports: list[Port], holds: Callable[[Port], bool | None]) -> State:
    if not ports:
        return State.UNKNOWN
    answers = [holds(port) for port in ports]
    return State.OK if all(answers) else State.NG if False in answers else State.UNKNOWN


def _sent(ports: list[Port]) -> str:
    return ", ".join(f"{port.name}: {amounts.counted(port.sent or 0, None, '')}" for port in ports)


def _names(evidence: Evidence, role: Role) -> str:
    return ", ".join(port.name for port in evidence.ports if port.role is role)


def _self_checked(states: dict[Step, State]) -> State:
    return State.OK if states[Step.PIPELINE] is State.OK else State.UNKNOWN
