"""What became of all calls together, without keeping their records: an import may hold millions."""

from collections import Counter
from dataclasses import dataclass, field

from storage.call_record import CallRecord


@dataclass(slots=True, kw_only=True)
class Tally:
    """Sums over call records."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls by outcome and deciding reason, "" without one."""
    packets: int = 0
    """Packets in recordings."""
    duplicates: int = 0
    """Copies of them."""
    too_late: int = 0
    """Packets that came after their part was closed."""
    unrecordable: int = 0
    """Packets of calls that no recording can be made of."""
    expected_samples: int = 0
    network_lost_samples: int = 0
    capture_lost_samples: int = 0

    def add(self, record: CallRecord) -> None:
        """Count one call."""
        self.outcomes[record.outcome.value, record.reasons[0].value if record.reasons else ""] += 1
        for side in record.sides:
            self.packets += side.packets
            self.duplicates += side.duplicates
            self.too_late += side.too_late
        self.unrecordable += sum(stream.packets for stream in record.unrecorded if stream.ssrc is not None)
        self.expected_samples += record.expected_samples
        self.network_lost_samples += record.network_lost_samples
        self.capture_lost_samples += record.capture_lost_samples
