"""What a network does to speech on its way: loses it, delays it, falls silent. Pure; the relay runs it.

Each packet's fate hangs on the seed, its SSRC and its sequence number alone: it is the same in every run, whatever the
timing. Only RTP is touched, never signalling.
"""

import ipaddress
import random
import struct
from dataclasses import dataclass, field
from typing import NamedTuple


class Rtp(NamedTuple):
    """What identifies a media packet."""

    source: str
    ssrc: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Impairment:
    """What happens to media."""

    loss: float = 0.0
    """Share of the packets that are lost."""
    late: float = 0.0
    """Share of the packets that are delayed."""
    late_ms: int = 0
    """By how much."""
    hole_from: str = ""
    """Address of the party that falls silent; empty: neither."""
    hole_at: int = 0
    """After that many of its packets."""
    hole_packets: int = 0
    """For that many packets."""


class Fate(NamedTuple):
    """What becomes of one packet."""

    dropped: bool
    late_ms: int


@dataclass(slots=True, kw_only=True)
class Impairer:
    """Decides about one packet after the other; remembers where each stream began."""

    impairment: Impairment
    seed: int
    _first: dict[int, int] = field(default_factory=dict)

    def fate(self, packet: Rtp) -> Fate:
        """What becomes of a packet."""
        chance = random.Random(f"{self.seed} {packet.ssrc} {packet.sequence}").random()
        dropped = chance < self.impairment.loss or self._in_hole(packet)
        late = not dropped and self.impairment.loss <= chance < self.impairment.loss + self.impairment.late
        return Fate(dropped=dropped, late_ms=self.impairment.late_ms if late else 0)

    def _in_hole(self, packet: Rtp) -> bool:
        first = self._first.setdefault(packet.ssrc, packet.sequence)
        if packet.source != self.impairment.hole_from:
            return False
        start = self.impairment.hole_at
        return start <= (packet.sequence - first) % 65536 < start + self.impairment.hole_packets


def rtp_of(frame: bytes) -> Rtp | None:
    """The media packet in an untagged Ethernet frame, or None (RFC 791, 8200, 768, 3550)."""
    match int.from_bytes(frame[12:14], "big"), frame[14:15]:
        case 0x0800, b"\x45":
            udp, protocol, source = 34, frame[23], frame[26:30]
        case 0x86DD, _:
            udp, protocol, source = 54, frame[20], frame[22:38]
        case _:
            return None
    payload = frame[udp + 8 :]
    # Payload types 64 to 95 are RTCP (RFC 5761); a start line of SIP has other top bits.
    if protocol != 17 or len(payload) < 12 or payload[0] >> 6 != 2 or 64 <= payload[1] & 0x7F < 96:
        return None
    sequence, _, ssrc = struct.unpack_from("!HII", payload, 2)
    return Rtp(str(ipaddress.ip_address(source)), ssrc, sequence)
