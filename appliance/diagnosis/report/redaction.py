"""What of evidence is the carrier's own business: its equipment. Named by numbers unless asked otherwise. Pure."""

from dataclasses import replace

from appliance.diagnosis.evidence import Check, Evidence, Final, Leg, MediaSeen, SipSeen, Step, Wire


def redacted(evidence: Evidence) -> Evidence:
    """Return the same evidence, the carrier's equipment named by numbers only. A verdict of it is the same."""
    checks, number = [], 0
    for check in evidence.checks:
        if check.step is Step.CARRIER and check.target:
            number += 1
            checks.append(_named(check, f"#{number}"))
        else:
            checks.append(check)
    return replace(evidence, checks=tuple(checks), wire=redacted_wire(evidence.wire) if evidence.wire else None)


def _named(check: Check, name: str) -> Check:
    port = check.target.rpartition(":")[2]
    return replace(check, target=f"{name}:{port}" if ":" in check.target else name)


def redacted_wire(wire: Wire) -> Wire:
    """Likewise, of what the mirror showed."""
    return replace(wire, sip=_sip(wire.sip), media=_media(wire.media))


def _sip(sip: SipSeen) -> SipSeen:
    return replace(sip, finals=tuple(_final(final) for final in sip.finals))


def _final(final: Final) -> Final:
    return final if final.from_lan else replace(final, servers=())


def _media(media: MediaSeen) -> MediaSeen:
    return replace(media, from_vpn=_leg(media.from_vpn), unplaced=_leg(media.unplaced))


def _leg(leg: Leg) -> Leg:
    clocks = tuple(replace(clock, sender=f"#{number}") for number, clock in enumerate(leg.clocks, 1))
    return replace(leg, clocks=clocks)
