"""What is seen of an archive and its disk. Pure."""

from dataclasses import dataclass

from storage.volume.smart import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSeen:
    """The disk under the archive."""

    at_ns: int
    """When it was looked at."""
    mount_point: str
    """Where its file system is mounted."""
    file_system: str
    """Type of that, such as `ext4`."""
    read_only: bool
    """Nothing can be written there."""
    uuid: str
    """UUID of the file system; empty when it has none."""
    disk: str
    """Device file of the whole disk; empty when there is none."""
    health: Verdict
    """What is to be made of it."""
    problems: tuple[str, ...]
    """What speaks against it, in words."""
    model: str
    """What it is."""
    temperature_c: int | None
    """How hot it is."""
    power_on_h: int | None
    """How long it has worked."""
    worn_percent: int | None
    """Share of its life that is used up."""
    write_median_ms: float | None
    """How long a small write takes until it is on the disk; None when nothing can be written."""
    write_longest_ms: float | None
    """The slowest of a few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSeen:
    """What retention has found when it looked at everything last."""

    at_ns: int
    """When that was."""
    calls: int
    """Calls in the archive."""
    bytes: int
    """Room that they take."""
    growth_bytes_a_day: int
    """Recordings that come in a day."""
    days_until_full: int | None
    """None: not within ten years."""
    days_until_short: int | None
    """Until recordings have to go before their time, or new ones find no room; None: not within ten years."""
    short_bytes: int
    """Room that was asked for and cannot be made."""
    overdue: tuple[str, ...]
    """Contracts of which something is left weeks after their end, in words."""
    damaged: int
    """Call records that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubSeen:
    """Where the scrub is."""

    last_run_ns: int
    """When it was last at work; 0 before the first time."""
    last_whole_round_ns: int
    """When the whole archive had last been read; 0 before the first time."""
    defects: int
    """What is wrong at present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was seen at the last look."""

    free_bytes: int
    free_inodes: int | None
    """None when the file system does not count them."""
    reserve_bytes: int
    """Room that is to stay free: with less, no new call is recorded."""
    clock_confirmed: bool
    """Whether retention may act: a time server, or a person, confirmed the clock within 24 hours."""
    clock_ahead_s: float | None
    """How far the clock is from what can be, while that is disputed."""
    ledger_entries: int
    """Lines of the ledger."""
    backup_at_ns: int | None
    """When the newest backup was made; None when there is none."""
    scrub: ScrubSeen
    disk: DiskSeen | None = None
    """None before the first observation."""
    retention: RetentionSeen | None = None
    """None before the first time."""
