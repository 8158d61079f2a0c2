"""What the service manager is asked: how services are, when one came up, and to start one (systemctl(1))."""

import subprocess
import time
from collections.abc import Iterable

from appliance.errors import FirmwareError
from appliance.firmware.health import ServiceState

ANSWER_S = 60.0


def states(units: Iterable[str]) -> dict[str, ServiceState]:
    """How services are. Raises FirmwareError."""
    found = {}
    for unit in units:
        told = show(unit, "ActiveState", "NRestarts")
        restarts = told.get("NRestarts", "")
        found[unit] = ServiceState(
            active=told.get("ActiveState") == "active", restarts=int(restarts) if restarts.isdigit() else 0
        )
    return found


def show(unit: str, *properties: str) -> dict[str, str]:
    """Properties of a unit. Raises FirmwareError."""
    told = _systemctl("show", unit, "--property", ",".join(properties), limit_s=ANSWER_S)
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


def up_since_ns(unit: str) -> int | None:
    """Since when a service is up, nanoseconds since 1970; None when it is not. Raises FirmwareError."""
    told = show(unit, "ActiveState", "ActiveEnterTimestampMonotonic")
    since_us = told.get("ActiveEnterTimestampMonotonic", "0")
    if told.get("ActiveState") != "active" or not since_us.isdigit() or since_us == "0":
        return None
    return time.time_ns() - time.monotonic_ns() + int(since_us) * 1000


def start(unit: str, limit_s: float) -> bool:
    """Start a oneshot and wait for its end; whether it has succeeded. Raises FirmwareError."""
    try:
        _systemctl("start", unit, limit_s=limit_s)
    except subprocess.CalledProcessError:
        return False
    return True


def _systemctl(*words: str, limit_s: float) -> str:
    try:
        return subprocess.run(
            ["systemctl", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=limit_s,
        ).stdout
    except subprocess.CalledProcessError as error:
        if words[0] == "start":
            raise
        raise FirmwareError(f"systemctl {words[0]}: {error.stderr.strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FirmwareError(f"systemctl {words[0]}: gave no answer") from error
