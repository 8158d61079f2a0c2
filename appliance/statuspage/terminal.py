"""The status page on a terminal, drawn over itself again and again: a screen, a serial line, or whoever asks."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from rich.console import Console
from rich.text import Text

COLUMNS, ROWS = 80, 24
"""Of a terminal that does not say how large it is, such as a serial line."""
_HOME, _TO_END_OF_LINE, _TO_END = "\x1b[H", "\x1b[K", "\x1b[J"
_NO_CURSOR, _NO_WRAP, _CURSOR, _WRAP = "\x1b[?25l", "\x1b[?7l", "\x1b[?25h", "\x1b[?7h"


def size(descriptor: int) -> tuple[int, int]:
    """Columns and rows."""
    try:
        columns, rows = os.get_terminal_size(descriptor)
    except OSError:
        return COLUMNS, ROWS
    return columns or COLUMNS, rows or ROWS


def drawn(lines: Sequence[Text], width: int, rows: int) -> str:
    """The lines as a terminal obeys them, over what was there before. Pure but for rich."""
    console = Console(width=width + 1, force_terminal=True, color_system="standard", legacy_windows=False, _environ={})
    with console.capture() as captured:
        for line in lines:
            console.print(line, end="\0", soft_wrap=True, markup=False, highlight=False, emoji=False)
    # Each line is cleared before it is written: behind a full one the cursor stands on its last character.
    written = (f"{_TO_END_OF_LINE}{line}" for line in captured.get().split("\0")[:-1])
    drawn = _HOME + "\r\n".join(written)
    return f"{drawn}\r\n{_TO_END}" if len(lines) < rows else drawn


def watch(page: Callable[[int, int], Sequence[Text]], every_s: float) -> NoReturn:
    """Draw it until stopped. Raises OSError when the terminal is gone."""
    output = sys.stdout.fileno()
    os.write(output, f"{_NO_CURSOR}{_NO_WRAP}".encode())
    try:
        while True:
            columns, rows = size(output)
            _write(output, drawn(page(columns, rows), columns, rows).encode("utf-8", "replace"))
            time.sleep(every_s)
    finally:
        os.write(output, f"{_CURSOR}{_WRAP}\r\n".encode())


def _write(descriptor: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(descriptor, octets) :]
