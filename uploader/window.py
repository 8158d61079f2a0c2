"""A time of the day in which deliveries are made, such as 22:00-05:00. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Self

_FORM = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From one minute of the local day to another, over midnight when that is earlier."""

    first_minute: int
    """First minute that is in it, counted from midnight."""
    end_minute: int
    """First minute that is not in it any more."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `HH:MM-HH:MM`. Raises ValueError."""
        found = _FORM.fullmatch(text)
        if not found:
            raise ValueError(f"{text!r} is not like 22:00-05:00")
        hour, minute, end_hour, end_minute = map(int, found.groups())
        window = cls(first_minute=60 * hour + minute, end_minute=60 * end_hour + end_minute)
        if window.first_minute == window.end_minute:
            raise ValueError(f'{text!r} has no length; write when = "now" for the whole day')
        return window

    def is_open(self, local: datetime) -> bool:
        """Whether a local time is in it."""
        minute = 60 * local.hour + local.minute
        if self.first_minute < self.end_minute:
            return self.first_minute <= minute < self.end_minute
        return minute >= self.first_minute or minute < self.end_minute
