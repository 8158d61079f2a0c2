"""What the kernel tells of the machine: memory, load, heat, what it is. Everything may be unknown."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

_SYS, _PROC = Path("/sys"), Path("/proc")
_MILLI = 1000.0
_KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSeen:
    """How the machine is."""

    uptime_s: int
    memory_available_bytes: int | None
    load_1min: float | None
    temperature_c: float | None
    """Of the hottest sensor of the kernel's thermal zones."""


def look(sys: Path = _SYS, proc: Path = _PROC) -> MachineSeen:
    """Look at it now."""
    return MachineSeen(
        uptime_s=int(float(_words(proc / "uptime", "0")[0])),
        memory_available_bytes=_memory(proc),
        load_1min=float(_words(proc / "loadavg", "0")[0]),
        temperature_c=max(_temperatures(sys), default=None),
    )


def operating_system() -> str:
    """Name and version, as os-release(5) has it."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")[:200]
    except OSError:
        return ""


def kernel() -> str:
    """Its release."""
    return os.uname().release


def hardware(sys: Path = _SYS) -> str:
    """Maker and model; empty when the firmware does not tell."""
    folder = sys / "class" / "dmi" / "id"
    words = [" ".join(_words(folder / name, "")) for name in ("sys_vendor", "product_name")]
    model = (sys / "firmware" / "devicetree" / "base" / "model",)
    told = " ".join(word for word in words if word) or " ".join(_words(model[0], ""))
    return "".join(character for character in told if character.isprintable())[:200]


def _memory(proc: Path) -> int | None:
    try:
        for line in (proc / "meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * _KIB
    except (OSError, ValueError, IndexError):
        pass
    return None


def _temperatures(sys: Path) -> list[float]:
    found = []
    for sensor in sorted((sys / "class" / "thermal").glob("thermal_zone*/temp")):
        try:
            found.append(int(sensor.read_text("ascii")) / _MILLI)
        except (OSError, ValueError):
            continue
    return found


def _words(path: Path, instead: str) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").replace("\0", " ").split() or [instead]
    except OSError:
        return [instead]
