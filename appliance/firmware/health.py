"""Whether the services of a slot are steady: all of them up, and none started again, for a while. Pure.

That a service is active says little: one that dies and is started again every second is active most of the time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

STEADY_S = 60.0
LIMIT_S = 600.0
"""When they have not been steady by then, they never will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """One service as the manager tells."""

    active: bool
    restarts: int
    """How often it was started again since the boot."""


@dataclass(slots=True, kw_only=True)
class Steadiness:
    """Follows the services."""

    steady_s: float = STEADY_S
    _since_s: float | None = None
    _states: Mapping[str, ServiceState] = field(default_factory=dict)

    def see(self, states: Mapping[str, ServiceState], now_s: float) -> bool:
        """Whether they have been steady for long enough; restarts begin the time anew."""
        if any(not state.active for state in states.values()):
            self._since_s = None
        elif self._since_s is None or states != self._states:
            self._since_s = now_s
        self._states = dict(states)
        return self._since_s is not None and now_s - self._since_s >= self.steady_s

    def complaint(self) -> str:
        """What is amiss, for people."""
        down = [name for name, state in self._states.items() if not state.active]
        again = [
            f"{name} was started again {state.restarts} times" for name, state in self._states.items() if state.restarts
        ]
        return (
            "; ".join([*(f"{name} is not up" for name in down), *again]) or "the services were not up for long enough"
        )
