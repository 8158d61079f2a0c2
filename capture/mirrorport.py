"""One mirror port while it is recorded: its ring, kept over restarts, and what it counts.

The ring belongs to the interface: when that goes away the ring is read to its end, and a new one is opened when the
adapter is back. Losses are told as increments, because the kernel and the adapter begin to count anew at will.
"""

from capture import niccounters, ringblock, spanport
from capture.errors import RingBlockError, SpanPortError
from capture.events import Counted
from capture.niccounters import NicCounters
from capture.octets import Octets
from capture.records import RecordBatch
from capture.ring import Ring, RingSettings, RingStatistics
from capture.ringblock import RingBytes


class MirrorPort:
    """A port by its configured name; `number` is what the journal calls it."""

    def __init__(self, number: int, name: str, program: bytes, settings: RingSettings) -> None:
        self.number = number
        self.name = name
        self.ring: Ring | None = None
        """None while there is no such interface."""
        self._program = program
        self._settings = settings
        self._statistics = RingStatistics(packets=0, drops=0, freezes=0)
        self._nic = NicCounters()
        self._copied: RingBytes | None = None

    def adopt(self, fileno: int) -> None:
        """Go on with the ring that an earlier process left.

        Raises:
            RingError: it is not this port's.
        """
        self.ring = Ring.adopt(fileno, self.name, self._settings)
        self._begin_counting(self.name)

    def open(self, interface: str) -> None:
        """Open a ring on the interface that serves the port now.

        Raises:
            RingError, SpanPortError: it cannot be captured from, or would send.
        """
        spanport.prepare(interface)
        if problems := spanport.check(interface):
            raise SpanPortError("\n".join(problems))
        self.close()
        self.ring = Ring.open(interface, self._program, self._settings)
        self._begin_counting(interface)

    def close(self) -> None:
        """Leave the ring, if there is one."""
        if self.ring is not None:
            self.ring.close()
            self.ring = None

    @property
    def was_read(self) -> bool:
        """Whether there are blocks read and not released."""
        return self._copied is not None

    def ready(self) -> int:
        """Blocks that can be read."""
        return 0 if self.ring is None else self.ring.ready()

    def read(self, blocks: int) -> tuple[RecordBatch | None, list[Octets]]:
        """Read the next blocks, all of them ready; nothing is handed back before `release`.

        Returns:
            Their packets, and blocks that could not be read, as the kernel wrote them. Valid until the next read.
        """
        if self.ring is None or not blocks:
            return None, []
        self._copied = self.ring.copy(blocks)
        try:
            return ringblock.batch(self._copied, self.number), []
        except RingBlockError:
            return None, self.raw()

    def raw(self) -> list[Octets]:
        """Return the blocks that were read last, as the kernel wrote them."""
        assert self.ring is not None
        assert self._copied is not None
        count = len(self._copied.extents)
        self._copied = self.ring.copy(count)  # parsing may have written into the copy
        return [self._copied.block(number) for number in range(count)]

    def release(self) -> None:
        """Hand the blocks that were read last back to the kernel."""
        if self.ring is not None and self._copied is not None:
            self.ring.release(len(self._copied.extents))
        self._copied = None

    def counted(self, interface: str) -> dict[str, int]:
        """Return what was counted since the last time, by `Counted`, and frames that the interface sent."""
        statistics = self._statistics if self.ring is None else self.ring.statistics()
        nic = niccounters.read(interface)
        fresh, added = nic - self._nic, self._statistics
        self._statistics, self._nic = statistics, nic
        return {
            Counted.PACKETS: statistics.packets - added.packets,
            Counted.DROPS: statistics.drops - added.drops,
            Counted.FREEZES: statistics.freezes - added.freezes,
            Counted.NIC_MISSED: fresh.rx_missed + fresh.rx_fifo + fresh.rx_over,
            Counted.SENT: fresh.tx_packets,
        }

    def _begin_counting(self, interface: str) -> None:
        self._statistics = RingStatistics(packets=0, drops=0, freezes=0)
        self._nic = niccounters.read(interface)
