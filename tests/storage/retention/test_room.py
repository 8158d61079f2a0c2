"""How much room is wanted, by table."""

import pytest

from storage.retention.room import LEAST_BYTES, NO_INODES, Room, wanted_bytes

GB = 1 << 30


@pytest.mark.parametrize(
    ("free", "inodes", "reserve", "refused", "wanted"),
    [
        (2 * GB, None, GB, False, 0),
        (3 * GB // 2, None, GB, False, 0),
        (3 * GB // 2 - 1, None, GB, False, GB // 2 + 1),
        (0, None, GB, False, 2 * GB),
        (0, None, 0, False, 0),
        (0, None, 0, True, LEAST_BYTES),
        (GB, None, GB, True, GB),
        (50 * GB, NO_INODES, GB, False, 0),
        (50 * GB, NO_INODES - 1, GB, False, LEAST_BYTES),
    ],
)
def test_wanted(free: int, inodes: int | None, reserve: int, refused: bool, wanted: int) -> None:
    assert wanted_bytes(Room(free_bytes=free, free_inodes=inodes), reserve, refused=refused) == wanted
