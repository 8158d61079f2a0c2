"""Which call on the mirror port a delivered one is: by time and numbers, with the reason in words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

NS = 1_000_000_000
_ALIKE_S = 3.0
"""Lengths that differ by no more are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCall:
    """A call of the archive that may be it."""

    call_id: str
    started_ns: int
    length_s: float
    caller: str
    """Numbers in the form in which they are searched; empty when unknown."""
    callee: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredCall:
    """A call that was delivered."""

    started_ns: int
    length_s: float
    caller: str
    callee: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """What they have in common."""

    call_id: str
    """The call that was seen; empty when none was."""
    why: str
    """In words, without a number of anybody's."""


def join(delivered: DeliveredCall, seen: Sequence[SeenCall], *, within_s: float) -> Join:
    """Find the call; the nearest one when several fit."""
    fitting = [
        (abs(one.started_ns - delivered.started_ns), one, said)
        for one in seen
        if (said := _numbers(delivered, one)) and abs(one.started_ns - delivered.started_ns) <= within_s * NS
    ]
    # One number alone is not enough, unless the lengths are the same too.
    fitting = [fit for fit in fitting if fit[2] == _BOTH or abs(fit[1].length_s - delivered.length_s) <= _ALIKE_S]
    if not fitting:
        return Join(call_id="", why="no call with these numbers was seen at this time")
    apart_ns, nearest, said = min(fitting, key=lambda fit: (fit[2] != _BOTH, fit[0], fit[1].call_id))
    others = f"; nearest of {len(fitting)}" if len(fitting) > 1 else ""
    lengths = f"{delivered.length_s:.1f} s delivered, {nearest.length_s:.1f} s seen"
    return Join(call_id=nearest.call_id, why=f"{said}, starts {apart_ns / NS:.1f} s apart, {lengths}{others}")


_BOTH = "same caller and callee"


def _numbers(delivered: DeliveredCall, seen: SeenCall) -> str:
    """What the numbers have in common, in words; empty when that is nothing, or one contradicts."""
    caller, callee = _same(delivered.caller, seen.caller), _same(delivered.callee, seen.callee)
    if caller is False or callee is False or caller is callee is None:
        return ""
    if caller and callee:
        return _BOTH
    return "same caller, callee unknown" if caller else "same callee, caller unknown"


def _same(one: str, other: str) -> bool | None:
    """None when one of them is unknown."""
    return one == other if one and other else None
