"""Which calls are recorded: contracted lines, and the rules for dialled numbers.

A call is wanted when one of its parties is a contracted line that is switched on. For a call that such a line makes,
the dialled number decides: `184` and `186` (caller-ID control) and `1311` (split billing) are prefixes, and what
follows them counts; `1416` (voicemail playback) is recorded, other numbers in `1` are not; numbers in `00` are not,
save those allowed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from capture.numbers import canonical

_CONTROL_PREFIXES = ("1311", "184", "186")
_VOICEMAIL = "1416"


class RuleReason(StrEnum):
    """Why a call is not wanted."""

    NONE = ""
    LINE_UNKNOWN = "rule_line_unknown"
    LINE_OFF = "rule_line_off"
    PREFIX_1 = "rule_prefix_1"
    PREFIX_00 = "rule_prefix_00"


class CallDirection(StrEnum):
    """Direction seen from the contracted line."""

    IN = "in"
    OUT = "out"
    INTERNAL = "int"
    UNKNOWN = "unk"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRule:
    """One contracted line."""

    number: str
    """Its number, in any notation."""
    record: bool = True
    """Recording is switched on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enterprise:
    """The lines under one enterprise ID."""

    id: str
    """Enterprise ID."""
    lines: tuple[LineRule, ...]
    """Contracted lines."""
    allow_00: tuple[str, ...] = ()
    """Beginnings of dialled numbers that are recorded although they begin with `00`."""
    unsignalled: bool = False
    """Media that no signalling announces is recorded too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether a call is wanted, and by which rule."""

    wanted: bool
    """The call is to be recorded."""
    reason: RuleReason
    """Why not; empty when wanted."""
    rule: str
    """The rule that decided, for people; names no number that was dialled."""
    enterprise: str = ""
    """Enterprise ID of `line`."""
    line: str = ""
    """Contracted line the decision is about, as configured; "" without one."""
    direction: CallDirection = CallDirection.UNKNOWN
    """Direction seen from that line."""


@dataclass(frozen=True, slots=True)
class _Match:
    enterprise: Enterprise
    line: LineRule


def decide(
    enterprises: Sequence[Enterprise],
    *,
    caller: str,
    asserted: Sequence[str] = (),
    callee: str,
    dialled: str,
    diversion: Sequence[str] = (),
) -> Decision:
    """The decision for one call; without enterprises everything is wanted.

    `caller` and `callee` are the numbers of From and To, `dialled` that of the Request-URI. A line that diverts a call
    makes the diverted one.
    """
    if not enterprises:
        return Decision(wanted=True, reason=RuleReason.NONE, rule="record all")
    target = _without_control_prefixes(canonical(dialled or callee))
    called = _match(enterprises, (callee, target))
    calling = _match(enterprises, (*asserted, caller, *diversion))
    direction = _direction(calling, called)
    if called is not None and called.line.record:
        return _decision(RuleReason.NONE, "line is called", called, direction)
    if calling is not None and calling.line.record:
        reason, rule = _decide_dialled(target, calling.enterprise.allow_00)
        return _decision(reason, rule, calling, direction)
    if calling is None and called is None:
        return Decision(wanted=False, reason=RuleReason.LINE_UNKNOWN, rule="no contracted line")
    return _decision(RuleReason.LINE_OFF, "line is switched off", calling or called, direction)


def decide_unsignalled(enterprises: Sequence[Enterprise]) -> Decision:
    """The decision for media that no signalling announces."""
    if not enterprises:
        return Decision(wanted=True, reason=RuleReason.NONE, rule="record all")
    for enterprise in enterprises:
        if enterprise.unsignalled:
            return Decision(wanted=True, reason=RuleReason.NONE, rule="unsignalled media", enterprise=enterprise.id)
    return Decision(wanted=False, reason=RuleReason.LINE_UNKNOWN, rule="no contracted line")


def _match(enterprises: Iterable[Enterprise], numbers: Iterable[str]) -> _Match | None:
    """The contracted line among these numbers, one that is switched on before others, else in the numbers' order."""
    wanted = [number for number in map(canonical, numbers) if number]
    found = [
        (not line.record, wanted.index(canonical(line.number)), _Match(enterprise, line))
        for enterprise in enterprises
        for line in enterprise.lines
        if canonical(line.number) in wanted
    ]
    return min(found, key=lambda entry: entry[:2])[2] if found else None


def _direction(calling: _Match | None, called: _Match | None) -> CallDirection:
    if calling is not None and called is not None:
        return CallDirection.INTERNAL
    if calling is not None:
        return CallDirection.OUT
    return CallDirection.UNKNOWN if called is None else CallDirection.IN


def _decision(reason: RuleReason, rule: str, match: _Match | None, direction: CallDirection) -> Decision:
    return Decision(
        wanted=reason is RuleReason.NONE,
        reason=reason,
        rule=rule,
        enterprise=match.enterprise.id if match else "",
        line=match.line.number if match else "",
        direction=direction,
    )


def _without_control_prefixes(number: str) -> str:
    """What follows `184`, `186` and `1311`, however many of them; a prefix with nothing after it stays."""
    while prefix := next((known for known in _CONTROL_PREFIXES if number.startswith(known) and number != known), ""):
        number = canonical(number.removeprefix(prefix))
    return number


def _decide_dialled(number: str, allow_00: Iterable[str]) -> tuple[RuleReason, str]:
    if number.startswith(_VOICEMAIL):
        return RuleReason.NONE, "dialled 1416 is recorded"
    if number.startswith("1"):
        return RuleReason.PREFIX_1, "dialled 1... is not recorded"
    if number.startswith("00"):
        allowed = next((prefix for prefix in allow_00 if prefix and number.startswith(canonical(prefix))), "")
        if not allowed:
            return RuleReason.PREFIX_00, "dialled 00... is not recorded"
        return RuleReason.NONE, f"dialled {allowed}... is allowed"
    return RuleReason.NONE, "line calls"
