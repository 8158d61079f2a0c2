"""Passwords of the share's readers, into Samba's own database by its tool pdbedit(8)."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from appliance.boxsettings import readers
from appliance.errors import ConfigurationError, ToolFailedError, ToolMissingError
from storage.share.settings import ShareUser

_LIMIT_S = 60.0


def read(users: Sequence[ShareUser]) -> dict[str, str]:
    """Passwords by name. Raises ConfigurationError: every problem, one a line."""
    found, problems = {}, []
    for at, user in enumerate(users):
        try:
            found[user.name] = readers.password(Path(user.password_file).read_bytes())
        except (OSError, ValueError) as error:
            what = error.strerror if isinstance(error, OSError) else error
            problems.append(f"share.user[{at}].password_file: {user.password_file}: {what}")
    if problems:
        raise ConfigurationError("\n".join(problems))
    return found


def put_in_place(passwords: dict[str, str], smb_conf: Path, database: Path) -> None:
    """Make the database anew, so that who is no longer named can no longer log in.

    Raises:
        ToolMissingError: there is no pdbedit.
        ToolFailedError: it does not do it.
        OSError: the old database cannot be taken away.
    """
    database.unlink(missing_ok=True)
    tool = ("pdbedit", "--configfile", str(smb_conf), "--create", "--password-from-stdin", "--user")
    for name, password in passwords.items():
        try:
            # On its standard input: what stands on a command line is for everybody to read.
            told = subprocess.run(
                [*tool, name], input=f"{password}\n" * 2, capture_output=True, text=True, timeout=_LIMIT_S, check=False
            )
        except FileNotFoundError as error:
            raise ToolMissingError("pdbedit is not installed; it comes with Samba") from error
        except subprocess.TimeoutExpired as error:
            raise ToolFailedError(f"pdbedit: no answer within {_LIMIT_S:.0f} s") from error
        if told.returncode != 0:
            reason = " ".join((told.stderr or told.stdout).split())[:200]
            raise ToolFailedError(f"pdbedit does not take the reader {name!r}: {reason}")
