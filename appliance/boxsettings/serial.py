"""The serial number of a box whose configuration names none: its maker's, or one of its own. Pure.

So one and the same medium serves many boxes.
"""

import hashlib
import re

NAME = "serial"
"""The file beside `rokubox.toml` that holds it."""
_PLAUSIBLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{3,39}")
_NOBODYS = (
    "serial",
    "default",
    "filled",
    "none",
    "unknown",
    "applicable",
    "specified",
    "0123456789",
    "123456789",
    "chassis",
)
"""What makers write who write none."""
_DIGITS = 8


def chosen(told: str, machine_id: str) -> str:
    """The maker's serial number where the firmware tells one, else one made of the machine's id."""
    candidate = told.strip().replace(" ", "-")
    is_some = _PLAUSIBLE.fullmatch(candidate) and len(set(candidate)) > 2
    if is_some and not any(word in candidate.lower() for word in _NOBODYS):
        return candidate
    digest = hashlib.sha256(f"rokubox serial {machine_id.strip()}".encode()).hexdigest()
    return f"RB-{digest[:_DIGITS].upper()}"


def parse(content: str) -> str:
    """The number in the file; empty when it holds none that can be one."""
    text = content.strip()
    return text if _PLAUSIBLE.fullmatch(text) else ""
