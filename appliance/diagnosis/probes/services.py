"""The NOC's broker: whether its address answers and TLS comes about; and this box's own certificates."""

import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from appliance.diagnosis.evidence import Cause, Check, Figure, State, Step
from appliance.diagnosis.probes import causes, sockets
from appliance.diagnosis.probes.wayout import WayOut
from appliance.errors import CertificateError
from appliance.telemetry import certificates
from appliance.telemetry.settings import MqttSettings

WAIT_S = 4.0
SOON_DAYS = 30


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
