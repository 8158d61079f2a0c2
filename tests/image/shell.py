"""A root's shell in the emulated machine, which its image has for nobody.

The test edits GRUB's menu on the disk while the machine is off, so that systemd puts a shell on the second serial port.
"""

import contextlib
import itertools
import socket
from collections.abc import Iterator
from pathlib import Path

from tests.image.machine import wait_until

KERNEL_ARGUMENTS = "systemd.debug_shell=ttyS1"
_LIMIT_S = 180.0
_BEGIN_S = 900.0
"""An emulated machine on a busy host takes minutes until it has a shell."""
_PROMPT_S = 2.0


def port(folder: Path) -> tuple[str, ...]:
    """QEMU's arguments for the second serial port."""
    return ("-serial", f"unix:{folder / 'shell'},server=on,wait=off")


class Shell:
    """The shell, once systemd has begun it."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._numbers = itertools.count()

    def begin(self) -> None:
        """Wait until it answers."""
        for _ in range(round(_BEGIN_S / _PROMPT_S)):
            with contextlib.suppress(TimeoutError):
                self._ask("stty -echo", _PROMPT_S)
                return
        raise AssertionError("no shell on the serial port")

    def run(self, command: str) -> str:
        """Run a command (one line) and return what it prints; it has to end well."""
        told, code = self._ask(command, _LIMIT_S)
        assert code == 0, f"{command}: {code}: {told}"
        return told

    def _ask(self, command: str, limit_s: float) -> tuple[str, int]:
        number = next(self._numbers)
        # In two pieces, so that an echo of the question is not taken for the answer.
        asked = f"echo '<'{number}'>'; {{ {command}; }} 2>&1; echo '<'/{number} $?'>'\n"
        self._line.settimeout(limit_s)
        self._line.sendall(asked.encode())
        begin, end, heard = f"<{number}>\r\n", f"</{number} ", ""
        while begin not in heard or end not in heard or ">" not in heard.split(end)[1]:
            piece = self._line.recv(4096)
            assert piece, "the machine is off"
            heard += piece.decode("utf-8", "replace")
        told, _, code = heard.split(begin)[1].partition(end)
        return told.replace("\r\n", "\n").strip(), int(code.split(">")[0])


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Shell]:
    """The shell of a machine that was switched on with `port`."""
    with socket.socket(socket.AF_UNIX) as line:
        wait_until(lambda: _is_there(line, folder / "shell"), lambda: "no second serial port")
        shell = Shell(line)
        shell.begin()
        yield shell


def _is_there(line: socket.socket, path: Path) -> bool:
    """Whether the port could be connected to; a file may be left over from the machine before."""
    try:
        line.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True
