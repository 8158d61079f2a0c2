"""Delivery to whatever has files, names and folders: a draft under a hidden name, read back, then renamed.

    final name there? --yes--> read it back: the same is proof, anything else is refused
         | no
    draft there? --yes--> go on at its end, where the protocol can; a draft that is too long is begun anew
         | no: begin it
    written to its end, synced --> read back --> rename, never onto a file --> proof

What was read back is the draft: a file that has its final name has been proved to be whole.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from uploader.errors import ParcelError
from uploader.parcel import Match, Parcel
from uploader.proof import Proof, ProofKind

CONFLICT = "there is another file under this name at the target; it is not overwritten"
ALTERED = "the target does not hold what it was given"


class FileAccess(Protocol):
    """Files below the target's folder. Methods raise TargetError or ParcelError."""

    @property
    def resumes(self) -> bool:
        """Whether a draft can be gone on with."""

    async def size(self, path: str) -> int | None:
        """Size in bytes; None when there is no such file."""

    async def make_folder(self, path: str) -> None:
        """Make a folder and those above it; nothing happens when it is there."""

    async def write(self, path: str, first: int, size_bytes: int, chunks: AsyncIterator[bytes]) -> None:
        """Write so much from byte `first` on, which is the file's end, and bring everything to the target's disk."""

    def read(self, path: str) -> AsyncGenerator[bytes, None]:
        """What the file holds, from the target itself and from no cache of ours."""

    async def rename(self, path: str, final: str) -> None:
        """Give a file its final name. Raises ParcelError when that is taken, if the protocol can tell."""

    async def remove(self, path: str) -> None:
        """Take a file away."""


async def deliver(access: FileAccess, parcel: Parcel) -> Proof:
    """Deliver one parcel; as `Session.deliver`."""
    if await access.size(parcel.path) is not None:
        if not await _is_same(access, parcel.path, parcel):
            raise ParcelError(CONFLICT)
        return _proof(parcel)
    await access.make_folder(parcel.folder)
    first = (await access.size(parcel.draft) or 0) if access.resumes else 0
    if first > parcel.size_bytes:
        await access.remove(parcel.draft)
        first = 0
    await access.write(parcel.draft, first, parcel.size_bytes - first, parcel.chunks(first))
    if not await _is_same(access, parcel.draft, parcel):
        await access.remove(parcel.draft)  # the next attempt begins anew
        raise ParcelError(ALTERED)
    await access.rename(parcel.draft, parcel.path)
    if await access.size(parcel.path) != parcel.size_bytes:
        raise ParcelError("the target has lost the file while it was renamed")
    return _proof(parcel)


async def _is_same(access: FileAccess, path: str, parcel: Parcel) -> bool:
    return await parcel.compare(access.read(path)) is Match.SAME


def _proof(parcel: Parcel) -> Proof:
    return Proof(kind=ProofKind.READ_BACK, sha256=parcel.sha256, size_bytes=parcel.size_bytes)
