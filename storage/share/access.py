"""What both kinds of share are told: the folder, the networks, the group that may read. Pure."""

from dataclasses import dataclass
from pathlib import PurePath

from storage.share.settings import ShareSettings

PREAMBLE = "written by `rokubox share-config`; write again rather than edit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The finished recordings as they lie on this box. Spool, journal and ledger lie beside them, never in them."""

    recordings: PurePath
    """The folder, absolute."""
    group: str
    """Name of the group that its files belong to."""
    group_id: int
    """Its number."""
    settings: ShareSettings
    """Who may read."""
