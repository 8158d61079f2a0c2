"""The board: concerns that stand, told once each when they come and go, and kept in `run/storage.json`.

Whoever owns the archive has it. A concern that the last owner had is still there after a restart, with its time, until
somebody says that it is over.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from appliance.condition import observed
from appliance.condition.concerns import Concern
from appliance.condition.record import NAME, Condition, Standing
from appliance.condition.seen import Figures
from storage.errors import StorageError

WRITE_S = 30.0
"""How often the file is written when nothing has changed: whoever reads it sees that the owner is alive."""


class Tell(Protocol):
    """Tells a line, with fields for whoever looks for it."""

    def __call__(self, line: str, **fields: str) -> None:
        """Tell it."""


class Board:
    """What is wrong with one archive."""

    def __init__(self, run: Path, tell: Tell) -> None:
        self._run = run
        self._tell = tell
        self._check_place: Callable[[], None] | None = None
        self._standing: dict[tuple[Concern, str], Standing] = {}
        self._figures: Figures | None = None
        self._written_s = -WRITE_S
        self._changed = True

    def begin(self, check_place: Callable[[], None]) -> None:
        """Begin to keep it, now that the archive is ours. `check_place` raises StorageError when it is gone."""
        self._check_place = check_place
        before = observed.read(self._run, NAME, Condition)
        for one in before.concerns if before else ():
            self._standing.setdefault((one.concern, one.part), one)

    def say(self, concern: Concern, what: str, *, part: str = "") -> None:
        """Say how it is with a concern; nothing: all is well."""
        before = self._standing.get((concern, part))
        if not what and before is not None:
            self._changed = True
            del self._standing[concern, part]
            self._tell(f"over: {before.what}", ROKUBOX_CONCERN=concern)
        elif what and (before is None or before.what != what):
            self._changed = True
            since_ns = before.since_ns if before else time.time_ns()
            self._standing[concern, part] = Standing(concern=concern, part=part, what=what, since_ns=since_ns)
            if before is None:
                self._tell(f"alarm: {what}", ROKUBOX_CONCERN=concern)

    def stands(self, concern: Concern, *, part: str = "") -> bool:
        """Whether it is a concern at present."""
        return (concern, part) in self._standing

    def show(self, figures: Figures) -> None:
        """Keep what was seen."""
        self._figures = figures

    def poll(self) -> None:
        """Write the file when that is due. While the disk does not take it, the file grows old, which tells enough."""
        if self._check_place is None or (not self._changed and time.monotonic() < self._written_s + WRITE_S):
            return
        self._written_s = time.monotonic()
        standing = tuple(sorted(self._standing.values(), key=lambda one: (one.concern, one.part)))
        try:
            self._check_place()
        except StorageError:
            return
        written = Condition(at_ns=time.time_ns(), concerns=standing, figures=self._figures)
        self._changed = not observed.write(self._run, NAME, written)
