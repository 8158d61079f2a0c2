"""Links and frames: what can be said before a single packet is understood. Pure."""

from collections.abc import Iterator

from appliance.diagnosis.domains import Domain, Domains
from appliance.diagnosis.evidence import Cause, Evidence, Port, Role, State, Step
from appliance.diagnosis.findings import Basis, Confidence, Fact, Finding, Row
from appliance.diagnosis.rules.facts import check_facts, checks_of, port_fact, ports_of, state_of, wire_fact
from appliance.diagnosis.thresholds import Thresholds


def span_in_management(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """The management port hears others' traffic and nobody answers, the mirror port hears none: cables are swapped."""
    if state_of(evidence, Step.GATEWAY) is not State.NG:
        return
    spans = ports_of(evidence, Role.SPAN)
    if not spans or not all(_shows_little(port, limits) for port in spans):
        return
    for port in ports_of(evidence, Role.MANAGEMENT):
        if is_flooded(port, limits):
            gateway = check_facts(*(check for check in checks_of(evidence, Step.GATEWAY) if check.state is State.NG))
            shown = tuple(port_fact(span, "frames", span.received or 0) for span in spans)
            yield _finding(
                Row.SPAN_IN_MANAGEMENT,
                (Domain.MIRROR,),
                Step.SPAN_LINK,
                (port_fact(port, "foreign_frames", port.foreign or 0, port.received), *gateway, *shown),
            )


def is_flooded(port: Port, limits: Thresholds) -> bool:
    """Whether a port hears what is for others, as a mirror port does."""
    return _hears_others(port, limits, limits.foreign_frames)


def may_be_flooded(port: Port, limits: Thresholds) -> bool:
    """Whether a port hears so much for others that more of it would make it flooded."""
    return _hears_others(port, limits, limits.foreign_some)


def _hears_others(port: Port, limits: Thresholds, least: int) -> bool:
    return bool(port.link_up) and (port.foreign or 0) >= max(least, limits.foreign_share * (port.received or 0))


def _shows_little(port: Port, limits: Thresholds) -> bool:
    """Nothing to one station for a moment: with the management port as it is, that is enough."""
    quiet_s = max(port.silent_s or 0, port.no_unicast_s or 0)
    return port.link_up is False or quiet_s >= limits.little_s


def span_link_down(evidence: Evidence, _limits: Thresholds) -> Iterator[Finding]:
    """SPAN link down: mirror. Both links down: whatever both cables end in, the customer's switch."""
    down = [port for port in ports_of(evidence, Role.SPAN) if port.link_up is False]
    if down and state_of(evidence, Step.MANAGEMENT_LINK) is not State.NG:
        facts = tuple(port_fact(port, "link_down", 1, 1) for port in down)
        yield _finding(Row.SPAN_LINK_DOWN, (Domain.MIRROR,), Step.SPAN_LINK, facts)


def management_down(evidence: Evidence, _limits: Thresholds) -> Iterator[Finding]:
    """No link at the management port: cable or switch, the customer's."""
    down = [check for check in checks_of(evidence, Step.MANAGEMENT_LINK) if check.state is State.NG]
    down = [check for check in down if check.cause is not Cause.INTERFACE_MISSING]
    if not down:
        return
    spans = [port for port in ports_of(evidence, Role.SPAN) if port.link_up is False]
    facts = (*check_facts(*down), *(port_fact(port, "link_down", 1, 1) for port in spans))
    yield _finding(
        Row.MANAGEMENT_DOWN, (Domain.LAN,), Step.MANAGEMENT_LINK, facts, basis=Basis.CHECK, cause=down[0].cause
    )


def no_frames(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """No frames at all while the management LAN is fine: mirror."""
    if State.NG in (state_of(evidence, Step.MANAGEMENT_LINK), state_of(evidence, Step.GATEWAY)):
        return
    empty = [port for port in ports_of(evidence, Role.SPAN) if port.link_up is not False and _is_empty(port, limits)]
    if empty:
        facts = tuple(port_fact(port, "silent", port.silent_s or 0, unit="s") for port in empty)
        yield _finding(Row.NO_FRAMES, (Domain.MIRROR,), Step.FRAMES, facts)


def only_group(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """Only broadcast and multicast: the source was removed, the port is back in normal mode: mirror."""
    ordinary = [port for port in ports_of(evidence, Role.SPAN) if _is_group_only(port, limits)]
    if ordinary:
        facts = tuple(
            fact
            for port in ordinary
            for fact in (
                port_fact(port, "no_unicast", port.no_unicast_s or 0, unit="s"),
                port_fact(port, "group_frames", port.group or 0),
            )
        )
        yield _finding(Row.ONLY_GROUP, (Domain.MIRROR,), Step.FRAMES, facts)


def _is_empty(port: Port, limits: Thresholds) -> bool:
    least_s = max(limits.silent_s, limits.usual * port.usual_silence_s)
    return port.silent_s is not None and port.silent_s >= least_s


def _is_group_only(port: Port, limits: Thresholds) -> bool:
    return (
        port.link_up is not False
        and port.no_unicast_s is not None
        and port.no_unicast_s >= max(limits.no_unicast_s, limits.usual * port.usual_no_unicast_s)
        and (port.group or 0) >= limits.group_frames
    )


def line_errors(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """Checksum or alignment errors that rise, or half duplex: cable, adapter or switch port: lan."""
    facts: list[Fact] = []
    concerned = None
    for port in evidence.ports:
        if port.link_up is False:
            continue
        before = len(facts)
        errors = (("crc_errors", port.crc_errors or 0), ("alignment_errors", port.alignment_errors or 0))
        facts += [port_fact(port, name, count, port.received) for name, count in errors if count >= limits.line_errors]
        if port.full_duplex is False:
            facts.append(port_fact(port, "half_duplex", 1, 1))
        if len(facts) > before and concerned is not Step.SPAN_LINK:
            concerned = Step.SPAN_LINK if port.role is Role.SPAN else Step.MANAGEMENT_LINK
    if facts:
        yield _finding(Row.LINE_ERRORS, (Domain.LAN,), concerned, tuple(facts))


def one_direction(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """One direction only, for SIP and RTP alike: the session is set to rx-only or tx-only: mirror."""
    if evidence.wire is None:
        return
    sip, media = evidence.wire.sip, evidence.wire.media
    # An INVITE that nobody answers goes one way too: it takes media to tell the two apart.
    if not sip.conversations.pairs or media.conversations.packets < limits.pairs_packets:
        return
    if any(seen.one_way < seen.pairs for seen in (sip.conversations, media.conversations)):
        return
    facts = (
        wire_fact(sip.window, "sip_one_way", sip.conversations.one_way, sip.conversations.pairs),
        wire_fact(media.window, "rtp_one_way", media.conversations.one_way, media.conversations.pairs),
    )
    yield _finding(Row.ONE_DIRECTION, (Domain.MIRROR,), Step.BOTH_DIRECTIONS, facts, basis=Basis.WIRE)


def doubled(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """Every packet twice within about 1 ms: both directions of two ports are mirrored: mirror, a warning."""
    if evidence.wire is None:
        return
    media = evidence.wire.media
    legs = (media.from_lan, media.from_vpn, media.unplaced)
    twice, packets = sum(leg.doubled for leg in legs), sum(leg.packets for leg in legs)
    if packets >= limits.doubled_packets and twice >= limits.doubled_share * packets:
        facts = (wire_fact(media.window, "doubled_packets", twice, packets),)
        yield _finding(Row.DOUBLED, (Domain.MIRROR,), None, facts, basis=Basis.WIRE)


def _finding(
    row: Row,
    domains: Domains,
    step: Step | None,
    facts: tuple[Fact, ...],
    *,
    basis: Basis = Basis.PORT,
    cause: Cause = Cause.NONE,
) -> Finding:
    return Finding(
        row=row, domains=domains, confidence=Confidence.HIGH, basis=basis, step=step, evidence=facts, cause=cause
    )
