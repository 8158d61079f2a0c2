"""The path of a call as a drawing (SVG), with where the fault lies. Pure.

telephone ── PBX ── switch ── VPN router ══ VPN ══ carrier
                      │ SPAN
                   appliance
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from appliance.diagnosis.domains import Domain
from appliance.diagnosis.evidence import State, Step
from appliance.diagnosis.findings import Verdict
from appliance.diagnosis.texts import Text
from appliance.show import svg
from appliance.show.labels import Language

WIDTH, HEIGHT = 960, 290
INK, FAINT = "#1f2933", "#66727f"
FAULT, SUSPECT, SOUND, UNKNOWN = "#c0392b", "#d9822b", "#2f855a", "#a0aec0"
_BOX_WIDTH, _BOX_HEIGHT, _TOP = 128, 58, 62


class _Box(NamedTuple):
    x: float
    y: float
    name: Text
    domain: Domain


_BOXES: Final = (
    _Box(16, _TOP, Text("電話機", "telephone"), Domain.LAN),
    _Box(200, _TOP, Text("PBX", "PBX"), Domain.LAN),
    _Box(384, _TOP, Text("スイッチ", "switch"), Domain.LAN),
    _Box(600, _TOP, Text("VPN ルーター", "VPN router"), Domain.VPN),
    _Box(816, _TOP, Text("通信事業者", "carrier"), Domain.CARRIER),
    _Box(384, 208, Text("録音装置", "appliance"), Domain.APPLIANCE),
)
_MIRROR_X = 384 + _BOX_WIDTH / 2
_STEPS: Final = {
    Domain.LAN: (Step.MANAGEMENT_LINK, Step.GATEWAY),
    Domain.VPN: (Step.VPN_NEXT_HOP, Step.CARRIER),
    Domain.CARRIER: (Step.CARRIER,),
    Domain.APPLIANCE: (Step.FILESYSTEM, Step.CLOCK, Step.CAPTURE, Step.PIPELINE, Step.DISK_WRITE),
    Domain.MIRROR: (Step.SPAN_LINK, Step.FRAMES, Step.BOTH_DIRECTIONS),
}
_LEGEND: Final = (
    (FAULT, Text("障害箇所", "fault")),
    (SUSPECT, Text("その他の指摘", "also found")),
    (SOUND, Text("正常", "sound")),
    (UNKNOWN, Text("未確認", "not observed")),
)


def drawing(verdict: Verdict, language: Language) -> str:
    """Draw the path."""
    title = Text("通話経路と障害箇所", "path of a call, and where the fault lies").told(language)
    return svg.document(WIDTH, HEIGHT, title, _body(verdict, language))


def colour(verdict: Verdict, domain: Domain) -> str:
    """What a domain is drawn in: fault when the first finding names it, then suspect, then what its checks say."""
    if domain in verdict.domains:
        return FAULT
    if domain in verdict.named:
        return SUSPECT
    states = [rung.state for rung in verdict.ladder if rung.step in _STEPS[domain]]
    if State.OK in states and State.NG not in states and State.UNKNOWN not in states:
        return SOUND
    return UNKNOWN


def _body(verdict: Verdict, language: Language) -> Iterator[str]:
    middle = _TOP + _BOX_HEIGHT / 2
    ends = [box.x for box in _BOXES[:5]]
    for left, right in pairwise(ends):
        stroke = colour(verdict, Domain.VPN) if left >= 600 else INK
        yield svg.line(left + _BOX_WIDTH, middle, right, middle, stroke=stroke, stroke_width=3)
    mirror = colour(verdict, Domain.MIRROR)
    yield svg.line(_MIRROR_X, _TOP + _BOX_HEIGHT, _MIRROR_X, 208, stroke=mirror, stroke_width=4, stroke_dasharray="8 4")
    told = Text("ミラー (SPAN)", "mirror (SPAN)").told(language)
    yield svg.text(_MIRROR_X + 12, 168, told, fill=mirror, font_weight="bold")
    border = 560
    yield svg.line(border, 18, border, 140, stroke=FAINT, stroke_dasharray="3 5")
    ours = Text("お客様設備 ←", "customer's side ←").told(language)
    theirs = Text("→ 責任分界点の先", "→ beyond the demarcation").told(language)
    yield svg.text(border - 8, 30, ours, fill=FAINT, text_anchor="end")
    yield svg.text(border + 8, 30, theirs, fill=FAINT)
    for box in _BOXES:
        yield from _box(box, verdict, language)
    endpoint = Domain.ENDPOINT in verdict.named
    if endpoint:
        shown = FAULT if Domain.ENDPOINT in verdict.domains else SUSPECT
        for x in (16, 816):
            yield svg.text(x + _BOX_WIDTH / 2, _TOP + _BOX_HEIGHT + 20, "?", fill=shown, text_anchor="middle")
    yield from _legend(language)


def _box(box: _Box, verdict: Verdict, language: Language) -> Iterator[str]:
    edge = colour(verdict, box.domain)
    broken = edge == FAULT
    yield svg.rectangle(
        box.x,
        box.y,
        _BOX_WIDTH,
        _BOX_HEIGHT,
        rx=6,
        fill="#fdecea" if broken else "#ffffff",
        stroke=edge,
        stroke_width=4 if broken else 2,
    )
    middle = box.x + _BOX_WIDTH / 2
    yield svg.text(middle, box.y + 35, box.name.told(language), fill=INK, text_anchor="middle", font_weight="bold")
    if broken:
        yield svg.text(middle, box.y - 8, "✕", fill=FAULT, text_anchor="middle", font_size=22)


def _legend(language: Language) -> Iterator[str]:
    for place, (shown, name) in enumerate(_LEGEND):
        x = 560 + 100 * place
        yield svg.rectangle(x, 250, 14, 14, fill=shown)
        yield svg.text(x + 20, 262, name.told(language), fill=INK, font_size=12)
