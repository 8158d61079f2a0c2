"""The scrub: reads the whole archive again in a period, a little at a time, to find bit rot while it can be mended.

A round goes through the local dates of the archive, oldest first, as fast as the period asks for. Where it is, and what
is wrong at present, lies in one small file; a run that is killed does one day again. Every run reads the whole ledger.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import msgspec

from storage.disk import Disk, replace_file
from storage.errors import from_os_error
from storage.verify.defects import Defect, Kind

DAY_NS = 86_400 * 1_000_000_000
PAUSE_NS = DAY_NS // 2
"""Between runs: with what they take themselves, and what is missed, there has to be one a day."""
STATE_NAME = "scrub.json"
MAX_DEFECTS_KEPT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDefect:
    """A defect as it is kept: without the file's name, which holds callers' numbers."""

    kind: Kind
    subject: str
    what: str
    found_ns: int
    """When it was found first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubState:
    """Where the scrub is."""

    round_started_ns: int = 0
    """When the round began; 0 before the first."""
    next_day: int = 0
    """First local date, such as 20260102, that this round has not read."""
    round_ended_ns: int = 0
    """When it was through; 0 while it goes on."""
    last_whole_round_ns: int = 0
    """When the whole archive had last been read."""
    last_run_ns: int = 0
    """When the scrub was last at work."""
    defects: dict[str, tuple[FoundDefect, ...]] = field(default_factory=dict)
    """What is wrong at present, by local date, or under `ledger`."""


def begin(state: ScrubState, now_ns: int, period_ns: int) -> ScrubState:
    """Begin a round when one is due. A clock that was set back begins one too, rather than none for years."""
    ended = state.round_ended_ns or not state.round_started_ns
    since_ns = now_ns - state.round_started_ns
    if ended and not 0 <= since_ns < period_ns:
        return replace(state, round_started_ns=now_ns, next_day=0, round_ended_ns=0)
    return state


def is_due(state: ScrubState, now_ns: int) -> bool:
    """Whether a run is due: a while after the last one, or when that is still to come, by a clock that was set back."""
    return not 0 <= now_ns - state.last_run_ns < PAUSE_NS


def due(state: ScrubState, sizes: Sequence[tuple[int, int]], now_ns: int, period_ns: int) -> list[int]:
    """The local dates to read now. `sizes`: every date of the archive, in order, with how much it holds.

    At least one a run, and as many as the part of the period asks for that will be over in a day from now: a round is
    done in time when there is a run a day.
    """
    if state.round_ended_ns:
        return []
    share = min(max(now_ns + DAY_NS - state.round_started_ns, 0) / period_ns, 1)
    asked = share * sum(size for _, size in sizes)
    chosen: list[int] = []
    read = sum(size for day, size in sizes if day < state.next_day)
    for day, size in sizes:
        # The last run takes all that is left: a date that holds nothing asks for no share.
        if day >= state.next_day and (read < asked or not chosen or share == 1):
            chosen.append(day)
            read += size
    return chosen


def after(state: ScrubState, place: str, defects: Iterable[Defect], now_ns: int) -> ScrubState:
    """The state when `place`, a local date or `ledger`, was read and had these defects."""
    before = {(one.kind, one.subject, one.what): one.found_ns for one in state.defects.get(place, ())}
    found = tuple(
        FoundDefect(
            kind=one.kind,
            subject=one.subject,
            what=one.what,
            found_ns=before.get((one.kind, one.subject, one.what), now_ns),
        )
        for one in list(defects)[:MAX_DEFECTS_KEPT]
    )
    rest = {known: old for known, old in state.defects.items() if known != place}
    state = replace(state, defects=rest | ({place: found} if found else {}), last_run_ns=now_ns)
    return replace(state, next_day=int(place) + 1) if place.isdigit() else state


def end(state: ScrubState, days: Sequence[int], now_ns: int) -> ScrubState:
    """The state when the round may be through. `days`: every local date of the archive."""
    if state.round_ended_ns or any(day >= state.next_day for day in days):
        return state
    gone = {place: found for place, found in state.defects.items() if place == "ledger" or int(place) in days}
    return replace(state, round_ended_ns=now_ns, last_whole_round_ns=now_ns, defects=gone)


def read_state(run: Path) -> ScrubState:
    """Where the scrub is; from the start when nobody knows."""
    try:
        return msgspec.json.decode((run / STATE_NAME).read_bytes(), type=ScrubState)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return ScrubState()


def write_state(run: Path, state: ScrubState, disk: Disk) -> None:
    """Keep it. Raises DiskFullError or ArchiveError."""
    content = msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n"
    try:
        replace_file(disk, run / f".{STATE_NAME}.tmp-{os.getpid()}", run / STATE_NAME, content)
    except OSError as error:
        raise from_os_error(error, "keep the state of the scrub") from error


class SlowReader:
    """Reads from the disk, not from memory, at no more than a rate."""

    def __init__(self, rate_bytes_s: float, clock_s: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._rate = rate_bytes_s
        self._clock_s = clock_s
        self._sleep = sleep
        self._began_s = clock_s()
        self.read_bytes = 0
        """How much was read."""

    def read(self, file: BinaryIO, size_bytes: int) -> bytes:
        """Read, and wait for as long as the rate asks for."""
        if not file.tell():
            # Bit rot is on the disk; and what is read here nobody needs in memory.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        content = file.read(size_bytes)
        os.posix_fadvise(file.fileno(), 0, file.tell(), os.POSIX_FADV_DONTNEED)
        self.read_bytes += len(content)
        ahead_s = self.read_bytes / self._rate - (self._clock_s() - self._began_s)
        if ahead_s > 0:
            self._sleep(ahead_s)
        return content
