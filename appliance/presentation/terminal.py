"""Text for people: the two consoles, and text from the wire made safe to show.

What draws is loaded when something is to be shown: a recorder shows nothing, and is to be back at once.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

UNLIMITED = 10_000
"""Width where no terminal sets one: a line of a table is then a line for `grep` too."""


def output() -> "Console":
    """Return the console of results: as wide as the terminal, without limit in a pipe or a file."""
    from rich.console import Console

    on_terminal = sys.stdout is not None and sys.stdout.isatty()  # None: closed by whoever started us
    return Console(
        width=None if on_terminal else UNLIMITED,
        markup=False,
        highlight=False,
        emoji=False,
    )


def errors() -> "Console":
    """Return the console of messages and progress."""
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)


def printable(text: str) -> str:
    """Replace what a terminal would obey or cannot show: control and direction characters, lone surrogates."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
