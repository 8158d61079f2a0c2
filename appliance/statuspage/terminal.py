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
_HOME, _TO_END_OF_LINE, _TO_END, _NO_CURSOR, _NO_WRAP = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[?25l", "\x1b[?7l"


def size(descriptor: int) -> tuple[int, int]:
    """Columns and rows."""
    try:
        columns, rows = os.get_terminal_size(descriptor)
    except OSError:
        return COLUMNS, ROWS
    return columns or COLUMNS, rows or ROWS


def drawn(lines: Sequence[Text], width: int) -> str:
    """The lines as a terminal obeys them, over what was there before. Pure but for rich."""
    console = Console(width=width + 1, force_terminal=True, color_system="standard", legacy_windows=False, _environ={})
    with console.capture() as captured:
        for line in lines:
            console.print(line, end="\0", soft_wrap=True, markup=False, highlight=False, emoji=False)
    return _HOME + captured.get().replace("\0", f"{_TO_END_OF_LINE}\r\n").removesuffix("\r\n") + _TO_END


def watch(page: Callable[[int, int], Sequence[Text]], every_s: float) -> NoReturn:
    """Draw it until stopped. Raises OSError when the terminal is gone."""
    output = sys.stdout.fileno()
    os.write(output, f"{_NO_CURSOR}{_NO_WRAP}".encode())
    while True:
        columns, rows = size(output)
        _write(output, drawn(page(columns, rows), columns).encode("utf-8", "replace"))
        time.sleep(every_s)


def _write(descriptor: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(descriptor, octets) :]
