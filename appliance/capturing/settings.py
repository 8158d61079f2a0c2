"""Everything `rokubox-capture` is told."""

from dataclasses import dataclass, field
from pathlib import Path

from capture.ring import RingSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSettings:
    """Everything capture is told."""

    interfaces: tuple[str, ...]
    """Names of the mirror ports."""
    journal: Path
    """Directory of the journal."""
    run: Path
    """Where assembly says what it needs."""
    volume: Path
    """The archive, whose free room is watched."""
    sip_ports: frozenset[int]
    tunnels: frozenset[str] = frozenset()
    ring: RingSettings = field(default_factory=RingSettings)
    """What the rings of all ports have together."""
    journal_bytes: int = 64 << 30
    """Beyond, the oldest is forgotten even if it is needed."""
    journal_max_age_s: float = 24 * 3600.0
    """What no rule wants is not kept for longer, even if somebody may need it."""
    reserve_bytes: int = 1 << 30
    """Free room below which no new call is begun."""
    configuration: bytes | None = None
    """Text of the configuration that all this was read from; None without one."""
    quarantine: Path | None = None
    """Where assembly puts what it cannot get past."""
    take_over: int = 0
    """Process that records without a supervisor, asked to end once our rings are open; 0 for none."""
    supervisor: int = 0
    """Process that started this one; 0: whichever is the parent."""
