"""The calls that are under way when the power goes, and what of them had been said by then."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tests.crash.calls import SECOND_NS, SLOTS_PER_S, Call, Plan
from tests.traffic.bulk import SLOT_NS
from tests.traffic.pcapwriter import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed(Plan):
    """A plan in which the first lines have one long call each, which goes on over the cut."""

    long_lines: int
    long_s: float

    def call(self, line: int, number: int) -> Call:
        """One call of a line, counted from 0."""
        call = Plan.call(self, line, number)
        return replace(call, slots=round(self.long_s * SLOTS_PER_S)) if line < self.long_lines else call


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A call that was begun; times are the plan's."""

    call: Call
    start_ns: int
    """Of its INVITE."""

    def slots(self, side: int, until_ns: int) -> int:
        """How many packets a side had sent by then."""
        due = -(-(until_ns - self.call.media_ns(self.start_ns, side)) // SLOT_NS)
        return max(0, min(due, self.call.slots))

    def is_answered(self, until_ns: int) -> bool:
        """Whether it had been answered by then."""
        return until_ns > self.call.media_ns(self.start_ns, 0)

    def is_over(self, until_ns: int) -> bool:
        """Whether it had been ended by then."""
        return until_ns >= self.start_ns + self.call.length_ns


def line(plan: Plan, number: int, begun: list[Sent]) -> Iterator[Frame]:
    """The frames of a line, which note each call in `begun` when it begins."""
    fresh: list[Call] = []
    for frame in plan.frames(number, fresh.append, lambda: False):
        while fresh:
            begun.append(Sent(call=fresh.pop(), start_ns=frame.ts_ns))
        yield frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """When what reached the mirror port: two rising columns of nanoseconds, shape `(packets,)`."""

    planned_ns: npt.NDArray[np.int64]
    """Times of the plan."""
    arrived_ns: npt.NDArray[np.int64]
    """When it was there, by this machine's monotonic clock."""
    begun_ns: int
    """That clock when the plan began."""

    def planned_at(self, now_ns: int) -> int:
        """Up to which time of the plan everything was there then."""
        number = int(np.searchsorted(self.arrived_ns, now_ns, side="right"))
        return int(self.planned_ns[number - 1]) + 1 if number else 0

    def late_s(self, from_ns: int, until_ns: int) -> float:
        """How late packets of this time of the plan were there at most."""
        span = slice(*np.searchsorted(self.planned_ns, (from_ns, until_ns)))
        return float((self.arrived_ns[span] - self.planned_ns[span] - self.begun_ns).max(initial=0)) / SECOND_NS
