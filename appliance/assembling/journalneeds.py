"""How assembly tells capture what of the journal it still needs: one small file, replaced as a whole.

The two share no socket: assembly may be away for hours, and capture must not care.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from capture.journalfile import OFFSET_BITS
from capture.journalstore import JournalFile

FILE_NAME = "journal.needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Addresses in the journal. Nothing is said: everything is needed."""

    needed: int = 0
    """Before it nothing is needed any more."""
    wanted: int = 0
    """Before it nothing is needed for what is to be recorded; not less than `needed`. Not read yet is wanted."""
    turned: int = -1
    """Number of the last file that is not to be written on any more: what was erased leaves with its file."""


def write(run_directory: Path, needs: Needs) -> None:
    """Say what is needed. What this permits to forget must be durable already."""
    path = run_directory / FILE_NAME
    draft = path.with_name(f".{FILE_NAME}.tmp-{os.getpid()}")
    draft.write_text(f"{needs.needed} {needs.wanted} {needs.turned}\n", "ascii")
    draft.rename(path)


def read(run_directory: Path) -> Needs:
    """Return what was said last."""
    try:
        needed, wanted, turned = (int(word) for word in (run_directory / FILE_NAME).read_text("ascii").split())
    except (OSError, ValueError):
        return Needs()
    return Needs(needed=max(0, needed), wanted=max(0, needed, wanted), turned=turned)


def is_expired(file: JournalFile, needs: Needs, oldest_ns: int) -> bool:
    """Whether a file is too old to be kept for what nobody wants; what is wanted, or not read yet, has no age."""
    return file.first_ns < oldest_ns and file.number < needs.wanted >> OFFSET_BITS
