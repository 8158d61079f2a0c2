"""What the name of a delivered file tells. Pure."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

DEFAULT_PATTERN = (
    r"(?P<time>[0-9]{14})_(?P<caller>[0-9A-Za-z+*#.-]{0,32})_(?P<callee>[0-9A-Za-z+*#.-]{0,32})"
    r"(_(?P<call>[0-9A-Za-z-]{5,64}))?(_(?P<part>[0-9]{1,4})(of(?P<of>[0-9]{1,4}))?)?\.zip"
)
"""20260102030405_0312345678_0698765432.zip, a part of a split call with _2 or _2of3 before .zip."""
MAX_PARTS = 9999
_TIME = "%Y%m%d%H%M%S"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A file by its name."""

    call_id: str
    """Id of the call: the same for all its parts."""
    started_ns: int
    """When the call, or this part of it, began."""
    caller: str
    callee: str
    part: int
    """Number of the part; 1 for a call that is not split."""
    of: int
    """How many there are; 0 when the name does not tell."""
    is_split: bool
    """The name has a part's number."""


def parse(name: str, pattern: re.Pattern[str], zone: ZoneInfo) -> Named | None:
    """Read a name; None when it is none that is allowed."""
    found = pattern.fullmatch(name)
    if found is None or name.startswith("."):
        return None
    said = {key: value or "" for key, value in found.groupdict().items()}
    try:
        started = datetime.strptime(said["time"], _TIME).replace(tzinfo=zone)
        part, of = int(said.get("part") or 1), int(said.get("of") or 0)
    except ValueError:
        return None
    if not 1 <= part <= MAX_PARTS or (of and part > of):
        return None
    # Without a name of the call's own its parts have its time in common.
    own = said.get("call") or said["time"]
    key = "\0".join(("delivered", own, said["caller"], said["callee"]))
    return Named(
        call_id=hashlib.sha256(key.encode()).hexdigest(),
        started_ns=round(started.timestamp()) * 1_000_000_000,
        caller=said["caller"],
        callee=said["callee"],
        part=part,
        of=of,
        is_split=bool(said.get("part")),
    )
