"""`agent/agent.sock`: orders to the agent from this machine, one packet each way (SOCK_SEQPACKET, JSON).

Who asks is what the kernel says (SO_PEERCRED, unix(7)); only root, the agent's own user and its group can connect.
"""

import contextlib
import os
import pwd
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from appliance.agent.orders import Outcome
from appliance.alarms.alarm import Fact
from appliance.custody.archivesocket import short_path
from appliance.errors import RequestError

NAME = "agent.sock"
MODE = 0o660
MAX_BYTES = 16 << 10
ANSWER_S = 15.0
_AT_ONCE = 16
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An order as it is sent."""

    order: str
    by: str = ""
    """Who says so; the user's own name when empty."""
    arguments: dict[str, Fact] = field(default_factory=dict)


CarryOut = Callable[[str, dict[str, Fact], str], Outcome]


class AgentSocket:
    """The agent's side. A context. Poll `fileno()` for reading."""

    def __init__(self, directory: Path) -> None:
        """Raises OSError when the socket cannot be made."""
        self._path = directory / NAME
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        with short_path(self._path) as path:
            self._listening.bind(path)
        self._path.chmod(MODE)
        self._listening.listen(_AT_ONCE)

    def fileno(self) -> int:
        """To poll for reading."""
        return self._listening.fileno()

    def serve(self, carry_out: CarryOut) -> None:
        """Answer everybody who has asked. One who connects and says nothing at once is not waited for."""
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(0.5)
                connection.send(msgspec.json.encode(_answer(connection, carry_out)))

    def close(self) -> None:
        """Take no more."""
        self._listening.close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def ask(directory: Path, asked: Asked) -> Outcome:
    """Have the agent do something.

    Raises:
        RequestError: it does not run, gives no answer, or refuses.
        PermissionError: this user may not ask.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(ANSWER_S)
        try:
            with short_path(directory / NAME) as path:
                connection.connect(path)
            connection.send(msgspec.json.encode(asked))
            outcome = msgspec.json.decode(connection.recv(MAX_BYTES), type=Outcome)
        except PermissionError:
            raise
        except (FileNotFoundError, ConnectionError) as error:
            raise RequestError(f"rokubox-agent does not run on this archive ({directory.parent})") from error
        except (OSError, msgspec.MsgspecError) as error:
            raise RequestError(f"rokubox-agent gave no answer: {error}") from error
    if outcome.problem:
        raise RequestError(outcome.problem)
    return outcome


def _answer(connection: socket.socket, carry_out: CarryOut) -> Outcome:
    try:
        asked = msgspec.json.decode(connection.recv(MAX_BYTES), type=Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Outcome(problem="not understood")
    return carry_out(asked.order, asked.arguments, _who(connection, asked.by))


def _who(connection: socket.socket, said: str) -> str:
    """Who asks; a name that is given is believed from root and from the agent's own user."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(credentials)
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        name = f"uid {user}"
    if not said or said == name:
        return name
    return said if user in (0, os.geteuid()) else f"{said} (asked by {name})"
