"""Whether a time server disciplines the real-time clock, by the kernel's own account (adjtimex(2)). Pure.

The kernel tells so only of programs that tell the kernel: ntpd and systemd-timesyncd do, chrony with `rtcsync`. What
the clock is off by it knows only of those that leave the correction to it (`STA_PLL`, `STA_FLL`); chrony does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_STA_PLL, _STA_FLL = 0x0001, 0x0008
_STA_NANO = 0x2000
_TIME_ERROR = 5
"""The clock is not synchronised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discipline:
    """The state of the real-time clock at one moment."""

    synchronised: bool
    """Something disciplines it."""
    offset_ms: int | None = None
    """What is left to be corrected; finer would be told anew with every tick. None when it is not disciplined, or not
    by the kernel."""

    def facts(self) -> dict[str, int]:
        """Return it as an event tells it."""
        known = {} if self.offset_ms is None else {"offset_ms": self.offset_ms}
        return {"synchronised": int(self.synchronised), **known}


def of_kernel(state: int, status: int, offset: int) -> Discipline:
    """Read what adjtimex returned, and its fields `status` and `offset`."""
    if not 0 <= state < _TIME_ERROR:
        return Discipline(synchronised=False)
    if not status & (_STA_PLL | _STA_FLL):
        return Discipline(synchronised=True)
    return Discipline(synchronised=True, offset_ms=round(offset / (1_000_000 if status & _STA_NANO else 1000)))


def told(detail: Mapping[str, str | int]) -> Discipline | None:
    """Return what an event tells of it; None when it tells nothing."""
    if "synchronised" not in detail:
        return None
    offset_ms = detail.get("offset_ms")
    return Discipline(
        synchronised=bool(detail["synchronised"]), offset_ms=None if offset_ms is None else int(offset_ms)
    )
