"""`[inbox]`: where the carrier delivers files, and what they may be. Pure."""

import re
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from uploader.inbox import naming


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxSettings:
    """`[inbox]`: the carrier's file delivery."""

    directory: str = ""
    """Directory that the carrier's files come into; nothing is received when empty."""
    name_pattern: Annotated[str, Meta(min_length=1, max_length=1000)] = naming.DEFAULT_PATTERN
    """Names that are allowed: a regular expression with the groups time, caller, callee, and if there are call, part,
    of."""
    settle_s: Annotated[float, Meta(ge=1, le=3600)] = 30.0
    """A file that has not changed for so long is complete."""
    gather_s: Annotated[float, Meta(ge=1, le=86_400)] = 900.0
    """How long the parts of a split call are waited for after the last one, when their names do not tell how many."""
    join_s: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    """A delivered call and one that was seen begin no further apart."""
    max_file_bytes: Annotated[int, Meta(ge=1 << 10)] = 1 << 30
    """No ZIP is larger."""
    max_wav_bytes: Annotated[int, Meta(ge=1 << 10, le=0xE000_0000)] = 1 << 30
    """Nothing in it is larger."""
    max_waiting: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """More files than this at once are looked at in turns."""
    sftp_user: Annotated[str, Meta(pattern="^[a-z][a-z0-9-]{0,31}$")] = "rokubox-inbox"
    """User that the carrier logs in as; it can do nothing but SFTP, below a directory of its own."""
    sftp_port: Annotated[int, Meta(ge=1, le=65535)] = 2022
    """Port of the SFTP server for it."""
    sftp_address: Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:]{0,45}$")] = ""
    """Address that it listens on, the one towards the carrier; every one when empty."""
    authorized_keys_file: str = "/etc/rokubox/inbox.authorized_keys"
    """The carrier's public keys; there are no passwords."""

    def problem(self) -> str:
        """What is wrong with it, after the key that is wrong; empty when nothing is."""
        if self.directory and not self.directory.startswith("/"):
            return "directory: must be an absolute path"
        try:
            groups = re.compile(self.name_pattern).groupindex
        except re.error as error:
            return f"name_pattern: not a regular expression: {error}"
        missing = [name for name in ("time", "caller", "callee") if name not in groups]
        return f"name_pattern: lacks the group {missing[0]}" if missing else ""
