"""Secrets from files: read for every connection, so that a new one is used without a restart."""

from pathlib import Path

from uploader.errors import TargetError

MAX_BYTES = 16 << 10


def secret(path: str) -> str:
    """What a file holds, without the newline at its end. Raises TargetError."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        found = content.decode().rstrip("\r\n")
    except OSError as error:
        raise TargetError(f"a password file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TargetError("a password file is not text") from error
    if not found or len(content) > MAX_BYTES:
        raise TargetError("a password file is empty or too long")
    return found
