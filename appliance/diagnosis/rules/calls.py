"""Answered calls by their media: none, one way, or all of them over after the same time. Pure."""

from collections.abc import Iterator

from appliance.diagnosis.domains import Domain, Domains
from appliance.diagnosis.evidence import CallsSeen, Evidence, Step, Wire
from appliance.diagnosis.findings import Basis, Confidence, Fact, Finding, Row
from appliance.diagnosis.rules.facts import wire_fact
from appliance.diagnosis.thresholds import Thresholds


def missing_media(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """SIP is fine and RTP is not there, or one side of it is not.

    SIP on a VLAN that has no RTP, or has only one side's: mirror. No RTP at all in calls that last: mirror, media
    bypasses the tap; in calls that end within seconds: lan. One side: that side.
    """
    wire = evidence.wire
    if wire is None:
        return
    calls, least = wire.calls, _least(wire.calls, limits)
    if calls.silent_long >= least:
        row = Row.VLAN_MISSING if any(wire.sip.vlans) else Row.MEDIA_BYPASSES
        yield _finding(row, (Domain.MIRROR,), (_count(calls, "calls_without_media", calls.silent_long), *_vlans(wire)))
    elif calls.silent_short >= least:
        facts = (_count(calls, "calls_without_media_short", calls.silent_short),)
        yield _finding(Row.NO_MEDIA, (Domain.LAN,), facts)
    yield from _one_sided(wire, limits)


def _one_sided(wire: Wire, limits: Thresholds) -> Iterator[Finding]:
    calls, least = wire.calls, _least(wire.calls, limits)
    if calls.vlan_apart >= least:
        facts = (_count(calls, "calls_one_way", calls.vlan_apart), *_vlans(wire))
        yield _finding(Row.VLAN_MISSING, (Domain.MIRROR,), facts)
    one_sided = calls.lan_missing + calls.vpn_missing + calls.one_way_unplaced
    nowhere = wire_fact(calls.window, "private_address_in_sdp", calls.nowhere, one_sided)
    if calls.lan_missing >= least:
        facts = (_count(calls, "calls_without_lan_media", calls.lan_missing), nowhere)
        yield _finding(Row.LAN_SILENT, (Domain.LAN,), facts)
    if calls.vpn_missing >= least and calls.nowhere >= least:
        # They answer to where they were told to: an address behind a NAT, which is not known there.
        facts = (_count(calls, "calls_without_vpn_media", calls.vpn_missing), nowhere)
        yield _finding(Row.NAT_IN_SDP, (Domain.LAN,), facts)
    elif calls.vpn_missing >= least and wire.media.from_lan.packets:
        leaves = wire_fact(wire.media.window, "packets_from_lan", wire.media.from_lan.packets)
        facts = (_count(calls, "calls_without_vpn_media", calls.vpn_missing), leaves)
        yield _finding(Row.VPN_SILENT, (Domain.VPN, Domain.CARRIER), facts)
    if calls.one_way_unplaced >= least:
        facts = (_count(calls, "calls_one_way", calls.one_way_unplaced),)
        yield _finding(Row.ONE_WAY_UNPLACED, (), facts, confidence=Confidence.LOW)


def equal_durations(evidence: Evidence, limits: Thresholds) -> Iterator[Finding]:
    """No call outlasts a time at which several end: session timer, or a firewall that forgets: lan."""
    if evidence.wire is None:
        return
    calls = evidence.wire.calls
    longest = max(calls.durations_s, default=0.0)
    equal = [each for each in calls.durations_s if each >= longest - limits.equal_spread_s]
    if longest >= limits.equal_shortest_s and len(equal) >= limits.equal_calls:
        facts = (
            wire_fact(calls.window, "calls_of_equal_length", len(equal), len(calls.durations_s)),
            wire_fact(calls.window, "their_length", sum(equal) / len(equal), unit="s"),
        )
        yield _finding(Row.EQUAL_DURATIONS, (Domain.LAN,), facts, step=None, confidence=Confidence.MEDIUM)


def _least(calls: CallsSeen, limits: Thresholds) -> float:
    """So many calls are more than an accident."""
    return max(1.0, limits.call_share * calls.answered)


def _count(calls: CallsSeen, name: str, count: int) -> Fact:
    return wire_fact(calls.window, name, count, calls.answered)


def _vlans(wire: Wire) -> tuple[Fact, ...]:
    media = wire.media
    seen = sorted({vlan for leg in (media.from_lan, media.from_vpn, media.unplaced) for vlan in leg.vlans})
    return (
        *(wire_fact(wire.sip.window, "sip_vlan", vlan) for vlan in wire.sip.vlans),
        *(wire_fact(media.window, "rtp_vlan", vlan) for vlan in seen),
    )


def _finding(
    row: Row,
    domains: Domains,
    facts: tuple[Fact, ...],
    *,
    step: Step | None = Step.RTP,
    confidence: Confidence = Confidence.HIGH,
) -> Finding:
    return Finding(row=row, domains=domains, confidence=confidence, basis=Basis.WIRE, step=step, evidence=facts)
