"""Which file system a path lies on: proc_pid_mountinfo(5). Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mounted file system."""

    major: int
    """Number of its device; 0 for what lies on none."""
    minor: int
    """The device's other number."""
    point: str
    """Where it is mounted."""
    kind: str
    """Its type, such as `ext4`."""
    source: str
    """Its device file, or what stands for one."""
    read_only: bool
    """The file system was mounted or made read-only. One that is so at this place only (a service's sandbox shows it
    what it may not write) is not."""


def parse(mountinfo: str) -> list[Mount]:
    """Every mount, in the kernel's order; a line that is none is left out."""
    return [mount for line in mountinfo.splitlines() if (mount := _mount(line)) is not None]


def under(mounts: Iterable[Mount], path: PurePosixPath) -> Mount | None:
    """The mount that an absolute path without symbolic links lies on: the longest that fits, the latest of these."""
    fitting = [mount for mount in mounts if path.is_relative_to(mount.point)]
    longest = max((len(PurePosixPath(mount.point).parts) for mount in fitting), default=0)
    return next((one for one in reversed(fitting) if len(PurePosixPath(one.point).parts) == longest), None)


def _mount(line: str) -> Mount | None:
    before, separator, behind = line.partition(" - ")
    fields, more = before.split(" "), behind.split(" ")
    if not separator or len(fields) < 6 or len(more) < 3:
        return None
    major, colon, minor = fields[2].partition(":")
    if not colon or not (major.isdecimal() and minor.isdecimal()):
        return None
    return Mount(
        major=int(major),
        minor=int(minor),
        point=_plain(fields[4]),
        kind=more[0],
        source=_plain(more[1]),
        read_only="ro" in more[2].split(","),
    )


def _plain(field: str) -> str:
    """Blanks and the like stand as octal numbers; the bytes are UTF-8 as far as they are text."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), field)
