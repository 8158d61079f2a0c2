"""`[ssh]`: help from afar. Pure."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from storage.share.settings import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSettings:
    """`[ssh]`: logging in to the appliance with a key. Only the appliance's image makes something of it."""

    authorized_keys_file: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._/-]+)?$")] = ""
    """Public keys that may log in, as sshd(8) reads them; nobody may, and nothing listens, when empty."""
    networks: tuple[Network, ...] = ()
    """Networks that may reach it; every one when empty."""
