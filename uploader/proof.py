"""What a target has proved to hold. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class ProofKind(StrEnum):
    """How it was proved."""

    CHECKSUM = "checksum"
    """The target named a checksum that it had computed."""
    READ_BACK = "read_back"
    """Everything was read back and compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One file, as the target holds it."""

    kind: ProofKind
    """How it was proved."""
    sha256: str
    """SHA-256 of the file, hexadecimal."""
    size_bytes: int
    """Its size."""
