"""An interface's packet counters, as the kernel and the network card count them (/sys/class/net/*/statistics).

What the card lost never reached the ring: these losses are the capture's, not the network's.
"""

from dataclasses import dataclass, fields
from pathlib import Path

_NET = Path("/sys/class/net")
_FILES = {
    "rx_missed": "rx_missed_errors",
    "rx_fifo": "rx_fifo_errors",
    "rx_over": "rx_over_errors",
    "rx_crc": "rx_crc_errors",
    "rx_frame": "rx_frame_errors",
}
"""Files whose names are not their field's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NicCounters:
    """Totals since the interface appeared, or the difference of two such readings."""

    rx_packets: int = 0
    """Frames received."""
    rx_bytes: int = 0
    """Their bytes."""
    rx_dropped: int = 0
    """Received, then dropped before anybody could read them."""
    rx_missed: int = 0
    """Dropped by the card for want of buffers."""
    rx_fifo: int = 0
    """Dropped by the card's queue."""
    rx_over: int = 0
    """Dropped by the driver's ring."""
    rx_crc: int = 0
    """Frames with a wrong checksum: a cable or port that is damaged."""
    rx_frame: int = 0
    """Frames out of alignment."""
    tx_packets: int = 0
    """Frames sent. A mirror port never sends."""

    def __sub__(self, earlier: "NicCounters") -> "NicCounters":
        """What was counted since an earlier reading.

        A counter that fell belongs to an adapter that was plugged in again, and has counted from zero.
        """
        now = {field.name: getattr(self, field.name) for field in fields(self)}
        before = {name: getattr(earlier, name) for name in now}
        return NicCounters(**{n: now[n] - before[n] if now[n] >= before[n] else now[n] for n in now})


def read(interface: str, net: Path = _NET) -> NicCounters:
    """The interface's counters now; 0 where the driver has no such counter, all 0 while there is no such interface."""
    names = [field.name for field in fields(NicCounters)]
    return NicCounters(**{name: _count(net / interface / "statistics" / _FILES.get(name, name)) for name in names})


def _count(file: Path) -> int:
    try:
        return int(file.read_bytes())
    except OSError:
        return 0
