"""The ladder: every rung with its state, from checks where there are any, else from ports and the mirror. Pure."""

from collections.abc import Callable, Iterable

from appliance.diagnosis.evidence import Cause, Evidence, Port, Role, State, Step, Wire
from appliance.diagnosis.findings import Finding, Rung
from appliance.diagnosis.rules.facts import checks_of, ports_of, state_of


def ladder(evidence: Evidence, found: Iterable[Finding]) -> tuple[Rung, ...]:
    """Return every rung, bottom up. A finding fails its rung, whatever was measured there."""
    failed = {finding.step for finding in found}
    return tuple(
        Rung(
            step=step,
            state=State.NG if step in failed else _state(evidence, step),
            checks=tuple(checks_of(evidence, step)),
        )
        for step in Step
    )


def _state(evidence: Evidence, step: Step) -> State:
    if any(check.cause is not Cause.NOT_CONFIGURED for check in checks_of(evidence, step)):
        return state_of(evidence, step)
    spans, wire = ports_of(evidence, Role.SPAN), evidence.wire
    match step:
        case Step.SPAN_LINK:
            return _known(spans, lambda port: None if port.link_up is None else port.link_up)
        case Step.FRAMES:
            return _known(spans, lambda port: None if port.received is None else True)
        case Step.CAPTURE:
            return _known(spans, lambda port: None if port.kernel_drops is None else port.kernel_drops == 0)
        case Step.BOTH_DIRECTIONS:
            return _both_directions(wire)
        case Step.SIP:
            return State.UNKNOWN if wire is None else State.OK if wire.sip.messages else State.NOT_OBSERVABLE
        case Step.RTP:
            return State.UNKNOWN if wire is None else State.OK if _has_rtp(wire) else State.NOT_OBSERVABLE
        case _:
            return state_of(evidence, step)


def _known(ports: list[Port], is_right: Callable[[Port], bool | None]) -> State:
    """What several ports come to: one that is wrong decides, then one of which nothing is known."""
    answers = {is_right(port) for port in ports}
    if False in answers:
        return State.NG
    return State.OK if answers == {True} else State.UNKNOWN


def _both_directions(wire: Wire | None) -> State:
    """Without conversations there is nothing to be seen of directions: at night that is no reproach."""
    if wire is None:
        return State.UNKNOWN
    seen = (wire.sip.conversations, wire.media.conversations)
    return State.OK if any(each.pairs > each.one_way for each in seen) else State.NOT_OBSERVABLE


def _has_rtp(wire: Wire) -> bool:
    return any(leg.packets for leg in (wire.media.from_lan, wire.media.from_vpn, wire.media.unplaced))
