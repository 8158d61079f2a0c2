"""A verdict for people, in Japanese and English, and for programs."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from appliance.diagnosis import texts
from appliance.diagnosis.evidence import Evidence, State
from appliance.diagnosis.findings import Finding, Rung, Verdict
from appliance.presentation import amounts
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
    told = [amounts.check(check, Language.EN) for check in rung.checks[:_MAX_TARGETS]]
    return "; ".join(filter(None, [*told, f"+{more}" if more > 0 else ""]))


def _told(verdict: Verdict) -> Iterator[RenderableType]:
    if not verdict.findings:
        yield Text("異常は見つかりません / no fault was found", style="green" if not verdict.withheld else "yellow")
    for place, finding in enumerate(verdict.findings, 1):
        yield from _finding(place, finding)
    for withheld in verdict.withheld:
        yield Text(printable(amounts.withheld(withheld, Language.BOTH)), style="yellow")


def _finding(place: int, finding: Finding) -> Iterator[RenderableType]:
    whose = texts.domains(finding.domains, Language.BOTH)
    confidence = texts.CONFIDENCES[finding.confidence].told(Language.BOTH)
    yield Text(printable(f"{place}. {whose}  ({confidence})"), style="bold")
    yield Text(printable(f"   {texts.title(finding.row, Language.BOTH)}"))
    for fact in finding.evidence:
        yield Text(printable(f"   - {amounts.fact(fact, Language.BOTH)}"))
    yield Text(printable(f"   → {texts.action(finding.row, Language.JA)}"))
    yield Text(printable(f"   → {texts.action(finding.row, Language.EN)}"))


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
