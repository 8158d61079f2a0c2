"""One recording's trouble stays its own: what assembly cannot get past is set aside, and everything else goes on.

    an exception while a recording is made  -> at once: it is made no further, and its record says so
    a process that died over it, repeatedly -> likewise, told by whoever counts the deaths

This one only tells, for an import: the capture is still there. `quarantine` keeps files, and remembers.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from capture.binding import BoundStream
from capture.packets import ReadInto

ID_DIGITS = 10
"""By so many digits of its id a call is named in messages."""
MAX_TOLD = 1000
"""Lines kept; the oldest go."""


@dataclass(slots=True, kw_only=True)
class Isolation:
    """What becomes of recordings that assembly cannot get past."""

    told: list[str] = field(default_factory=list)
    """What went wrong, a line for each recording; no numbers of callers."""
    say: Callable[[str], None] = field(default=lambda _line: None)
    """Told each line at once."""

    def is_held(self, _call_id: str) -> bool:
        """Whether nothing of this recording is to be tried."""
        return False

    @contextmanager
    def in_hand(self, _call_id: str) -> Iterator[None]:
        """Within the context a recording is being made: a death now is its doing."""
        yield

    def set_aside(self, call_id: str, error: Exception | None) -> None:
        """A recording is made no further; `error` is why, None when processes died over it."""
        self.tell(f"call {call_id[:ID_DIGITS]} is set aside: {cause_of(error)}")

    def keep(self, _call_id: str, _streams: Sequence[BoundStream], _read_into: ReadInto) -> None:
        """Keep media of a recording that is set aside, before they are let go of."""
        return

    def tell(self, line: str) -> None:
        """Say what went wrong."""
        self.told.append(line)
        del self.told[:-MAX_TOLD]
        self.say(line)


def cause_of(error: Exception | None) -> str:
    """Say what an error was and where it happened, not with what: an error's text may hold a caller's number."""
    if error is None:
        return "assembly died over it again and again"
    steps = traceback.extract_tb(error.__traceback__)[-3:]
    trail = " > ".join(f"{Path(step.filename).name}:{step.lineno}" for step in steps)
    return f"{type(error).__name__} at {trail or 'an unknown place'}"
