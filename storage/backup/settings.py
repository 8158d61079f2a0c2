"""`[backup]`: where backups go. Pure."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSettings:
    """`[backup]`: the nightly backup."""

    directory: str = ""
    """Where backups go; none are made when empty."""
    hour: Annotated[int, Meta(ge=0, le=23)] = 2
    """Hour of the site's day in which one is made."""
    keep_days: Annotated[int, Meta(ge=1, le=3653)] = 93
    """How long one is kept; the newest stays whatever its age."""
    logs: tuple[str, ...] = ("/var/log/rokubox",)
    """Folders and files of logs that are backed up too."""
