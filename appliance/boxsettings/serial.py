"""The serial number of a box whose configuration names none: its maker's, or one of its own. Pure.

So one and the same medium serves many boxes.
"""

import hashlib
import re

NAME = "serial"
"""The file beside `rokubox.toml` that holds it."""
_PLAUSIBLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{3,39}")
_NOBODYS = "unknown"
_DIGITS = 8


def chosen(makers: str, machine_id: str) -> str:
    """What the machine is called by its maker (`datapartition.identity`), else one made of the machine's id."""
    if makers != _NOBODYS and _PLAUSIBLE.fullmatch(makers):
        return makers
    digest = hashlib.sha256(f"rokubox serial {machine_id.strip()}".encode()).hexdigest()
    return f"RB-{digest[:_DIGITS].upper()}"


def parse(content: str) -> str:
    """The number in the file; empty when it holds none that can be one."""
    text = content.strip()
    return text if _PLAUSIBLE.fullmatch(text) else ""
