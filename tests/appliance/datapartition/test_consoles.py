"""Consoles as terminals: said on all, answered on any, a key at a time."""

import os
import pty
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.datapartition.consoles import Consoles


class Terminal:
    """Somebody before a screen and a keyboard."""

    def __init__(self) -> None:
        self.master, self._slave = pty.openpty()
        self.device = Path(os.ttyname(self._slave))

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def seen(self) -> str:
        text = b""
        while select.select([self.master], [], [], 0.1)[0]:
            text += os.read(self.master, 4096)
        return text.decode()

    def close(self) -> None:
        os.close(self.master)
        os.close(self._slave)


@pytest.fixture(name="terminals")
def _terminals() -> Iterator[list[Terminal]]:
    terminals = [Terminal(), Terminal()]
    yield terminals
    for terminal in terminals:
        terminal.close()


def test_an_answer_on_either(terminals: list[Terminal]) -> None:
    with Consoles([terminal.device for terminal in terminals]) as consoles:
        consoles.say("装置 ready?")
        assert [terminal.seen() for terminal in terminals] == ["装置 ready?\r\n"] * 2
        terminals[1].type("erasse\x7f\x7fe\r")
        assert consoles.line(5.0, shown=True) == "erase"
        assert terminals[0].seen().startswith("eras")


def test_a_secret_is_not_shown(terminals: list[Terminal]) -> None:
    with Consoles([terminal.device for terminal in terminals]) as consoles:
        terminals[0].type("a long phrase\r")
        assert consoles.line(5.0, shown=False) == "a long phrase"
        assert terminals[0].seen().strip() == ""


def test_half_a_line_waits_for_its_end(terminals: list[Terminal]) -> None:
    with Consoles([terminals[0].device]) as consoles:
        terminals[0].type("a long ")
        assert consoles.line(0.1, shown=False) is None
        terminals[0].type("phrase\n")
        assert consoles.line(5.0, shown=False) == "a long phrase"


def test_what_was_typed_before_is_no_answer(terminals: list[Terminal]) -> None:
    with Consoles([terminals[0].device]) as consoles:
        terminals[0].type("erase\rera")
        select.select([], [], [], 0.1)
        consoles.forget()
        assert consoles.line(0.1, shown=True) is None
        terminals[0].type("se\r")
        assert consoles.line(5.0, shown=True) == "se"


def test_a_console_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Consoles([tmp_path / "none", tmp_path / "file"]) as consoles:
        consoles.say("nobody hears it")
        assert consoles.line(0.05, shown=True) is None
