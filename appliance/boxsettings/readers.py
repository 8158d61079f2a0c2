"""Readers of the share on the appliance: users for libnss-extrausers, because /etc is read-only, and passwords. Pure.

They have no home, no shell and no password of the system's: Samba alone knows theirs.
"""

import string
from collections.abc import Collection, Iterator, Sequence

from storage.share.settings import ShareUser

USERS, GROUPS = "rokubox/users/passwd", "rokubox/users/group"
GROUP, FIRST_ID = "rokubox-readers", 59_000
"""The group that `[share] readers` names when nothing else is said, and its number; users have those that follow."""
SHORTEST, LONGEST = 8, 127
"""Characters of a password."""
_ALLOWED = frozenset(string.printable) - frozenset("\t\n\r\v\f")


def passwd(users: Sequence[ShareUser]) -> str:
    """passwd(5)."""
    rest = f"{FIRST_ID}::/nonexistent:/usr/sbin/nologin"
    return "".join(f"{user.name}:x:{number}:{rest}\n" for number, user in enumerate(users, FIRST_ID + 1))


def group() -> str:
    """group(5)."""
    return f"{GROUP}:x:{FIRST_ID}:\n"


def problems(users: Sequence[ShareUser], taken: Collection[str]) -> Iterator[str]:
    """Names that the system itself has, `taken`."""
    for at, user in enumerate(users):
        if user.name in taken or user.name.startswith("rokubox"):
            yield f"share.user[{at}].name: {user.name!r} is a user of the system itself; take another name"


def password(content: bytes) -> str:
    """The password that a file holds: its only line.

    Raises:
        ValueError: it holds none.
    """
    try:
        text = content.decode("ascii").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("a password consists of ASCII letters, digits and signs") from None
    if not set(text) <= _ALLOWED:
        raise ValueError("a password is one line of ASCII letters, digits and signs")
    if not SHORTEST <= len(text) <= LONGEST:
        raise ValueError(f"a password has {SHORTEST} to {LONGEST} characters, this one has {len(text)}")
    return text
