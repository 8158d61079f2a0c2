"""Real elapsed time, as far as it is certain, whatever clocks are set to. Pure.

The kernel's boot-time clock cannot be set: within one boot it tells exactly what has passed. What passed while the box
was off only wall clocks tell, and only when both that before and that behind were confirmed (disciplined by a time
server). `elapsed_ns` is the sum: a lower bound of the time since the archive was made, which never goes back.

| the wall clock was confirmed, and against the last time it was ...  | then                                     |
|---------------------------------------------------------------------|------------------------------------------|
| as far on as the boot clock, within `TOLERANCE_NS`                   | confirmed                                |
| further on, in another boot, by at most `MAX_OFF_NS`                 | confirmed; the box was off for so long   |
| anything else: set to 2099, set back, off for months                 | disputed, until a person has looked at it |

`marks` say how many entries the ledger had at which elapsed time, and so how long an entry has been there at least.
"""

from bisect import bisect_right
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

NS = 1_000_000_000
HOUR_NS = 3600 * NS
TOLERANCE_NS = 600 * NS
"""So far wall clock and boot clock may come apart between two confirmations."""
MAX_OFF_NS = 31 * 24 * HOUR_NS
"""What a box may have been off without a person having to confirm it."""
CONFIRMED_FOR_NS = 24 * HOUR_NS
"""How long a confirmation holds."""
MARK_NS = 6 * HOUR_NS
"""How often a mark is made at most: recordings are kept so much longer than their rule says at most."""

_LAST_ZONE = timedelta(hours=12)
"""UTC-12, where every day begins last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """The clocks, read at one moment."""

    boot_id: str
    """The kernel's id of this boot."""
    boot_ns: int
    """CLOCK_BOOTTIME: since the boot, suspended time included."""
    wall_ns: int
    """CLOCK_REALTIME: since 1970 UTC."""
    synchronised: bool
    """The kernel says that a time server disciplines the wall clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The last time that the wall clock was confirmed."""

    elapsed_ns: int
    sighting: Sighting


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """At this elapsed time the ledger had so many entries."""

    elapsed_ns: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockState:
    """What is known of time, kept in the archive."""

    elapsed_ns: int = 0
    """Passed at least since the archive was made."""
    last: Sighting | None = None
    """The last sighting that was counted."""
    anchor: Anchor | None = None
    """None before the first confirmation."""
    ahead_ns: int | None = None
    """How far the wall clock is from what can be, while that is disputed."""
    marks: tuple[Mark, ...] = ()
    """Oldest first."""
    confirmed_by: str = ""
    """Who confirmed a disputed clock last, and why."""


def observe(state: ClockState, seen: Sighting, entries: int) -> ClockState:
    """Count the time until `seen`, when the ledger had so many entries."""
    state = _passed(state, seen)
    if seen.synchronised:
        state = _compared(state, seen)
    return _marked(state, entries)


def confirm(state: ClockState, seen: Sighting, entries: int, who: str) -> ClockState:
    """A person says that the wall clock is right. What it shows more than was known the box was off for.

    Within one boot the boot clock goes on being believed: only what comes after is compared with the new time.
    """
    state = _passed(state, seen)
    anchor = state.anchor
    if anchor is not None and anchor.sighting.boot_id != seen.boot_id:
        state = replace(state, elapsed_ns=max(state.elapsed_ns, _claimed_ns(anchor, seen)))
    return _marked(_anchored(replace(state, confirmed_by=who), seen), entries)


def is_confirmed(state: ClockState) -> bool:
    """Whether retention may act: undisputed, and confirmed within 24 hours of the last sighting, in the same boot."""
    last, anchor = state.last, state.anchor
    if last is None or anchor is None or state.ahead_ns is not None or last.boot_id != anchor.sighting.boot_id:
        return False
    return last.boot_ns - anchor.sighting.boot_ns <= CONFIRMED_FOR_NS


def today(state: ClockState) -> date | None:
    """The date that today is everywhere on earth, when the clock is confirmed: no change of time zone hastens it.

    From the last confirmation on the boot clock counts: the wall clock may have been set since.
    """
    if not is_confirmed(state) or state.last is None or state.anchor is None:
        return None
    since = state.anchor.sighting
    wall_s = (since.wall_ns + state.last.boot_ns - since.boot_ns) // NS
    return (datetime.fromtimestamp(wall_s, UTC) - _LAST_ZONE).date()


def archived_ns(state: ClockState, position: int) -> int:
    """The elapsed time at which ledger entry `position` was there for certain."""
    index = bisect_right(state.marks, position, key=lambda mark: mark.entries)
    return state.marks[index].elapsed_ns if index < len(state.marks) else state.elapsed_ns


def _passed(state: ClockState, seen: Sighting) -> ClockState:
    last = state.last
    if last is None:
        gained = 0
    elif last.boot_id == seen.boot_id:
        gained = max(0, seen.boot_ns - last.boot_ns)
    else:
        gained = max(0, seen.boot_ns)
    return replace(state, elapsed_ns=state.elapsed_ns + gained, last=seen)


def _compared(state: ClockState, seen: Sighting) -> ClockState:
    """Hold a confirmed wall clock against what is known."""
    anchor = state.anchor
    if anchor is None:
        return _anchored(state, seen)
    ahead_ns = _claimed_ns(anchor, seen) - state.elapsed_ns
    most_ns = TOLERANCE_NS if anchor.sighting.boot_id == seen.boot_id else MAX_OFF_NS
    if not -TOLERANCE_NS <= ahead_ns <= most_ns:
        return replace(state, ahead_ns=ahead_ns)
    if anchor.sighting.boot_id != seen.boot_id:
        state = replace(state, elapsed_ns=state.elapsed_ns + max(0, ahead_ns))
    return _anchored(state, seen)


def _claimed_ns(anchor: Anchor, seen: Sighting) -> int:
    """Elapsed time if the wall clock is right."""
    return anchor.elapsed_ns + seen.wall_ns - anchor.sighting.wall_ns


def _anchored(state: ClockState, seen: Sighting) -> ClockState:
    return replace(state, anchor=Anchor(elapsed_ns=state.elapsed_ns, sighting=seen), ahead_ns=None)


def _marked(state: ClockState, entries: int) -> ClockState:
    """Make a mark when the ledger has grown and the last one is old enough.

    Of a ledger that is shorter than it was (taken from a backup) the later marks say nothing any more.
    """
    if state.marks and state.marks[-1].entries > entries:
        state = replace(state, marks=tuple(mark for mark in state.marks if mark.entries <= entries))
    last = state.marks[-1] if state.marks else None
    if last is not None and (entries <= last.entries or state.elapsed_ns < last.elapsed_ns + MARK_NS):
        return state
    return replace(state, marks=(*state.marks, Mark(elapsed_ns=state.elapsed_ns, entries=entries)))
