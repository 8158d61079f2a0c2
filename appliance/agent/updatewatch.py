"""Follows how an update stands, and says what the NOC and the outage ledger are to know of it.

What was told is noted by when it was: an agent that was restarted, in the other slot too, tells of everything once.
"""

from dataclasses import dataclass
from pathlib import Path

from appliance.alarms.alarm import Fact
from appliance.diagnosis.domains import Domain
from appliance.firmware import updatestatus
from appliance.firmware.updatestatus import AMISS, Reason, State, UpdateStatus
from appliance.outages.outage import Line, Mark, Service
from appliance.outages.planned import UPDATE

QUIET = frozenset({Reason.SAME, Reason.ON_TRIAL})
"""What nobody has to be called for."""
_SETTLED = frozenset({State.GOOD, State.ROLLED_BACK})


@dataclass(slots=True)
class UpdateWatch:
    """Reads the status now and then."""

    folder: Path
    told: str = ""
    """What was told last: of which update, and that it stood so."""

    def look(self) -> UpdateStatus | None:
        """The status, when it is another one than was told last."""
        status = updatestatus.read(self.folder)
        if status is None or self._mark(status) == self.told:
            return None
        self.told = self._mark(status)
        return status

    @staticmethod
    def _mark(status: UpdateStatus) -> str:
        return f"{status.began_ns} {status.state} {len(status.attempts)}"


def is_amiss(status: UpdateStatus) -> bool:
    """Whether somebody has to look after it. Pure."""
    return status.state in AMISS and status.reason not in QUIET


def facts(status: UpdateStatus) -> dict[str, Fact]:
    """The figures behind it. Pure."""
    found: dict[str, Fact] = {"state": status.state, "source": status.source, "running": status.running}
    if status.version:
        found["version"] = status.version
    if status.slot:
        found["slot"] = status.slot
    if status.reason is not None:
        found |= {"reason": status.reason, "detail": status.detail[:400]}
    if status.stops_ns is not None and status.records_ns is not None:
        found["not_recorded_s"] = round((status.records_ns - status.stops_ns) / 1e9, 1)
    return found


def outage(status: UpdateStatus, *, is_told: bool) -> list[Line]:
    """What the outage ledger is to hold of the restart; `is_told`: the NOC hears of it while it is announced. Pure.

    What stands there already is passed over when it is read.
    """
    if status.stops_ns is None or status.state not in _SETTLED | {State.RESTARTING}:
        return []
    name = f"{Service.RECORDING}-{status.stops_ns // 1_000_000_000}"
    lines = [
        Line(
            outage=name,
            mark=Mark.BEGAN,
            at_ns=status.stops_ns,
            service=Service.RECORDING,
            row=UPDATE,
            domains=(Domain.APPLIANCE,),
        )
    ]
    if status.state is State.RESTARTING and is_told:
        lines.append(Line(outage=name, mark=Mark.NOTIFIED, at_ns=status.changed_ns))
    if status.state in _SETTLED and status.records_ns is not None:
        lines.append(Line(outage=name, mark=Mark.ENDED, at_ns=max(status.records_ns, status.stops_ns)))
    return lines
