"""The NOC's broker: whether its address answers and TLS comes about; and this box's own certificates."""

import ssl
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from appliance.condition import observed
from appliance.diagnosis.evidence import Cause, Check, Figure, State, Step, Window
from appliance.diagnosis.probes import causes, sockets
from appliance.diagnosis.probes.wayout import WayOut
from appliance.errors import CertificateError
from appliance.telemetry import certificates
from appliance.telemetry.settings import MqttSettings
from uploader import status as upload_status
from uploader.status import TargetStatus, UploadStatus

WAIT_S = 4.0
SOON_DAYS = 30
STATUS_NS = 300_000_000_000
"""The uploader says every minute or so how it stands."""
FAILURES = 3
"""So many in a row are no accident."""


def broker(settings: MqttSettings, way: WayOut) -> Check:
    """Connect to the broker as far as TLS; MQTT itself is the agent's."""
    if not settings.host:
        return Check(step=Step.BROKER, state=State.NOT_OBSERVABLE, cause=Cause.NOT_CONFIGURED)
    target = f"{settings.host}:{settings.port}"
    try:
        opened, _ = sockets.connect(settings.host, settings.port, way.interface, WAIT_S)
        with opened:
            if settings.tls:
                with certificates.context(settings).wrap_socket(opened, server_hostname=settings.host):
                    pass
    except CertificateError:
        return Check(step=Step.BROKER, state=State.UNKNOWN, cause=Cause.UNREADABLE, target=target)
    except (ssl.SSLError, OSError) as error:
        return Check(step=Step.BROKER, state=State.NG, cause=causes.of(error), target=target)
    return Check(step=Step.BROKER, state=State.OK, target=target)


def targets(run: Path, names: Iterable[str]) -> list[Check]:
    """What the uploader says of its targets: it connects to them itself, and asking twice would be once too often."""
    wanted = tuple(names)
    if not wanted:
        return [Check(step=Step.UPLOAD, state=State.NOT_OBSERVABLE, cause=Cause.NOT_CONFIGURED)]
    status = observed.read(run, upload_status.NAME, UploadStatus)
    if status is None or time.time_ns() - status.at_ns > STATUS_NS:
        return [Check(step=Step.UPLOAD, state=State.UNKNOWN, cause=Cause.NOT_RUNNING, target=name) for name in wanted]
    known = {target.name: target for target in status.targets}
    return [_target(name, known.get(name)) for name in wanted]


def _target(name: str, status: TargetStatus | None) -> Check:
    if status is None or (not status.success_ns and not status.failures):
        return Check(step=Step.UPLOAD, state=State.NOT_OBSERVABLE, cause=Cause.NO_TRAFFIC, target=name)
    figures = (Figure(name="deliveries_waiting", value=status.waiting),)
    state, cause = State.OK, Cause.NONE
    if status.failures >= FAILURES:
        state, cause = State.NG, Cause.UNREACHABLE
    elif status.overdue:
        state, cause = State.NG, Cause.OVERDUE
    at_ns = max(status.error_ns if state is State.NG else status.success_ns, 0)
    window = Window(begin_ns=at_ns, end_ns=at_ns)
    return Check(step=Step.UPLOAD, state=state, cause=cause, target=name, figures=figures, window=window)


def own_certificates(files: Iterable[str], now: datetime | None = None) -> list[Check]:
    """Look how long the box's own certificates are valid."""
    checks = [_certificate(Path(file), now or datetime.now(UTC)) for file in files if file]
    return checks or [Check(step=Step.CERTIFICATES, state=State.NOT_OBSERVABLE, cause=Cause.NOT_CONFIGURED)]


def _certificate(file: Path, now: datetime) -> Check:
    try:
        found = certificates.read(file)
    except CertificateError:
        return Check(step=Step.CERTIFICATES, state=State.NG, cause=Cause.UNREADABLE, target=str(file))
    days = found.days_left(now)
    figures = (Figure(name="days_left", value=round(days, 1), unit="days"),)
    if days < 0 or now < found.not_before:
        state, cause = State.NG, Cause.EXPIRED
    else:
        state, cause = State.OK, Cause.EXPIRES_SOON if days <= SOON_DAYS else Cause.NONE
    return Check(step=Step.CERTIFICATES, state=state, cause=cause, target=str(file), figures=figures)
