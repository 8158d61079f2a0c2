"""RTP as the mirror showed it: gaps by direction, loss reported from beyond, marking, clocks, dead air. Pure."""

from collections.abc import Iterator

from appliance.diagnosis.domains import Domain, Domains
from appliance.diagnosis.evidence import Evidence, Leg, MediaSeen, Port, Role, State, Step
from appliance.diagnosis.findings import Basis, Confidence, Fact, Finding, Row
from appliance.diagnosis.rules.facts import port_fact, ports_of, state_of, wire_fact
from appliance.diagnosis.thresholds import Thresholds

DROPPED_TOGETHER = 2
"""Shared bins that are more than an accident."""


def gaps(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """Sequence gaps at the mirror, by direction. Local drops are `box.overload`, and then nothing here is believed.

    Both ways at the same instants and a port near its speed: the mirror left frames out. Both ways at the same
    instants otherwise: not observable. From the LAN: lan, whatever comes from beyond. From beyond, and none from the
    LAN: vpn or carrier.
    """
    if evidence.wire is None:
        return
    media = evidence.wire.media
    lan, vpn = media.from_lan, media.from_vpn
    full = [port for port in ports_of(evidence, Role.SPAN) if _is_near_speed(port, limits)]
    together = _fall_together(media, limits) and _has_gaps(lan, limits) and _has_gaps(vpn, limits)
    if together and full:
        facts = tuple(
            port_fact(port, "peak_rate", port.peak_bps or 0, (port.speed_mbps or 0) * 1e6, "bit/s") for port in full
        )
        facts += (wire_fact(media.window, "gaps_together", media.shared_bins, media.bins),)
        yield _finding(Row.OVERSUBSCRIBED, (Domain.MIRROR,), (*facts, *_lost(media)), step=Step.FRAMES)
    elif together:
        # The mirror, or the way that it mirrors: nothing here tells the two apart.
        facts = (wire_fact(media.window, "gaps_together", media.shared_bins, media.bins), *_lost(media))
        yield _finding(Row.GAPS_TOGETHER, (), facts, confidence=Confidence.LOW)
    elif _has_gaps(lan, limits):
        yield _finding(Row.GAPS_FROM_LAN, (Domain.LAN,), _lost(media))
    elif _has_gaps(vpn, limits) and is_still(lan, limits):
        # A direction that nobody watched has no gaps either, and proves nothing.
        confidence = Confidence.HIGH if lan.packets else Confidence.LOW
        yield _finding(Row.GAPS_FROM_VPN, (Domain.VPN, Domain.CARRIER), _lost(media), confidence=confidence)


def _has_gaps(leg: Leg, limits: Thresholds) -> bool:
    return leg.lost >= limits.gap_packets and leg.lost >= limits.gap_share * leg.expected


def is_still(leg: Leg, limits: Thresholds) -> bool:
    """Whether a direction has no gaps to speak of."""
    return leg.lost <= max(limits.still_packets, limits.still_share * leg.expected)


def _fall_together(media: MediaSeen, limits: Thresholds) -> bool:
    lan, vpn = media.from_lan.gap_bins, media.from_vpn.gap_bins
    fewer = min(lan, vpn)
    if not fewer or media.shared_bins < DROPPED_TOGETHER or max(lan, vpn) > limits.chance * media.bins:
        return False
    return media.shared_bins >= limits.coincidence * fewer


def _is_near_speed(port: Port, limits: Thresholds) -> bool:
    if not port.speed_mbps or port.peak_bps is None:
        return False
    return port.peak_bps >= limits.port_share * port.speed_mbps * 1e6


def _lost(media: MediaSeen) -> tuple[Fact, ...]:
    return (
        wire_fact(media.window, "lost_from_lan", media.from_lan.lost, media.from_lan.expected),
        wire_fact(media.window, "lost_from_vpn", media.from_vpn.lost, media.from_vpn.expected),
    )


def reported_loss(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """No gaps here, but the receivers' RTCP reports loss: downstream of the mirror, on the receivers' side."""
    if evidence.wire is None:
        return
    media = evidence.wire.media
    for leg, row, domains in (
        (media.from_vpn, Row.LOSS_TOWARDS_LAN, (Domain.LAN,)),
        (media.from_lan, Row.LOSS_TOWARDS_VPN, (Domain.VPN, Domain.CARRIER)),
    ):
        beyond = leg.reported_lost - leg.lost
        if is_still(leg, limits) and beyond >= max(limits.gap_packets, limits.reported_share * leg.reported):
            facts = (
                wire_fact(media.window, "reported_lost", leg.reported_lost, leg.reported),
                wire_fact(media.window, "lost_here", leg.lost, leg.expected),
                wire_fact(media.window, "reporters", leg.reporters),
            )
            # One receiver alone may be the one telephone that hears badly.
            several = leg.reporters > 1
            whose: Domains = domains if several else (*domains, Domain.ENDPOINT)
            yield _finding(row, whose, facts, confidence=Confidence.HIGH if several else Confidence.MEDIUM)


def remarked(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """EF leaving and 0 arriving: the VPN takes the mark away, a suspect for jitter."""
    if evidence.wire is None:
        return
    media = evidence.wire.media
    lan, vpn = media.from_lan, media.from_vpn
    if min(lan.packets, vpn.packets) < limits.dscp_packets:
        return
    if lan.ef >= limits.ef_share * lan.packets and vpn.best_effort >= limits.ef_share * vpn.packets:
        facts = [
            wire_fact(media.window, "ef_from_lan", lan.ef, lan.packets),
            wire_fact(media.window, "dscp_0_from_vpn", vpn.best_effort, vpn.packets),
        ]
        suffers = vpn.jitter_ms is not None and vpn.jitter_ms >= limits.jitter_ms
        if vpn.jitter_ms is not None:
            facts.append(wire_fact(media.window, "jitter_from_vpn", vpn.jitter_ms, unit="ms"))
        confidence = Confidence.MEDIUM if suffers else Confidence.LOW
        yield _finding(Row.REMARKED, (Domain.VPN,), tuple(facts), step=None, confidence=confidence)


def sender_clock(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """An RTP clock more than 100 ppm off ours, ours disciplined, others' not off with it: the endpoint's clock."""
    if evidence.wire is None or state_of(evidence, Step.CLOCK) is not State.OK:
        return
    media = evidence.wire.media
    clocks = [clock for leg in (media.from_lan, media.from_vpn, media.unplaced) for clock in leg.clocks]
    measured = [clock for clock in clocks if clock.span_s >= limits.drift_span_s]
    off = [clock for clock in measured if abs(clock.ppm) > limits.drift_ppm]
    others = {clock.sender for clock in measured} - {clock.sender for clock in off}
    if not off or (not others and len({clock.sender for clock in off}) > 1):
        return  # all of them off together: that is nobody's own clock
    worst = max(off, key=lambda clock: abs(clock.ppm))
    facts = (
        Fact(
            name="clock_off",
            count=worst.ppm,
            unit="ppm",
            point=wire_fact(media.window, "", 0).point,
            window=media.window,
            subject=worst.sender,
        ),
        wire_fact(media.window, "senders_off", len(off), len(measured)),
    )
    yield _finding(Row.SENDER_CLOCK, (Domain.ENDPOINT,), facts, step=None)


def dead_air(evidence: Evidence, _limits: Thresholds) -> Iterator[Finding]:
    """One octet all the time, 0xFF/0x7F or 0xD5/0x55: muted, or the analogue side is dead."""
    if evidence.wire is None:
        return
    media = evidence.wire.media
    for leg, domains in ((media.from_lan, (Domain.LAN,)), (media.from_vpn, (Domain.ENDPOINT,))):
        if leg.constant:
            facts = (wire_fact(media.window, "constant_streams", leg.constant, leg.streams),)
            all_of_several = leg.constant == leg.streams > 1
            confidence = Confidence.MEDIUM if all_of_several else Confidence.LOW
            yield _finding(Row.DEAD_AIR, domains, facts, step=None, confidence=confidence)


def _finding(
    row: Row,
    domains: Domains,
    facts: tuple[Fact, ...],
    *,
    step: Step | None = Step.RTP,
    confidence: Confidence = Confidence.HIGH,
) -> Finding:
    return Finding(row=row, domains=domains, confidence=confidence, basis=Basis.WIRE, step=step, evidence=facts)
