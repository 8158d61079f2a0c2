"""How much room is to be made on the archive's disk. Pure.

    free:  0 ...... reserve ...... low ...... high ......
             no new    erasing is     erasing ends
             calls     begun

The journal that is not assembled yet grows into the same room: it is never given up for recordings that may be erased.
"""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

LEAST_BYTES = 256 << 20
"""Made at least when a write has failed, whatever the reserve is."""
NO_INODES = 1_000
"""With fewer free inodes than this room is wanted, as every part needs one; each call that is erased gives back two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the file system has free."""

    free_bytes: int
    free_inodes: int | None
    """None when the file system does not count them."""


def wanted_bytes(room: Room, reserve_bytes: Annotated[int, Meta(ge=0)], *, refused: bool = False) -> int:
    """How many bytes to free now; 0 while there is enough. `refused`: the disk has just not taken a recording."""
    low, high = reserve_bytes + reserve_bytes // 2, 2 * reserve_bytes
    short_of_inodes = room.free_inodes is not None and room.free_inodes < NO_INODES
    if refused or short_of_inodes:
        return max(high - room.free_bytes, LEAST_BYTES)
    return max(0, high - room.free_bytes) if room.free_bytes < low else 0
