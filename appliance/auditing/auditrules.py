"""Why a stream's figures differ between our account and tshark's.

Pure. Three views of one stream meet here: ours, the line of `tshark -z rtp,streams`, and a recount of the packet
fields that tshark dissected, by the rules of RFC 3550 appendix A.1. An explanation is given only when it leads from
tshark's figure to ours exactly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_DROPOUT = 3000
"""RFC 3550 appendix A.1: a jump ahead of this many sequence numbers or more is a new start."""
MAX_MISORDER = 100
"""RFC 3550 appendix A.1: a packet at most this far behind is late, further behind it is a new start."""
_MIN_SEQUENTIAL = 2
_LONGEST_PACKET_SAMPLES = 8000
"""No packet holds more than a second."""

_AUDIO = frozenset({"g711a", "g711u", "pcma", "pcmu"})
_EVENTS = frozenset({"telephone-event", "rtpevent"})
_NOISE = frozenset({"cn", "cn(old)"})
_AUDIO_TYPES = frozenset({0, 8})


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFigures:
    """Our figures of one stream."""

    packets: int
    """Packets without duplicates."""
    lost: int | None
    """Sequence numbers that never came, after duplicates were removed; None when they were not counted."""
    duplicates: int = 0
    """Packets that came again."""
    reordered: int = 0
    """Packets that came after a later one."""
    codec: str = ""
    """Name in the call record, `PCMU` for example."""

    def __add__(self, other: "StreamFigures") -> "StreamFigures":
        """Sum up two pieces of one stream."""
        return StreamFigures(
            packets=self.packets + other.packets,
            lost=None if self.lost is None and other.lost is None else (self.lost or 0) + (other.lost or 0),
            duplicates=self.duplicates + other.duplicates,
            reordered=self.reordered + other.reordered,
            codec=self.codec if other.codec in self.codec else f"{self.codec}, {other.codec}".removeprefix(", "),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TsharkStream:
    """One line of `-z rtp,streams`, or the sum of those with the same key."""

    packets: int
    """Packets, duplicates included."""
    lost: int
    """Expected less received, so that every duplicate takes one away."""
    payloads: tuple[str, ...]
    """tshark's short payload names, as `g711U`."""
    lines: int = 1
    """How many lines were summed up."""


@dataclass(slots=True, kw_only=True)
class Recount:
    """A stream counted again from tshark's packet fields (RFC 3550 appendix A.1), fed in capture order."""

    packets: int = 0
    """Packets without duplicates."""
    duplicates: int = 0
    """Packets whose sequence number, timestamp and payload type came before."""
    lost: int = 0
    """Sequence numbers missing inside the segments that have ended; `settle` adds the last segment's."""
    restarts: int = 0
    """Jumps that are no loss but a new start of the sequence."""
    longest_run: int = 0
    """Most packets that followed each other without a gap."""
    voice_steps: int = 0
    """Steps from a G.711 packet to the next in sequence."""
    steady_steps: int = 0
    """Of these, with a timestamp that goes on by what a packet can hold."""
    payload_types: dict[int, int] = field(default_factory=dict)
    """Packets without duplicates by payload type."""
    _seen: dict[int, tuple[int, int]] = field(default_factory=dict)
    _lowest: int = 0
    _highest: int = -1
    _received: int = 0
    _run: int = 0
    _last: tuple[int, int] = (0, -1)

    def add(self, sequence: int, timestamp: int, payload_type: int) -> None:
        """Count one packet."""
        if self._seen.get(sequence) == (timestamp, payload_type):
            self.duplicates += 1
            return
        self._seen[sequence] = (timestamp, payload_type)
        self.packets += 1
        self.payload_types[payload_type] = self.payload_types.get(payload_type, 0) + 1
        self._place(sequence)
        self._received += 1
        if self._run > 1 and self._last[1] in _AUDIO_TYPES:
            self.voice_steps += 1
            self.steady_steps += 0 < (timestamp - self._last[0]) & 0xFFFFFFFF <= _LONGEST_PACKET_SAMPLES
        self._last = timestamp, payload_type

    def settle(self) -> "Recount":
        """Close the last segment and return the finished recount."""
        self._close()
        return self

    def _place(self, sequence: int) -> None:
        ahead = (sequence - self._highest) & 0xFFFF
        if self._highest < 0:
            self._begin(sequence)
        elif ahead < MAX_DROPOUT:
            self._run = self._run + 1 if ahead == 1 else 1
            self._highest += ahead
        elif 0x10000 - ahead <= MAX_MISORDER:
            self._lowest = min(self._lowest, self._highest + ahead - 0x10000)
        else:
            self._close()
            self.restarts += 1
            self._begin(sequence)
        self.longest_run = max(self.longest_run, self._run)

    def _begin(self, sequence: int) -> None:
        self._lowest = self._highest = sequence
        self._run = 1

    def _close(self) -> None:
        if self._highest >= 0:
            self.lost += self._highest - self._lowest + 1 - self._received
        self._highest, self._lowest, self._received = -1, 0, 0


def explain_figures(ours: StreamFigures, theirs: TsharkStream, recount: Recount | None) -> tuple[str, str]:
    """Explain the differences in packets and in loss; an empty text where nothing leads from one to the other."""
    return _explain_packets(ours, theirs, recount), _explain_lost(ours, theirs, recount)


def explain_absent(theirs: TsharkStream, recount: Recount | None) -> str:
    """Explain a stream that only tshark lists."""
    if recount is not None and recount.longest_run < _MIN_SEQUENTIAL:
        return "no two packets in sequence: not taken for RTP (RFC 3550 appendix A.1)"
    if recount is not None and 2 * recount.steady_steps <= recount.voice_steps > 0:
        uneven = recount.voice_steps - recount.steady_steps
        return (
            f"in {uneven} of {recount.voice_steps} steps from a G.711 packet to the next in sequence the timestamp "
            "does not go on: not taken for RTP (RFC 3550 section 5.1)"
        )
    payloads = {name.lower() for name in theirs.payloads}
    if payloads & _AUDIO:
        return ""
    if payloads <= _EVENTS | _NOISE:
        return "holds no audio, only telephone-event or comfort noise"
    return f"codec not recorded: {', '.join(sorted(theirs.payloads))}"


def explain_surplus(ours: StreamFigures, recount: Recount | None) -> str:
    """Explain a stream that only we list; `recount` is tshark's once it was told that the port carries RTP."""
    if recount is not None and recount.packets == ours.packets and ours.lost in (None, recount.lost):
        return "tshark takes the packets for another protocol; told that the port carries RTP, it counts the same"
    return ""


def _explain_packets(ours: StreamFigures, theirs: TsharkStream, recount: Recount | None) -> str:
    surplus = theirs.packets - ours.packets
    if ours.duplicates and surplus == ours.duplicates and _agrees(recount, ours.duplicates):
        return f"tshark counts {ours.duplicates} duplicates as packets"
    if recount is None:
        return ""
    if recount.packets == ours.packets:
        return f"tshark's own packet fields give {ours.packets}: {_what(recount)}"
    others = _not_audio(recount.payload_types)
    if others and recount.packets - sum(others.values()) == ours.packets:
        listed = ", ".join(f"{count} of payload type {number}" for number, count in sorted(others.items()))
        return f"not audio and counted elsewhere: {listed}"
    return ""


def _explain_lost(ours: StreamFigures, theirs: TsharkStream, recount: Recount | None) -> str:
    if ours.lost is None:
        return ""
    if ours.duplicates and ours.lost - theirs.lost == ours.duplicates and _agrees(recount, ours.duplicates):
        return f"tshark takes {ours.duplicates} duplicates off its loss"
    if recount is not None and recount.lost == ours.lost:
        return f"tshark's own packet fields give {ours.lost}: {_what(recount)}"
    return ""


def _agrees(recount: Recount | None, duplicates: int) -> bool:
    return recount is None or recount.duplicates == duplicates


def _what(recount: Recount) -> str:
    facts = []
    if recount.restarts:
        facts.append(f"the sequence starts anew {recount.restarts} times, which its summary takes for loss")
    if recount.duplicates:
        facts.append(f"{recount.duplicates} duplicates")
    if len(recount.payload_types) > 1:
        facts.append(f"{len(recount.payload_types)} payload types")
    return "; ".join(facts) or "its summary leaves packets out or splits the stream"


def _not_audio(payload_types: Mapping[int, int]) -> dict[int, int]:
    return {number: count for number, count in payload_types.items() if number not in _AUDIO_TYPES}
