"""The outage ledger kept beside the agent's looking: every evidence that comes by is judged, and what follows entered.

What the disk does not take is entered later; it holds up nobody and is no trouble of the agent's.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from appliance.agent import alarmbook
from appliance.diagnosis.evidence import Evidence
from appliance.diagnosis.verdict import verdict
from appliance.errors import StateFileError
from appliance.outages.book import OutageBook
from appliance.outages.outage import Line, Mark, Outage
from appliance.outages.planned import UPDATE
from appliance.outages.watching import OutageWatch
from storage.archive import Archive

LOOKED_AT = 200
"""Latest changes of alarms among which the first that the NOC confirmed is looked for."""
MAX_PENDING = 1000
EVERY_NS = 5_000_000_000
"""How often it is looked whether the NOC knows."""
MAX_AGE_NS = 7 * 24 * 3600 * 1_000_000_000
"""What it does not know by then it is not told any more."""


class OutageKeeping:
    """Passes evidence on, and enters what it says of outages."""

    def __init__(self, archive: Archive, agent: Path, observe: Callable[[], Evidence]) -> None:
        """`agent`: the agent's own folder, where alarms and their confirmations are."""
        self._book = OutageBook(archive)
        self._agent = agent
        self._observe = observe
        self._watch: OutageWatch | None = None
        self._untold: list[Outage] = []
        """Outages of which the NOC does not know yet."""
        self._pending: list[Line] = []
        self._asked_ns = 0
        """When it was looked last whether the NOC knows."""

    def observe(self) -> Evidence:
        """Look, and enter what it means."""
        evidence = self._observe()
        with suppress(OSError):  # another look, another try
            self._take(evidence)
        return evidence

    def _take(self, evidence: Evidence) -> None:
        if self._watch is None:
            known, watch = self._book.outages(), OutageWatch()
            watch.go_on(each for each in known if each.ended_ns is None and UPDATE not in each.rows)
            self._untold = [outage for outage in known if outage.notified_ns is None]
            self._watch = watch
        self._pending += self._watch.see(verdict(evidence))
        if evidence.at_ns >= self._asked_ns + EVERY_NS:
            self._asked_ns = evidence.at_ns
            self._pending += self._notified(evidence.at_ns)
        del self._pending[:-MAX_PENDING]
        if self._pending:
            self._book.add(self._pending)
            began = any(line.mark is Mark.BEGAN for line in self._pending)
            self._pending.clear()
            if began or self._untold:
                self._untold = [outage for outage in self._book.outages() if outage.notified_ns is None]

    def _notified(self, now_ns: int) -> list[Line]:
        """The NOC knows of an outage when its broker has confirmed an alarm that was raised since it began."""
        self._untold = [outage for outage in self._untold if outage.detected_ns > now_ns - MAX_AGE_NS]
        if not self._untold:
            return []
        try:
            changes = alarmbook.history(self._agent, LOOKED_AT)
        except StateFileError:
            return []
        told = [change.told_ns for change in changes if change.told_ns is not None]
        lines = []
        for outage in self._untold:
            first = min((ns for ns in told if ns >= outage.began_ns), default=None)
            if first is not None:
                lines.append(Line(outage=outage.id, mark=Mark.NOTIFIED, at_ns=first))
        return lines
