"""How assembly tells capture what of the journal it still needs: one address in one file, replaced as a whole.

The two share no socket: assembly may be away for hours, and capture must not care.
"""

import os
from pathlib import Path

FILE_NAME = "journal.needed"


def write(run_directory: Path, address: int) -> None:
    """Say that nothing before `address` is needed any more. What this permits to forget must be durable already."""
    path = run_directory / FILE_NAME
    draft = path.with_name(f".{FILE_NAME}.tmp-{os.getpid()}")
    draft.write_text(f"{address}\n", "ascii")
    draft.rename(path)


def read(run_directory: Path) -> int:
    """Return the address before which nothing is needed; 0 when nobody has said anything."""
    try:
        return max(0, int((run_directory / FILE_NAME).read_text("ascii")))
    except (OSError, ValueError):
        return 0
