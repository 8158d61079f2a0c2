"""What answers from the management port: gateway, names, VPN next hop, carrier, broker, targets. Pure.

A rung that fails explains the rungs above it: they are not held against anybody.
"""

from collections.abc import Iterator

from appliance.diagnosis.domains import Domain, Domains
from appliance.diagnosis.evidence import Cause, Check, Evidence, Role, State, Step
from appliance.diagnosis.findings import Basis, Confidence, Fact, Finding, Row
from appliance.diagnosis.rules import ports
from appliance.diagnosis.rules.facts import check_facts, checks_of, ports_of, state_of, way_is_open, wire_fact
from appliance.diagnosis.thresholds import Thresholds

_LAN_OR_VPN: Domains = (Domain.LAN, Domain.VPN)
_ARP_STEPS = (Step.GATEWAY, Step.VPN_NEXT_HOP)


def arp_unanswered(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """ARP requests unanswered, asked by us or by others: lan, or the VPN router's LAN side.

    What others ask in vain counts unless we are answered. A management port that hears what is for others may hold the
    mirror's cable: it takes a moment until that can be told.
    """
    if state_of(evidence, Step.MANAGEMENT_LINK) is State.NG:
        return
    silent = [
        check
        for step in _ARP_STEPS
        for check in checks_of(evidence, step)
        if check.state is State.NG and check.cause is Cause.ARP_UNANSWERED
    ]
    flooded = any(ports.may_be_flooded(port, limits) for port in ports_of(evidence, Role.MANAGEMENT))
    if flooded:
        settled_ns = evidence.at_ns - round(limits.swap_s * 1e9)
        silent = [check for check in silent if check.window.begin_ns < settled_ns]
    facts = check_facts(*silent)
    arp = evidence.wire.arp if evidence.wire else None
    own = {state_of(evidence, step) for step in _ARP_STEPS}
    if arp is not None and arp.unanswered and not flooded and not own <= {State.OK, State.NOT_OBSERVABLE}:
        facts += (wire_fact(arp.window, "arp_unanswered", arp.unanswered, arp.asked),)
    if facts:
        step = silent[0].step if silent else Step.VPN_NEXT_HOP
        yield _finding(Row.ARP_UNANSWERED, _whose_gateway(evidence, step), facts, step, Cause.ARP_UNANSWERED)


def gateway_unreachable(evidence: Evidence, _limits: Thresholds) -> Iterator[Finding]:
    """The gateway has an address on the wire, and yet does not forward: the same people."""
    known = (Cause.ARP_UNANSWERED, Cause.NO_ROUTE, Cause.INTERFACE_MISSING)
    failed = [check for check in _failed(evidence, Step.GATEWAY) if check.cause not in known]
    if failed and state_of(evidence, Step.MANAGEMENT_LINK) is not State.NG:
        whose = _whose_gateway(evidence, Step.GATEWAY)
        yield _finding(Row.NEXT_HOP_GONE, whose, check_facts(*failed), Step.GATEWAY, failed[0].cause)


def _whose_gateway(evidence: Evidence, step: Step) -> Domains:
    """A VPN router that answers is not the gateway that is silent."""
    answers = step is Step.GATEWAY and state_of(evidence, Step.VPN_NEXT_HOP) is State.OK
    return (Domain.LAN,) if answers else _LAN_OR_VPN


def names(evidence: Evidence, _limits: Thresholds) -> Iterator[Finding]:
    """DNS gone: on our own network it is the customer's; further away it may be the way there."""
    failed = _failed(evidence, Step.DNS)
    if not failed or not way_is_open(evidence, failed):
        return
    near = any(check.is_on_link for check in failed)
    answers = any(check.state is State.OK for check in checks_of(evidence, Step.DNS))
    domains: Domains = (Domain.LAN,) if near else ()
    confidence = Confidence.LOW if answers else Confidence.HIGH if near else Confidence.LOW
    yield _finding(Row.DNS_GONE, domains, check_facts(*failed), Step.DNS, failed[0].cause, confidence)


def next_hop(evidence: Evidence, _limits: Thresholds) -> Iterator[Finding]:
    """The VPN next hop does not answer at all, nor does anything behind it: lan or vpn."""
    failed = [check for check in _failed(evidence, Step.VPN_NEXT_HOP) if check.cause is not Cause.ARP_UNANSWERED]
    if failed and way_is_open(evidence, failed) and not _is_heard(evidence, failed) and not _carrier_answers(evidence):
        yield _finding(Row.NEXT_HOP_GONE, _LAN_OR_VPN, check_facts(*failed), Step.VPN_NEXT_HOP, failed[0].cause)


def carrier(evidence: Evidence, _limits: Thresholds) -> Iterator[Finding]:
    """The carrier's endpoint answers to nothing, the VPN next hop does: vpn or carrier.

    What the mirror hears from beyond proves the way: then it is the probe that is not let through.
    """
    failed = _failed(evidence, Step.CARRIER)
    if not failed or _carrier_answers(evidence) or _is_heard(evidence, failed):
        return
    if not way_is_open(evidence, failed) or not _next_hop_was_there(evidence, failed):
        return
    facts = check_facts(*failed)
    yield _finding(Row.CARRIER_GONE, (Domain.VPN, Domain.CARRIER), facts, Step.CARRIER, failed[0].cause)


def services(evidence: Evidence, _limits: Thresholds) -> Iterator[Finding]:
    """Broker or delivery targets away while the way out is sound: whose they are cannot be observed from here."""
    for step, row in ((Step.BROKER, Row.BROKER_GONE), (Step.UPLOAD, Row.UPLOAD_GONE)):
        failed = _failed(evidence, step)
        nameless = all(check.cause is Cause.NAME_UNKNOWN for check in failed)
        explained = not way_is_open(evidence, failed) or (nameless and state_of(evidence, Step.DNS) is State.NG)
        if failed and not explained:
            yield _finding(row, (), check_facts(*failed), step, failed[0].cause, Confidence.LOW)


def _failed(evidence: Evidence, step: Step) -> list[Check]:
    return [check for check in checks_of(evidence, step) if check.state is State.NG]


def _next_hop_was_there(evidence: Evidence, failed: list[Check]) -> bool:
    """Whether the VPN router was there when the carrier was asked, or later; where it is not looked for, it is."""
    state = state_of(evidence, Step.VPN_NEXT_HOP)
    asked_ns = max(check.window.begin_ns for check in failed)
    seen = [check for check in checks_of(evidence, Step.VPN_NEXT_HOP) if check.window.end_ns >= asked_ns]
    return state is State.NOT_OBSERVABLE or (state is State.OK and bool(seen))


def _carrier_answers(evidence: Evidence) -> bool:
    return any(check.state is State.OK for check in checks_of(evidence, Step.CARRIER))


def _is_heard(evidence: Evidence, failed: list[Check]) -> bool:
    """Whether the mirror heard something from beyond since the probes failed."""
    return evidence.wire is not None and evidence.wire.last_from_vpn_ns > max(c.window.begin_ns for c in failed)


def _finding(
    row: Row,
    domains: Domains,
    facts: tuple[Fact, ...],
    step: Step,
    cause: Cause,
    confidence: Confidence = Confidence.HIGH,
) -> Finding:
    return Finding(
        row=row, domains=domains, confidence=confidence, basis=Basis.CHECK, step=step, evidence=facts, cause=cause
    )
