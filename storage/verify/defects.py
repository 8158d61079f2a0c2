"""What verification finds, by class. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Kind(StrEnum):
    """The class of a defect."""

    ALTERED = "altered"
    MISSING = "missing"
    UNEXPECTED = "unexpected"
    LEDGER = "ledger"
    SIGNATURE = "signature"
    INDEX = "index"


EXIT_CODES: Final = MappingProxyType(
    {
        Kind.ALTERED: 10,
        Kind.MISSING: 11,
        Kind.UNEXPECTED: 12,
        Kind.LEDGER: 13,
        Kind.SIGNATURE: 14,
        Kind.INDEX: 15,
    }
)
SEVERAL: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One thing that is not as the ledger says."""

    kind: Kind
    """Its class."""
    subject: str
    """What is concerned, without callers' numbers: for logs and alarms."""
    path: str
    """The file, relative to the archive; its name may hold callers' numbers. Empty when there is none."""
    what: str
    """What is wrong, in words, without callers' numbers."""


def exit_code(defects: Iterable[Defect]) -> int:
    """0 without defects, the class's code, or `SEVERAL` when there is more than one class."""
    kinds = {defect.kind for defect in defects}
    if not kinds:
        return 0
    return EXIT_CODES[kinds.pop()] if len(kinds) == 1 else SEVERAL
