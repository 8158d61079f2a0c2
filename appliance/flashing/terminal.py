"""What a technician sees: disks in a table, one line of progress, a question before anything is destroyed.

Japanese and English, but on a Linux console, which has no letters for the former.
"""

import os
import sys
import time
from collections.abc import Sequence

from appliance.flashing.disk import Disk, amount, refusal
from appliance.flashing.image import Image

_REDRAWN_EVERY_S = 0.5


def both(english: str, japanese: str) -> str:
    """A text for whoever reads it here."""
    return english if os.environ.get("TERM") == "linux" else f"{english}\n{japanese}"


def say(english: str, japanese: str) -> None:
    """Tell something."""
    print(both(english, japanese), flush=True)


def table(found: Sequence[Disk], wanted_bytes: int) -> str:
    """The disks, numbered, and why some are not to be had."""
    lines = []
    for number, disk in enumerate(found, 1):
        lines.append(f"  {number}  {disk.name}")
        lines.append(f"     {', '.join(disk.content) or both('empty', '空').replace(chr(10), ' / ')}")
        if why := refusal(disk, wanted_bytes):
            lines.append(f"     -> {both('not possible', '不可').replace(chr(10), ' / ')}: {why}")
    return "\n".join(lines)


def is_confirmed(disk: Disk, image: Image) -> bool:
    """Ask whether a disk is to be erased; what is typed names it."""
    say(
        f"\nEverything on {disk.name} will be DESTROYED\n({', '.join(disk.content) or 'it is empty'}); "
        f"rokubox from {image.path} is written to it.",
        f"{disk.path} の内容はすべて消去されます。",
    )
    word = disk.secret_word
    typed = ask(f"Type {word} to go on, nothing to stop", f"続けるには {word} と入力してください")
    return typed == word


def ask(english: str, japanese: str) -> str:
    """One line of an answer; empty when nobody is there."""
    print(f"{both(english, japanese)}: ", end="", flush=True)
    return sys.stdin.readline().strip()


class Meter:
    """One line that is drawn anew: what is done, how far, how fast. Plain lines where nobody looks at a terminal."""

    def __init__(self, english: str, japanese: str) -> None:
        self._title = both(english, japanese).replace("\n", " / ")
        self._begun = time.monotonic()
        self._drawn = 0.0
        self._lively = sys.stdout.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Draw it, now and then."""
        now = time.monotonic()
        is_over = done >= total
        if not is_over and (not self._lively or now - self._drawn < _REDRAWN_EVERY_S):
            return
        self._drawn = now
        speed = done / max(now - self._begun, 1e-6)
        left = f"{(total - done) / speed:.0f} s" if speed and not is_over else f"{now - self._begun:.0f} s"
        amounts = f"{amount(done)} / {amount(total)} · {amount(int(speed))}/s"
        text = f"{self._title}: {100 * done // total:3} % · {amounts} · {left}"
        print(f"\r{text}\x1b[K" if self._lively else text, end="\n" if is_over else "", flush=True)
