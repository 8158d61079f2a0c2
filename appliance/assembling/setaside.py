"""What lies in the archive's quarantine, by file names: put there by assembly, told to the journal by capture."""

import os
import re
from pathlib import Path

BLOCK_DIGITS, CALL_DIGITS = 16, 64
KEPT_S = 30 * 86_400.0
"""How long packets that were set aside are kept: for as long as somebody may look into why."""
_NAME = re.compile(rf"[0-9a-f]{{{BLOCK_DIGITS}}}|[0-9a-f]{{{CALL_DIGITS}}}-[0-9]+")


def names(directory: Path) -> list[str]:
    """Names without ending, sorted: a block's address in 16 hexadecimal digits, or a call's id in 64 and a time."""
    return sorted(path.stem for path in directory.glob("*.rkj") if _NAME.fullmatch(path.stem))


def kept(directory: Path) -> int:
    """How many files there are with something in them."""
    return sum(path.stat().st_size > 0 for path in directory.glob("*.rkj") if _NAME.fullmatch(path.stem))


def empty_old(directory: Path, now_s: float) -> None:
    """Leave nothing in what was set aside a month ago, but its name. Raises OSError."""
    for path in directory.glob("*.rkj"):
        status = path.stat()
        if status.st_size and now_s - status.st_mtime > KEPT_S:
            os.truncate(path, 0)


def facts(name: str) -> dict[str, str | int]:
    """What an event says of it."""
    return {"block": name} if len(name) == BLOCK_DIGITS else {"call": name[:CALL_DIGITS]}
