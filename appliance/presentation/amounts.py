"""Numbers of evidence, and what they stand in, as short lines of text. Pure."""

from appliance.diagnosis import figures, texts
from appliance.diagnosis.evidence import Check, Figure
from appliance.diagnosis.findings import Fact, Withheld
from appliance.show.labels import Language


def number(value: float, unit: str) -> str:
    """A number with its unit."""
    if unit == "bytes" and value >= 10_000:
        return f"{value / 1e9:,.1f} GB" if value >= 1e9 else f"{value / 1e6:,.1f} MB"
    shown = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
    return f"{shown} {unit}".rstrip()


def counted(count: float, of: float | None, unit: str) -> str:
    """A count, of how many, and the share: `150 / 3,000 (5.0 %)`."""
    whole = "" if of is None else f" / {number(of, unit)}"
    share = f" ({100 * count / of:.1f} %)" if of and not unit and of > 1 else ""
    return f"{number(count, unit)}{whole}{share}"


def figure(one: Figure, language: Language) -> str:
    """A figure with its name."""
    of = "" if one.of is None else f" / {number(one.of, one.unit)}"
    return f"{figures.name(one.name, language)} {number(one.value, one.unit)}{of}"


def check(one: Check, language: Language) -> str:
    """What one check said: target, cause, figures."""
    cause = texts.CAUSES[one.cause].told(language) if one.cause else ""
    return " ".join(filter(None, (one.target, cause, ", ".join(figure(each, language) for each in one.figures))))


def fact(one: Fact, language: Language) -> str:
    """A fact with its count, measurement point and window."""
    where = " ".join(filter(None, (texts.POINTS[one.point].told(language), one.subject)))
    window = f", {one.window.length_s:,.0f} s" if one.window.length_s >= 1 else ""
    return f"{figures.name(one.name, language)}: {counted(one.count, one.of, one.unit)} [{where}{window}]"


def withheld(one: Withheld, language: Language) -> str:
    """What is not said, and why."""
    whose = texts.domains(one.finding.domains, language)
    steps = [texts.STEPS[step].told(language) for step in one.steps]
    rows = [texts.title(row, language) for row in one.rows]
    said = texts.Text("保留中の疑い", "withheld").told(language)
    first = texts.Text("先に解決", "first").told(language)
    title = texts.title(one.finding.row, language)
    return f"{said}: {title} [{whose}] ← {first}: {', '.join((*steps, *rows))}"
