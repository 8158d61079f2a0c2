"""What of all that was seen is a concern. Pure.

Each rule returns in words what is wrong, empty when nothing is. How grave that is, and for how long it has to stand
before anybody is woken, is for whoever reads the board.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from appliance.condition.concerns import Concern
from appliance.condition.seen import DiskSeen, Figures, RetentionSeen
from storage.retention.room import NO_INODES
from storage.verify.defects import Kind
from storage.verify.scrub import FoundDefect
from storage.volume.smart import Verdict

FEW_DAYS: Final = 14
"""So many days until the disk is full are a concern."""
SLOW_MS: Final = 500.0
"""A disk that takes so long for a small write, as a rule and not once, falls behind."""
_WHERE: Final = ": run/scrub.json says what"
_MIB: Final = 1 << 20
_ROTTEN: Final = frozenset({Kind.ALTERED, Kind.MISSING, Kind.UNEXPECTED})


class Sayer(Protocol):
    """Whom it is said to."""

    def say(self, concern: Concern, what: str, *, part: str = "") -> None:
        """Say how it is with a concern."""


def say(board: Sayer, figures: Figures, defects: Sequence[FoundDefect], *, time_is_known: bool) -> None:
    """Say of each concern how it is with it.

    Args:
        board: Whom to say it to.
        figures: What was seen.
        defects: What the scrub has found.
        time_is_known: A time server has had its moment.
    """
    board.say(Concern.DISK_SPACE, space(figures))
    if time_is_known:
        board.say(Concern.CLOCK_UNCONFIRMED, clock(figures))
    if figures.disk is not None:
        board.say(Concern.DISK_HEALTH, health(figures.disk))
        board.say(Concern.DISK_LATENCY, latency(figures.disk))
    if figures.retention is not None:
        board.say(Concern.DAYS_UNTIL_FULL, fullness(figures.retention))
        board.say(Concern.DISK_SPACE, shortage(figures.retention), part="retention")
        board.say(Concern.CONTRACT_OVERDUE, "; ".join(figures.retention.overdue))
    board.say(Concern.BIT_ROT, rot(defects))
    board.say(Concern.LEDGER_FAULT, ledger(defects), part="scrub")


def space(figures: Figures) -> str:
    """Of the room on the disk."""
    free, reserve = figures.free_bytes, figures.reserve_bytes
    if free < reserve:
        return f"{free // _MIB:,} MiB are free, less than the {reserve // _MIB:,} MiB to be kept free"
    few = figures.free_inodes is not None and figures.free_inodes < NO_INODES
    return f"{figures.free_inodes:,} inodes are free" if few else ""


def health(seen: DiskSeen) -> str:
    """Of what the disk says of itself."""
    concerning = seen.health in (Verdict.FAILING, Verdict.WARNING)
    return f"{seen.health}: {'; '.join(seen.problems)}" if concerning else ""


def latency(seen: DiskSeen) -> str:
    """Of how long the disk takes."""
    slow = seen.write_median_ms is not None and seen.write_median_ms >= SLOW_MS
    return f"a small write takes {seen.write_median_ms:,.0f} ms" if slow else ""


def fullness(seen: RetentionSeen) -> str:
    """Of the forecast."""
    days = seen.days_until_short
    soon = days is not None and days <= FEW_DAYS
    return f"in {days} days the disk is too small for what the rules promise, as recordings come now" if soon else ""


def shortage(seen: RetentionSeen) -> str:
    """Of room that cannot be made."""
    if not seen.short_bytes:
        return ""
    return f"{seen.short_bytes:,} bytes are wanted for new recordings, and nothing more may be erased"


def clock(figures: Figures) -> str:
    """Of the time."""
    if figures.clock_ahead_s is not None:
        return f"the clock is disputed, {figures.clock_ahead_s / 86_400:+,.1f} days off: nothing is erased by age"
    return "" if figures.clock_confirmed else "the clock was not confirmed within 24 hours: nothing is erased by age"


def rot(defects: Iterable[FoundDefect]) -> str:
    """Of what the scrub has found in files, of which each may have several defects."""
    count = len({one.subject for one in defects if one.kind in _ROTTEN})
    return f"{count:,} file{'s' * (count != 1)} not as recorded{_WHERE}" if count else ""


def ledger(defects: Iterable[FoundDefect]) -> str:
    """Of what the scrub has found in the ledger."""
    count = sum(one.kind in (Kind.LEDGER, Kind.SIGNATURE) for one in defects)
    return f"{count:,} defect{'s' * (count != 1)} in the ledger{_WHERE}" if count else ""
