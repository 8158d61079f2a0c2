"""What this box is called before it has a configuration: by its maker, else by its first port's address."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

DMI = Path("/sys/class/dmi/id")
PORTS = Path("/sys/class/net")
_PLACEHOLDER = re.compile(
    r"(to be filled.*|default string|(system|base board|chassis) serial number|not (specified|applicable|available)"
    r"|none|n/?a|unknown|oem|[0.x*-]*|0?123456789)",
    re.IGNORECASE,
)
_FIRST_PORT = "eth0"


def serial(dmi: Path = DMI, ports: Path = PORTS) -> str:
    """Serial number, in characters that a file name can have; "unknown" when the machine says nothing."""
    for said in _said(dmi, ports):
        if not _PLACEHOLDER.fullmatch(said):
            return re.sub(r"[^0-9A-Za-z._-]", "-", said)
    return "unknown"


def _said(dmi: Path, ports: Path) -> Iterator[str]:
    for file in (dmi / "product_serial", dmi / "board_serial", ports / _FIRST_PORT / "address"):
        with suppress(OSError):
            yield file.read_text("ascii", "replace").strip().replace(":", "")
