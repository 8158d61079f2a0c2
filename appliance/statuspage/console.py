"""The box's own screen and serial port, on which nobody logs in.

A serial port is a terminal of the technician's, which shows Japanese. A console of the kernel has no glyphs for it:
there the page is drawn as pixels, and is English where that cannot be.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from rich.text import Text

from appliance.show.labels import Language
from appliance.statuspage import framebuffer, glyphs, terminal
from appliance.statuspage.framebuffer import Screen
from appliance.statuspage.glyphs import Font

Page = Callable[[Language, int, int], Sequence[Text]]
"""Makes the page, in a language, for so many columns and rows."""
_VIRTUAL = "/dev/tty"


def watch(page: Page, language: Language, every_s: float, font: Path) -> NoReturn:
    """Draw it until stopped. Raises OSError when the terminal or the screen is gone."""
    output = sys.stdout.fileno()
    framebuffer.silence(output)
    if not is_virtual(os.ttyname(output)):
        terminal.watch(lambda columns, rows: page(language, columns, rows), every_s)
    screen = framebuffer.find() if font.exists() else None
    if screen is None:
        terminal.watch(lambda columns, rows: page(Language.EN, columns, rows), every_s)
    framebuffer.take(output)
    _draw(page, language, every_s, screen, Font(font.read_bytes()))


def is_virtual(name: str) -> bool:
    """Whether a terminal is a console of the kernel: tty1, not ttyS0. Pure."""
    return name.startswith(_VIRTUAL) and name.removeprefix(_VIRTUAL).isdigit()


def _draw(page: Page, language: Language, every_s: float, screen: Screen, font: Font) -> NoReturn:
    columns, rows = glyphs.cells(screen.width, screen.height)
    while True:
        framebuffer.show(glyphs.picture(page(language, columns, rows), font, screen.width, screen.height), screen)
        time.sleep(every_s)
