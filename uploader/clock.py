"""The uploader's time: its own running time, which is what patience is counted in, and the wall clock. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """One moment."""

    running_s: float
    """How long the uploader has run in all, over restarts: no clock that is set moves it, no switched-off box."""
    wall_ns: int
    """What the wall clock shows, for windows of the day and to be shown."""
