"""A verdict for people, in Japanese and English, and for programs."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from appliance.diagnosis import figures, texts
from appliance.diagnosis.evidence import Check, Evidence, Figure, State
from appliance.diagnosis.findings import Fact, Finding, Rung, Verdict, Withheld
from appliance.presentation.terminal import printable
from appliance.show.labels import Language

_STYLES = {State.OK: "green", State.NG: "bold red", State.UNKNOWN: "yellow", State.NOT_OBSERVABLE: "dim"}
_MAX_TARGETS = 4


def table(verdict: Verdict, zone: Any) -> RenderableType:
    """The ladder, the findings, and what is withheld."""
    return Group(_ladder(verdict), Text(), *_told(verdict), Text(_foot(verdict, zone), style="dim"))


def _ladder(verdict: Verdict) -> Table:
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    shown.add_column(no_wrap=True)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for rung in verdict.ladder:
        state = Text(texts.STATES[rung.state].told(Language.BOTH), style=_STYLES[rung.state])
        if rung.state is State.OK:
            state = Text("OK", style=_STYLES[rung.state])
        elif rung.state is State.NG:
            state = Text("NG", style=_STYLES[rung.state])
        shown.add_row(texts.STEPS[rung.step].told(Language.BOTH), state, Text(printable(_measured(rung))))
    return shown


def _measured(rung: Rung) -> str:
    more = len(rung.checks) - _MAX_TARGETS
    told = [check_line(check, Language.BOTH) for check in rung.checks[:_MAX_TARGETS]]
    return "; ".join(filter(None, [*told, f"+{more}" if more > 0 else ""]))


def check_line(check: Check, language: Language) -> str:
    """What one check said: target, cause, figures."""
    cause = texts.CAUSES[check.cause].told(language) if check.cause else ""
    return " ".join(filter(None, (check.target, cause, ", ".join(figure_text(each) for each in check.figures))))


def figure_text(figure: Figure) -> str:
    """A figure, as short as it can be: `3.1 ms`, `92.1 GB of 500 GB`."""
    name = figures.name(figure.name, Language.EN)
    return f"{name} {number(figure.value, figure.unit)}" + (
        "" if figure.of is None else f" of {number(figure.of, figure.unit)}"
    )


def number(value: float, unit: str) -> str:
    """A number with its unit."""
    if unit == "bytes" and value >= 10_000:
        return f"{value / 1e9:,.1f} GB" if value >= 1e9 else f"{value / 1e6:,.1f} MB"
    shown = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
    return f"{shown} {unit}".rstrip()


def _told(verdict: Verdict) -> Iterator[RenderableType]:
    if not verdict.findings:
        yield Text("異常は見つかりません / no fault was found", style="green" if not verdict.withheld else "yellow")
    for place, finding in enumerate(verdict.findings, 1):
        yield from _finding(place, finding)
    for withheld in verdict.withheld:
        yield Text(printable(withheld_line(withheld, Language.BOTH)), style="yellow")


def _finding(place: int, finding: Finding) -> Iterator[RenderableType]:
    whose = texts.domains(finding.domains, Language.BOTH)
    confidence = texts.CONFIDENCES[finding.confidence].told(Language.BOTH)
    yield Text(printable(f"{place}. {whose}  ({confidence})"), style="bold")
    yield Text(printable(f"   {texts.title(finding.row, Language.BOTH)}"))
    for fact in finding.evidence:
        yield Text(printable(f"   - {fact_line(fact, Language.BOTH)}"))
    yield Text(printable(f"   → {texts.action(finding.row, Language.JA)}"))
    yield Text(printable(f"   → {texts.action(finding.row, Language.EN)}"))


def fact_line(fact: Fact, language: Language) -> str:
    """A fact with its count, measurement point and window."""
    of = "" if fact.of is None else f" / {number(fact.of, fact.unit)}"
    share = f" ({100 * fact.count / fact.of:.1f} %)" if fact.of and not fact.unit and fact.of > 1 else ""
    where = texts.POINTS[fact.point].told(language)
    window = f", {fact.window.length_s:,.0f} s" if fact.window.length_s >= 1 else ""
    subject = f" {fact.subject}" if fact.subject else ""
    return f"{figures.name(fact.name, language)}: {number(fact.count, fact.unit)}{of}{share} [{where}{subject}{window}]"


def withheld_line(withheld: Withheld, language: Language) -> str:
    """What is not said, and why."""
    whose = texts.domains(withheld.finding.domains, language)
    steps = [texts.STEPS[step].told(language) for step in withheld.steps]
    rows = [texts.title(row, language) for row in withheld.rows]
    title = texts.title(withheld.finding.row, language)
    said = texts.Text("保留中の疑い", "withheld").told(language)
    first = texts.Text("先に解決", "first").told(language)
    return f"{said}: {title} [{whose}] ← {first}: {', '.join((*steps, *rows))}"


def _foot(verdict: Verdict, zone: Any) -> str:
    at = datetime.fromtimestamp(verdict.at_ns // 1_000_000_000, zone).isoformat()
    return f"{at}  {verdict.software}"


def document(verdict: Verdict, evidence: Evidence) -> dict[str, Any]:
    """The verdict for programs, with the evidence it rests on."""
    found: dict[str, Any] = msgspec.to_builtins(verdict)
    for finding in (*found["findings"], *(each["finding"] for each in found["withheld"])):
        row = finding["row"]
        finding["title"] = dict(zip(("ja", "en"), texts.ROWS[row].title, strict=True))
        finding["next_action"] = dict(zip(("ja", "en"), texts.ROWS[row].action, strict=True))
        finding["confidence"] = {1: "low", 2: "medium", 3: "high"}[finding["confidence"]]
    whose = [domain.value for domain in verdict.domains]
    ok = not verdict.findings and not verdict.withheld
    head = {"ok": ok, "domains": whose, "exit_code": verdict.exit_code}
    return {**head, **found, "evidence": msgspec.to_builtins(evidence)}
