"""`[share]`: who may read the recordings over the network. Pure."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

Word = Annotated[str, Meta(pattern=r"^[@+&]?[A-Za-z0-9._-]{1,64}$")]
Network = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:]{2,45}(/[0-9]{1,3})?$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareUser:
    """`[[share.user]]`: a reader that the appliance itself makes."""

    name: Annotated[str, Meta(pattern="^[a-z][a-z0-9_-]{0,31}$")]
    """Name to log in with."""
    password_file: Annotated[str, Meta(min_length=1)]
    """File with the password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareSettings:
    """`[share]`: the read-only share of the finished recordings."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,32}$")] = "recordings"
    """Name of the SMB share."""
    readers: tuple[Word, ...] = ("@rokubox-readers",)
    """Users, or `@groups`, of the box who may read it."""
    networks: tuple[Network, ...] = ()
    """Networks that may reach it; every one when empty."""
    user: tuple[ShareUser, ...] = ()
    """Readers of the appliance, which shares by SMB when there is one; a server has users of its own."""
    log_keep_days: Annotated[int, Meta(ge=1, le=3653)] = 90
    """How long the access log is kept: file names in it hold numbers."""
