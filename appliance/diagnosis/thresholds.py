"""From when on something counts. Data for the rules; the defaults are what the product ships with. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Limits of the rules."""

    silent_s: float = 30.0
    """A port without any frame is suspect after this long."""
    no_unicast_s: float = 60.0
    """A port without frames to one station is suspect after this long: keep-alives are some 30 s apart."""
    usual: float = 1.5
    """And after so many times what has been usual there."""
    group_frames: int = 5
    """Group frames that are enough to say that a port lives."""
    foreign_frames: int = 200
    """Frames to others on the management port that make it look like a mirror port."""
    foreign_some: int = 20
    """Frames to others there that make one wait for more, before anybody else is named."""
    foreign_share: float = 0.3
    """Their share of all that comes there."""
    little_s: float = 2.5
    """A mirror port without voice for so long may have changed places with the management port."""
    swap_s: float = 25.0
    """So long it takes until that can be told, when the management port hears what is for others."""
    line_errors: int = 3
    """Wrong checksums or alignments within a window."""
    pairs_packets: int = 20
    """Packets that are enough to say that a conversation has one direction only."""
    doubled_share: float = 0.5
    """Share of packets that come twice."""
    doubled_packets: int = 50
    """Fewer tell nothing."""
    gap_share: float = 0.005
    """Loss of one direction that counts."""
    gap_packets: int = 10
    """Lost packets that count."""
    still_share: float = 0.001
    """Loss of one direction that is as good as none."""
    still_packets: int = 2
    """As above, for short windows."""
    coincidence: float = 0.6
    """Share of the gaps of one direction that fall together with those of the other."""
    chance: float = 0.3
    """With gaps in so many bins they fall together by chance, which tells nothing."""
    port_share: float = 0.8
    """Share of a port's speed from which on the switch may leave frames out."""
    reported_share: float = 0.01
    """Loss reported from beyond that counts."""
    unanswered_share: float = 0.2
    """Share of INVITEs without any answer that counts."""
    error_share: float = 0.1
    """Share of 5xx among final responses that counts."""
    refused_share: float = 0.2
    """Share of 403 among final responses that counts."""
    not_reached_share: float = 0.3
    """Share of 408 and 480 among final responses that counts: single ones are daily life."""
    not_reached: int = 3
    """And how many of them."""
    call_share: float = 0.2
    """Share of calls without some of their media that counts."""
    equal_calls: int = 5
    """So many calls that end after the same time are no chance."""
    equal_spread_s: float = 1.0
    """How far the same times may be apart."""
    equal_shortest_s: float = 85.0
    """The least session timer is 90 s (RFC 4028 section 5); calls are often shorter, and end alike in tests."""
    jitter_ms: float = 20.0
    """Jitter that a lost priority may explain."""
    drift_ppm: float = 100.0
    """A sender's clock that is further off is faulty."""
    drift_span_s: float = 60.0
    """Over less, drift is not measured."""
    dscp_packets: int = 100
    """Fewer tell nothing of marking."""
    ef_share: float = 0.9
    """Share of packets with one marking that makes it the rule."""


DEFAULT = Thresholds()
