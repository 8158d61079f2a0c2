"""Findings of the diagnosis as alarms: by what was recognised, never by a text. Pure.

What a nearer source tells better is left to it: the archive's own condition, the connection to the broker,
certificates. A suspicion that the verdict withholds raises nothing.
"""

from collections.abc import Iterable
from typing import Final

from appliance.alarms.alarm import AlarmKey, Condition, Fact
from appliance.alarms.kind import AlarmName, Severity
from appliance.diagnosis.evidence import Port, Role, Step
from appliance.diagnosis.findings import Finding, Row

SOURCE = "diagnosis"
TOLD_ELSEWHERE: Final = frozenset(
    {
        Row.DISK_FAILING,
        Row.CLOCK_WRONG,
        Row.CERTIFICATE_EXPIRED,
        Row.BROKER_GONE,
        Row.ONE_WAY_UNPLACED,
        Row.SPAN_LINK_DOWN,
    }
)
_PORTS: Final = {
    Row.NO_FRAMES: (AlarmName.NO_FRAMES, "nothing"),
    Row.ONLY_GROUP: (AlarmName.NO_FRAMES, "only_group"),
    Row.OVERLOAD: (AlarmName.CAPTURE_LOSS, ""),
}
"""One alarm for each port concerned."""
_BOX: Final = {
    Row.ONE_DIRECTION: (AlarmName.ONE_WAY_MIRROR, "span"),
    Row.DOUBLED: (AlarmName.DOUBLED_MIRROR, "span"),
    Row.DISK_UNUSABLE: (AlarmName.VOLUME_MISSING, "file system"),
    Row.DISK_DIFFERS: (AlarmName.DISK_HEALTH, "what is read back"),
    Row.TOO_HOT: (AlarmName.TEMPERATURE, "box"),
    Row.PIPELINE_FAILED: (AlarmName.SELF_TEST_FAILED, "recording path"),
    Row.MANAGEMENT_DOWN: (AlarmName.GATEWAY_UNREACHABLE, "management port"),
    Row.CARRIER_GONE: (AlarmName.CARRIER_UNREACHABLE, "carrier"),
}
_BY_STEP: Final = {
    Step.GATEWAY: (AlarmName.GATEWAY_UNREACHABLE, "gateway"),
    Step.VPN_NEXT_HOP: (AlarmName.VPN_UNREACHABLE, "vpn next hop"),
}
"""Of what does not answer, by the rung of the ladder."""
_UNANSWERED: Final = (Row.ARP_UNANSWERED, Row.NEXT_HOP_GONE)
_SUSPECTS: Final = frozenset({Row.REMARKED, Row.SENDER_CLOCK, Row.DEAD_AIR, Row.EQUAL_DURATIONS})


def conditions(findings: Iterable[Finding]) -> list[Condition]:
    """What the spoken findings of a verdict raise; one condition a key."""
    found: dict[AlarmKey, Condition] = {}
    for finding in findings:
        for condition in _of(finding):
            found.setdefault(condition.key, condition)
    return list(found.values())


def ports(seen: Iterable[Port]) -> list[Condition]:
    """Mirror ports without a link, whoever is to blame."""
    return [
        Condition(key=AlarmKey(resource=f"span:{port.name}", name=AlarmName.MIRROR_PORT_DOWN))
        for port in seen
        if port.role is Role.SPAN and port.link_up is False
    ]


def _of(finding: Finding) -> list[Condition]:
    row = finding.row
    if row in TOLD_ELSEWHERE:
        return []
    if row in _PORTS:
        name, qualifier = _PORTS[row]
        ports = dict.fromkeys(fact.subject for fact in finding.evidence if fact.subject)
        keys = [AlarmKey(resource=f"span:{port}", name=name, qualifier=qualifier) for port in ports or ("",)]
        return [Condition(key=key, facts=_facts(finding, key.resource.removeprefix("span:"))) for key in keys]
    if row in _UNANSWERED and finding.step in _BY_STEP:
        name, resource = _BY_STEP[finding.step]
        return [Condition(key=AlarmKey(resource=resource, name=name), facts=_facts(finding))]
    if row in _BOX:
        name, resource = _BOX[row]
        return [Condition(key=AlarmKey(resource=resource, name=name), facts=_facts(finding))]
    key = AlarmKey(resource="path", name=AlarmName.FAULT_ISOLATED, qualifier=row)
    severity = Severity.WARNING if row in _SUSPECTS else None
    return [Condition(key=key, severity=severity, facts=_facts(finding))]


def _facts(finding: Finding, subject: str = "") -> dict[str, Fact]:
    """The numbers, without what was tried: of a carrier that is confidential."""
    facts: dict[str, Fact] = {
        "domains": " or ".join(finding.domains) or "not observable",
        "confidence": finding.confidence.name.lower(),
    }
    if finding.cause:
        facts["cause"] = str(finding.cause)
    for fact in finding.evidence:
        if not subject or fact.subject == subject:
            facts[fact.name] = fact.count
            if fact.of is not None:
                facts[f"{fact.name}_of"] = fact.of
    return facts
