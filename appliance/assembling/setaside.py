"""What lies in the archive's quarantine, by file names: put there by assembly, told to the journal by capture."""

import re
from pathlib import Path

BLOCK_DIGITS, CALL_DIGITS = 16, 64
_NAME = re.compile(rf"[0-9a-f]{{{BLOCK_DIGITS}}}|[0-9a-f]{{{CALL_DIGITS}}}-[0-9]+")


def names(directory: Path) -> list[str]:
    """Names without ending, sorted: a block's address in 16 hexadecimal digits, or a call's id in 64 and a time."""
    return sorted(path.stem for path in directory.glob("*.rkj") if _NAME.fullmatch(path.stem))


def facts(name: str) -> dict[str, str | int]:
    """What an event says of it."""
    return {"block": name} if len(name) == BLOCK_DIGITS else {"call": name[:CALL_DIGITS]}
