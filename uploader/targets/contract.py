"""What a target is to the uploader. `tests/uploader/targets` holds every target against it, on a real server.

- A file has its final name at the target when it is whole, or not at all, as far as the protocol can do that.
- `deliver` may be called again after anything: what is there and the same is proof, what is there and is not the same
  is never overwritten, what was begun is gone on with where the protocol can do that.
- A proof is about what the target holds, not about what was sent.
- Who the server is has been verified before anything of ours is sent, credentials included.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from uploader.parcel import Parcel
from uploader.proof import Proof


class Session(Protocol):
    """A connection to a target."""

    async def deliver(self, parcel: Parcel) -> Proof:
        """Bring the parcel there and return the proof.

        Raises ParcelError when the target does not take this one, TargetError when it works for none, SourceError.
        """


class Target(Protocol):
    """One target."""

    def session(self) -> AbstractAsyncContextManager[Session]:
        """Connect. Raises TargetError; so may leaving it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a target may take."""

    connect_s: float = 30.0
    """Until it is connected and has let us in."""
    answer_s: float = 60.0
    """Until it answers a request that moves no data."""
    slowest_bytes_s: float = 8_000.0
    """It takes and gives back no fewer bytes a second: 64 kbit/s."""

    def transfer_s(self, size_bytes: int, limit_bytes_s: float, parallel: int) -> float:
        """How long a whole delivery may take, back and forth, under a bandwidth limit that so many transfers share."""
        bytes_s = min(self.slowest_bytes_s, limit_bytes_s / parallel / 2) if limit_bytes_s else self.slowest_bytes_s
        return self.connect_s + 4 * self.answer_s + 2 * size_bytes / bytes_s
