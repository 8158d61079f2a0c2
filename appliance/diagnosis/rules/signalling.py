"""SIP as the mirror showed it: who does not answer, who refuses, who fails. Pure."""

from collections.abc import Callable, Iterator

from appliance.diagnosis.domains import Domain, Domains
from appliance.diagnosis.evidence import Evidence, Final, SipSeen, State, Step
from appliance.diagnosis.findings import Basis, Confidence, Fact, Finding, Row
from appliance.diagnosis.rules.facts import state_of, wire_fact
from appliance.diagnosis.thresholds import Thresholds

_NOT_REACHED = (408, 480)
_FORBIDDEN = 403


def unanswered(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """INVITE out, repeated, nothing back for 32 s: vpn or carrier. In: lan, it is their PBX that is silent.

    Where the way out is known to be cut nearer by, that is the finding (`reach`).
    """
    if evidence.wire is None:
        return
    sip = evidence.wire.sip
    arp = evidence.wire.arp
    cut = state_of(evidence, Step.VPN_NEXT_HOP) is State.NG or (arp is not None and arp.unanswered > 0)
    if sip.unanswered_out >= max(1.0, limits.unanswered_share * sip.invites_out) and not cut:
        facts = (wire_fact(sip.window, "invites_unanswered", sip.unanswered_out, sip.invites_out),)
        yield _finding(Row.UNANSWERED, (Domain.VPN, Domain.CARRIER), facts)
    if sip.unanswered_in >= max(1.0, limits.unanswered_share * sip.invites_in):
        facts = (wire_fact(sip.window, "invites_unanswered", sip.unanswered_in, sip.invites_in),)
        yield _finding(Row.LAN_UNANSWERED, (Domain.LAN,), facts)
    if sip.unanswered_unplaced:
        facts = (wire_fact(sip.window, "invites_unanswered", sip.unanswered_unplaced),)
        yield _finding(Row.UNANSWERED_UNPLACED, (), facts, confidence=Confidence.LOW)


def finals(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """5xx, 408 and 480, 403: whoever answered, where that is known."""
    if evidence.wire is None:
        return
    sip = evidence.wire.sip
    for from_lan in (True, False):
        mine = [final for final in sip.finals if final.from_lan is from_lan]
        total = sum(final.count for final in mine)
        for is_meant, least, row, domains in _meanings(limits, total, from_lan=from_lan):
            chosen = [final for final in mine if is_meant(final.status)]
            count = sum(final.count for final in chosen)
            if count >= least:
                facts = tuple(_fact(sip, final, total) for final in chosen)
                if row is Row.NOT_REACHED and max(final.callees for final in chosen) < 2:
                    domains = (*domains, Domain.ENDPOINT)  # one destination alone may be switched off
                yield _finding(row, domains, facts)


def _meanings(
    limits: Thresholds, total: int, *, from_lan: bool
) -> Iterator[tuple[Callable[[int], bool], float, Row, Domains]]:
    lan: Domains = (Domain.LAN,)
    yield (
        lambda status: 500 <= status < 600,
        max(1.0, limits.error_share * total),
        Row.LAN_ERROR if from_lan else Row.SERVER_ERROR,
        lan if from_lan else (Domain.CARRIER,),
    )
    yield (
        lambda status: status in _NOT_REACHED,
        max(limits.not_reached, limits.not_reached_share * total),
        Row.LAN_NOT_REACHED if from_lan else Row.NOT_REACHED,
        lan if from_lan else (Domain.CARRIER,),
    )
    # Refused by beyond: the contract is the carrier's, the credentials lie in the PBX, which is looked at first.
    yield (
        lambda status: status == _FORBIDDEN,
        max(1.0, limits.refused_share * total),
        Row.LAN_REFUSES if from_lan else Row.REFUSED,
        lan if from_lan else (Domain.LAN, Domain.CARRIER),
    )


def challenge_loops(evidence: Evidence, _limits: Thresholds) -> Iterator[Finding]:
    """401 or 407 again and again in spite of credentials: contract or credentials."""
    if evidence.wire is None:
        return
    sip = evidence.wire.sip
    if sip.challenge_loops_out:
        facts = (wire_fact(sip.window, "challenge_loops", sip.challenge_loops_out),)
        yield _finding(Row.REFUSED, (Domain.LAN, Domain.CARRIER), facts)
    if sip.challenge_loops_in:
        facts = (wire_fact(sip.window, "challenge_loops", sip.challenge_loops_in),)
        yield _finding(Row.LAN_REFUSES, (Domain.LAN,), facts)


def no_ack(evidence: Evidence, _limits: Thresholds) -> Iterator[Finding]:
    """200 OK repeated, no ACK, dropped at 32 s: Contact, Record-Route or NAT: lan or vpn."""
    if evidence.wire is not None and evidence.wire.sip.unacknowledged:
        sip = evidence.wire.sip
        facts = (wire_fact(sip.window, "answers_without_ack", sip.unacknowledged),)
        yield _finding(Row.NO_ACK, (Domain.LAN, Domain.VPN), facts)


def _fact(sip: SipSeen, final: Final, total: int) -> Fact:
    fact = wire_fact(sip.window, f"status_{final.status}", final.count, total)
    return Fact(
        name=fact.name,
        count=fact.count,
        of=fact.of,
        point=fact.point,
        window=fact.window,
        subject=", ".join(final.servers),
    )


def _finding(
    row: Row, domains: Domains, facts: tuple[Fact, ...], *, confidence: Confidence = Confidence.HIGH
) -> Finding:
    return Finding(row=row, domains=domains, confidence=confidence, basis=Basis.WIRE, step=Step.SIP, evidence=facts)
