"""What a ledger is told, and who caused something in it."""

from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSettings:
    """Where the ledger lies and what it is called."""

    directory: Path
    """The folder `ledger` of the archive."""
    key: Path
    """The device key, normally `device.key` in that folder."""
    share: Path | None
    """Folder that gets copies of the newest checkpoint and of the public key, on the same file system."""
    serial: str
    """Serial number of the box, part of the log's name from its first start on; may be empty."""
    zone: ZoneInfo
    """The site's time zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """A person's answer for an act."""

    who: str
    """Who caused it."""
    why: str
    """Why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A configuration that begins to be in force."""

    digest: str | None
    """SHA-256 of its text; None: there is none."""
    by: Attribution
    """Who wrote it, and why."""
