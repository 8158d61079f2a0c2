"""What assembly carries from block to block. Plain data: `snapshot` writes it, an assembly made from it goes on."""

import heapq
from dataclasses import dataclass, field
from enum import IntEnum

from appliance.assembly.legs import Legs
from appliance.assembly.outages import Outages
from appliance.assembly.work import Work
from capture.discipline import Discipline
from capture.endpoint import Endpoint
from capture.runs import RunTable
from capture.signalling import Signalling

MAX_CONFIGURATIONS = 1024
"""Changes that are remembered; the oldest are forgotten beyond."""
MAX_CLOCK_STEPS = 4096
"""The oldest are forgotten beyond."""


class Due(IntEnum):
    """What a deadline is for; at the same time they come in this order."""

    FINISH = 1
    CUT = 2
    MEDIA = 3
    RUN = 4


@dataclass(slots=True, kw_only=True)
class AssemblyCounters:
    """What became of media that is in no recording."""

    too_late: int = 0
    """Packets after the end of their call."""
    not_rtp: int = 0
    """Packets that looked like RTP and are not (RFC 3550 A.1)."""
    not_wanted: int = 0
    """Packets of calls and media that no rule asks for."""
    shared: int = 0
    """Packets of calls that are an earlier leg's, too, and so are counted twice."""
    unread_blocks: int = 0
    """Blocks kept raw that could not be read here either."""


@dataclass(slots=True, kw_only=True)
class AssemblyState:
    """Everything that is carried from block to block. Plain data."""

    now_ns: int = 0
    first_ns: int | None = None
    """Time of the first block."""
    ended_ns: int | None = None
    """Time of the end of input, once there is one."""
    signalling: Signalling = field(default_factory=Signalling)
    runs: RunTable = field(default_factory=RunTable)
    works: dict[str, Work] = field(default_factory=dict)
    """SIP calls by dialog key, media by call id."""
    due: list[tuple[int, int, str]] = field(default_factory=list)
    """Heap of deadlines: time, `Due`, key or run number."""
    announced: dict[Endpoint, dict[str, None]] = field(default_factory=dict)
    """Media addresses of SIP calls that go on."""
    addresses: dict[str, list[Endpoint]] = field(default_factory=dict)
    """The addresses in `announced` of each call."""
    legs: Legs = field(default_factory=Legs)
    outages: Outages = field(default_factory=Outages)
    clock_steps: list[int] = field(default_factory=list)
    """When the clock of the capture was set."""
    shifts: list[tuple[int, int]] = field(default_factory=list)
    """Since when real time has been how far ahead of the line that all times are on; in order."""
    disciplines: list[tuple[int, Discipline]] = field(default_factory=list)
    """Since when the clock of the capture has been in which state; in order."""
    configurations: list[tuple[int, str]] = field(default_factory=list)
    """Since when which configuration is in force, by digest; in order."""
    storage_full: bool = False
    """There is no room for recordings: none is begun."""
    counters: AssemblyCounters = field(default_factory=AssemblyCounters)

    def schedule(self, ns: int, what: Due, key: str) -> None:
        """Set a deadline."""
        heapq.heappush(self.due, (ns, what, key))

    def note_clock_step(self, at_ns: int) -> None:
        """The clock of the capture was set; times go on evenly."""
        self.clock_steps.append(at_ns)
        del self.clock_steps[:-MAX_CLOCK_STEPS]

    def note_shift(self, since_ns: int, shift_ns: int) -> None:
        """Real time is so far ahead of the line from a time on."""
        if shift_ns != (self.shifts[-1][1] if self.shifts else 0):
            self.shifts.append((since_ns, shift_ns))
            del self.shifts[:-MAX_CLOCK_STEPS]

    def shift_at(self, ns: int) -> int:
        """Return how far real time was ahead of the line at a time on it."""
        return next((shift_ns for since_ns, shift_ns in reversed(self.shifts) if since_ns <= ns), 0)

    def note_discipline(self, ns: int, found: Discipline) -> None:
        """The clock of the capture is in a state from a time on."""
        if not self.disciplines or self.disciplines[-1][1] != found:
            self.disciplines.append((ns, found))
            del self.disciplines[:-MAX_CLOCK_STEPS]

    def discipline_within(self, from_ns: int, until_ns: int) -> Discipline | None:
        """Return the worst of what is known of the clock in a span of time; None when nobody has said.

        Not disciplined, if it was not for a moment; else as far off as it was at most.
        """
        until = [(since_ns, found) for since_ns, found in self.disciplines if since_ns <= until_ns]
        before = sum(since_ns <= from_ns for since_ns, _ in until)
        within = [found for _, found in until[max(0, before - 1) :]]
        return max(within, key=lambda found: (not found.synchronised, abs(found.offset_ms or 0)), default=None)

    def note_configuration(self, ns: int, digest: str) -> None:
        """A configuration is in force from a time on."""
        if not self.configurations or self.configurations[-1][1] != digest:
            self.configurations.append((max(ns, self.configurations[-1][0] if self.configurations else ns), digest))
            del self.configurations[:-MAX_CONFIGURATIONS]

    def configuration_at(self, ns: int) -> str | None:
        """Return the digest of the configuration in force at a time; None when nobody has said."""
        return next((digest for since_ns, digest in reversed(self.configurations) if since_ns <= ns), None)

    def clock_stepped(self, from_ns: int, until_ns: int) -> bool:
        """Whether the clock was set in a span of time."""
        return any(from_ns <= at_ns <= until_ns for at_ns in self.clock_steps)
