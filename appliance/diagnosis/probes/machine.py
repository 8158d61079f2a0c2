"""The machine: supply voltage, memory, temperature, as far as it tells (hwmon, thermal zones, /proc/meminfo)."""

from collections.abc import Iterator
from pathlib import Path

from appliance.diagnosis.evidence import Cause, Check, Figure, State, Step

HOT_C = 90.0
"""Where processors begin to slow down."""
LEAST_MEMORY_SHARE = 0.04
_THERMAL = Path("/sys/class/thermal")
_HWMON = Path("/sys/class/hwmon")
_MEMINFO = Path("/proc/meminfo")


def power(hwmon: Path = _HWMON) -> Check:
    """Look for alarms of supply voltages: a Raspberry Pi's `rpi_volt`, and sensors that have one."""
    alarms = list(_readings(hwmon, "hwmon*/in*_lcrit_alarm"))
    if not alarms:
        return Check(step=Step.POWER, state=State.NOT_OBSERVABLE)
    if any(alarms):
        return Check(step=Step.POWER, state=State.NG, cause=Cause.UNDER_VOLTAGE)
    return Check(step=Step.POWER, state=State.OK)


def temperature(thermal: Path = _THERMAL) -> Check:
    """Look at the hottest thermal zone."""
    readings = list(_readings(thermal, "thermal_zone*/temp"))
    if not readings:
        return Check(step=Step.TEMPERATURE, state=State.NOT_OBSERVABLE)
    hottest = max(readings) / 1000
    hot = hottest >= HOT_C
    return Check(
        step=Step.TEMPERATURE,
        state=State.NG if hot else State.OK,
        cause=Cause.HOT if hot else Cause.NONE,
        figures=(Figure(name="temperature", value=round(hottest, 1), unit="°C"),),
    )


def memory(meminfo: Path = _MEMINFO) -> Check:
    """Look how much memory is available without swapping."""
    try:
        rows = (line.split() for line in meminfo.read_text("ascii").splitlines())
        sizes = {row[0].rstrip(":"): int(row[1]) << 10 for row in rows if len(row) > 1}
        available, total = sizes["MemAvailable"], sizes["MemTotal"]
    except (OSError, ValueError, KeyError):
        return Check(step=Step.MEMORY, state=State.UNKNOWN, cause=Cause.UNREADABLE)
    low = available < LEAST_MEMORY_SHARE * total
    return Check(
        step=Step.MEMORY,
        state=State.NG if low else State.OK,
        cause=Cause.LOW if low else Cause.NONE,
        figures=(Figure(name="memory_available", value=available, of=total, unit="bytes"),),
    )


def _readings(folder: Path, pattern: str) -> Iterator[int]:
    for file in sorted(folder.glob(pattern)):
        try:
            yield int(file.read_bytes())
        except (OSError, ValueError):
            continue
