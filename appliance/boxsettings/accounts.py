"""The users of the system itself, which are part of the image."""

from pathlib import Path

_PASSWD = Path("/etc/passwd")


def system_users(passwd: Path = _PASSWD) -> frozenset[str]:
    """Their names: those of the file alone, not what name services add to it. Raises OSError."""
    return frozenset(line.partition(":")[0] for line in passwd.read_text("utf-8", "replace").splitlines())
