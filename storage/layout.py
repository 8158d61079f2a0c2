"""Names in the archive: folders by local date, file names by the part's start, direction, numbers and id. Pure."""

import re
from pathlib import PurePath
from zoneinfo import ZoneInfo

from storage.timestamps import local_time
from storage.vocabulary import Direction

ID_DIGITS = 10
"""Leading digits of a call's id that stand in file names."""
ANONYMOUS = "anonymous"
MAX_NUMBER_CHARACTERS = 32
_UNSAFE = re.compile(r"[^0-9A-Za-z+.-]")


def file_safe(number: str) -> str:
    """A party's number for a file name: unsafe characters left out, at most 32, `anonymous` when nothing remains.

    The underscore goes too, although it is safe: it separates the fields of the name.
    """
    return _UNSAFE.sub("", number)[:MAX_NUMBER_CHARACTERS] or ANONYMOUS


def part_stem(
    *, start_ns: int, zone: ZoneInfo, direction: Direction, caller: str, callee: str, call_id: str, part: int
) -> str:
    """`20260102T030405+0900_out_0312345678_0698765432_0123456789_p01`, at most 128 characters.

    `start_ns` is the part's own start, `zone` the site's.
    """
    start = local_time(start_ns, zone).strftime("%Y%m%dT%H%M%S%z")
    return f"{start}_{direction}_{file_safe(caller)}_{file_safe(callee)}_{call_id[:ID_DIGITS]}_p{part:02d}"


def day_folder(started: str) -> PurePath:
    """`YYYY/MM/DD` of a file stem (`20260102T...`) or of an RFC 3339 time (`2026-01-02T...`): its local date."""
    digits = started.replace("-", "")
    return PurePath(digits[:4], digits[4:6], digits[6:8])
