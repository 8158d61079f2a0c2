"""Evidence as the facts of a finding: each with its count, measurement point and window. Pure."""

from collections.abc import Iterator

from appliance.diagnosis.evidence import Check, Evidence, Point, Port, Role, State, Step, Window
from appliance.diagnosis.findings import Fact

_MEASURED_AT = {
    Step.MANAGEMENT_LINK: Point.MANAGEMENT,
    Step.GATEWAY: Point.MANAGEMENT,
    Step.DNS: Point.MANAGEMENT,
    Step.VPN_NEXT_HOP: Point.MANAGEMENT,
    Step.CARRIER: Point.MANAGEMENT,
    Step.BROKER: Point.MANAGEMENT,
    Step.UPLOAD: Point.MANAGEMENT,
    Step.SPAN_LINK: Point.SPAN,
    Step.FRAMES: Point.SPAN,
    Step.BOTH_DIRECTIONS: Point.SPAN,
}


def check_facts(*checks: Check) -> tuple[Fact, ...]:
    """What checks measured; one that has no figures says how often it failed."""
    return tuple(fact for check in checks for fact in _check_facts(check))


def _check_facts(check: Check) -> Iterator[Fact]:
    point = _MEASURED_AT.get(check.step, Point.APPLIANCE)
    if not check.figures:
        yield Fact(name="checks_failed", count=1, of=1, point=point, window=check.window, subject=check.target)
    for figure in check.figures:
        yield Fact(
            name=figure.name,
            count=figure.value,
            of=figure.of,
            unit=figure.unit,
            point=point,
            window=check.window,
            subject=check.target,
        )


def port_fact(port: Port, name: str, count: float, of: float | None = None, unit: str = "") -> Fact:
    """A number of a port."""
    point = Point.SPAN if port.role is Role.SPAN else Point.MANAGEMENT
    return Fact(name=name, count=count, of=of, unit=unit, point=point, window=port.window, subject=port.name)


def wire_fact(window: Window, name: str, count: float, of: float | None = None, unit: str = "") -> Fact:
    """A number that the mirror showed."""
    return Fact(name=name, count=count, of=of, unit=unit, point=Point.SPAN, window=window)


def checks_of(evidence: Evidence, step: Step) -> list[Check]:
    """What was tried on a rung."""
    return [check for check in evidence.checks if check.step is step]


def state_of(evidence: Evidence, step: Step) -> State:
    """What a rung that is checked came to: the worst of its checks; unknown when there is none."""
    states = {check.state for check in checks_of(evidence, step)}
    worst = (State.NG, State.UNKNOWN, State.OK, State.NOT_OBSERVABLE)
    return next((state for state in worst if state in states), State.UNKNOWN)


def way_is_open(evidence: Evidence, failed: list[Check]) -> bool:
    """Whether the gateway was there when these were asked, or later: what fails for want of it is nobody else's.

    While it is being looked for, nothing is said of what lies behind it.
    """
    if state_of(evidence, Step.MANAGEMENT_LINK) is State.NG:
        return False
    gateway = state_of(evidence, Step.GATEWAY)
    asked_ns = max((check.window.begin_ns for check in failed), default=0)
    seen = [check for check in checks_of(evidence, Step.GATEWAY) if check.window.end_ns >= asked_ns]
    return gateway is State.NOT_OBSERVABLE or (gateway is State.OK and bool(seen))


def ports_of(evidence: Evidence, role: Role) -> list[Port]:
    """The ports with a role."""
    return [port for port in evidence.ports if port.role is role]
