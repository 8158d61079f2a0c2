"""What assembly carries from block to block. Plain data: `snapshot` writes it, an assembly made from it goes on."""

import heapq
from dataclasses import dataclass, field
from enum import IntEnum

from appliance.assembly.legs import Legs
from appliance.assembly.outages import Outages
from appliance.assembly.work import Work
from capture.endpoint import Endpoint
from capture.runs import RunTable
from capture.signalling import Signalling


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
    storage_full: bool = False
    """There is no room for recordings: none is begun."""
    counters: AssemblyCounters = field(default_factory=AssemblyCounters)

    def schedule(self, ns: int, what: Due, key: str) -> None:
        """Set a deadline."""
        heapq.heappush(self.due, (ns, what, key))
