"""The terminal of `rokubox noc`: draws the view twice a second, and obeys keys.

up down  k j      the box              enter    that box with everything
h                 history of alarms    esc  q   back; from the fleet, the end
"""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from appliance.noc import view
from appliance.noc.feed import Feed
from appliance.noc.fleet import Box, Fleet
from appliance.noc.view import Page

DRAW_S = 0.5
_CHROME = 4
"""Lines that are not boxes."""
_UP, _DOWN, _ENTER, _BACK = (b"\x1b[A", b"k"), (b"\x1b[B", b"j"), (b"\r", b"\n"), (b"\x1b", b"q")
HELP = "up/down  enter: box  h: history  q: back, end"


class Shown(Enum):
    """What the screen shows."""

    FLEET = auto()
    BOX = auto()
    HISTORY = auto()
    NOTHING = auto()


class Screen:
    """What is shown, and how keys change it."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._boxes: list[Box] = []
        self._selected: Box | None = None
        self.shown = Shown.FLEET

    def draw(self, now_ns: int, rows: int, note: str) -> RenderableType:
        """The screen as it is now, in so many lines."""
        self._boxes = self._fleet.sorted(now_ns)
        if self._selected is None and self._boxes:
            self._selected = self._boxes[0]
        if self.shown is Shown.BOX and self._selected is not None:
            body = view.detail(self._selected, now_ns)
        elif self.shown is Shown.HISTORY:
            body = view.history(self._fleet.history, max(1, rows - _CHROME))
        else:
            page = Page(rows=max(1, rows - _CHROME), selected=self._place())
            body = view.overview(self._fleet, self._boxes, now_ns, page, note)
        return Group(body, Text(HELP, style="dim"))

    def press(self, key: bytes) -> None:
        """Obey a key."""
        if key in _BACK:
            self.shown = Shown.NOTHING if self.shown is Shown.FLEET else Shown.FLEET
        elif key in _ENTER and self._selected is not None:
            self.shown = Shown.BOX
        elif key == b"h":
            self.shown = Shown.HISTORY
        elif key in (*_UP, *_DOWN) and self._boxes:
            place = self._place() + (1 if key in _DOWN else -1)
            self._selected = self._boxes[min(max(place, 0), len(self._boxes) - 1)]

    def _place(self) -> int:
        """Where the selected box stands now: it stays selected when others overtake it."""
        return self._boxes.index(self._selected) if self._selected in self._boxes else 0


def run(feed: Feed, fleet: Fleet, console: Console) -> None:
    """Show the fleet until somebody has seen enough."""
    screen = Screen(fleet)
    with _keys() as descriptor, Live(console=console, screen=True, auto_refresh=False) as live:
        while screen.shown is not Shown.NOTHING:
            for arrived in feed.take():
                fleet.take(arrived.topic, arrived.payload, arrived.at_ns, retained=arrived.retained)
            note = "" if feed.is_connected else f"NO BROKER: {feed.failure.reason if feed.failure else 'connecting'}"
            live.update(screen.draw(time.time_ns(), console.height, note), refresh=True)
            if select.select([descriptor], [], [], DRAW_S)[0]:
                screen.press(os.read(descriptor, 16))


@contextmanager
def _keys() -> Iterator[int]:
    """Keys one by one, not shown, until the end of the block."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
