"""The box itself: power, disk, memory, heat, clock, certificates, its own pipeline. Always the appliance. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from appliance.diagnosis.domains import Domain
from appliance.diagnosis.evidence import Cause, Check, Evidence, Port, Role, State, Step
from appliance.diagnosis.findings import Basis, Confidence, Fact, Finding, Row
from appliance.diagnosis.rules.facts import check_facts, port_fact, state_of, way_is_open
from appliance.diagnosis.thresholds import Thresholds

_ROWS: Final[Mapping[Step, Row]] = {
    Step.POWER: Row.POWER_LOW,
    Step.SMART: Row.DISK_FAILING,
    Step.FILESYSTEM: Row.DISK_UNUSABLE,
    Step.MEMORY: Row.MEMORY_LOW,
    Step.TEMPERATURE: Row.TOO_HOT,
    Step.CLOCK: Row.CLOCK_WRONG,
    Step.CERTIFICATES: Row.CERTIFICATE_EXPIRED,
    Step.PIPELINE: Row.PIPELINE_FAILED,
    Step.DISK_WRITE: Row.DISK_DIFFERS,
}


def own_checks(evidence: Evidence, _limits: Thresholds) -> Iterator[Finding]:
    """NTP lost or the time stepped, disk full, SMART ...: appliance.

    Time servers that do not answer are no trouble of the clock's own while the way out is cut.
    """
    for check in evidence.checks:
        if check.step is Step.CLOCK and check.cause is Cause.TIMEOUT and not way_is_open(evidence, [check]):
            continue
        if check.state is State.NG and check.step in _ROWS:
            yield _appliance(_ROWS[check.step], check)
        elif check.state is State.NG and check.cause is Cause.NOT_RUNNING and _can_tell(evidence):
            yield _appliance(Row.RECORDER_STOPPED, check)


def _can_tell(evidence: Evidence) -> bool:
    """Whether a recorder that says nothing could: on a full disk there is no room for its word."""
    return state_of(evidence, Step.FILESYSTEM) is not State.NG


def missing_interface(evidence: Evidence, _limits: Thresholds) -> Iterator[Finding]:
    """A port that the configuration names and the box does not have, or an address that it lost: appliance."""
    for check in evidence.checks:
        if check.state is State.NG and check.cause is Cause.INTERFACE_MISSING:
            yield _appliance(Row.INTERFACE_MISSING, check)
        elif check.state is State.NG and check.step is Step.GATEWAY and check.cause is Cause.NO_ROUTE:
            yield _appliance(Row.NO_ADDRESS, check)


def overload(evidence: Evidence, _limits: Thresholds) -> Iterator[Finding]:
    """Kernel or adapter drops, whatever the gaps look like: appliance, and never anybody else."""
    dropping = [port for port in evidence.ports if port.role is Role.SPAN and _drops(port) > 0]
    if not dropping:
        return
    media = evidence.wire.media if evidence.wire else None
    together = media is not None and media.shared_bins > 0
    yield Finding(
        row=Row.OVERLOAD,
        domains=(Domain.APPLIANCE,),
        confidence=Confidence.HIGH if together else Confidence.MEDIUM,
        basis=Basis.PORT,
        step=Step.CAPTURE,
        cause=Cause.DROPS,
        evidence=tuple(_drop_facts(dropping)),
    )


def _drops(port: Port) -> int:
    return (port.kernel_drops or 0) + (port.nic_drops or 0)


def _drop_facts(ports: list[Port]) -> Iterator[Fact]:
    for port in ports:
        if port.kernel_drops:
            yield port_fact(port, "kernel_drops", port.kernel_drops, port.received)
        if port.nic_drops:
            yield port_fact(port, "nic_drops", port.nic_drops, port.received)


def _appliance(row: Row, check: Check) -> Finding:
    return Finding(
        row=row,
        domains=(Domain.APPLIANCE,),
        confidence=Confidence.HIGH,
        basis=Basis.CHECK,
        step=check.step,
        cause=check.cause,
        evidence=check_facts(check),
    )
