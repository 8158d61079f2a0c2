"""How long the carrier keeps what it cannot deliver: seven days, then it is deleted (SoftBank's terms). Pure.

Since when nothing could be received is counted by the wall clock: so does the carrier.
"""

from dataclasses import dataclass
from typing import Final

DAY_NS: Final = 86_400 * 1_000_000_000
KEPT_NS: Final = 7 * DAY_NS
STAGES_DAYS: Final = (1, 3, 6)
"""An alarm is raised after each of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Countdown:
    """What is at stake while nothing can be received."""

    since_ns: int
    """Since when."""
    deletes_ns: int
    """When the carrier begins to delete what it holds."""
    left_s: float
    """How long until then; 0 when it has begun."""
    stage_days: int
    """The last stage that has been reached; 0: none yet."""


def countdown(last_able_ns: int, now_ns: int) -> Countdown:
    """The countdown, when something could be received at `last_able_ns` last."""
    for_ns = max(0, now_ns - last_able_ns)
    reached = [days for days in STAGES_DAYS if for_ns >= days * DAY_NS]
    return Countdown(
        since_ns=last_able_ns,
        deletes_ns=last_able_ns + KEPT_NS,
        left_s=max(0, KEPT_NS - for_ns) / 1e9,
        stage_days=max(reached, default=0),
    )
