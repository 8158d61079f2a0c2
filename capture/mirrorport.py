"""One mirror port while it is recorded: its rings, kept over restarts, and what they count.

A ring belongs to an interface. When that goes away its ring is read to its end, while an adapter that is back fills a
new one; more than `MAX_RINGS` are not held at a time. Losses are told as increments, because the kernel and the adapter
begin to count anew at will.
"""

from collections.abc import Callable
from dataclasses import dataclass

from capture import niccounters, ringblock, spanport
from capture.arpwatch import ArpWatch
from capture.census import Census
from capture.errors import RingBlockError, RingError, SpanPortError
from capture.events import Counted
from capture.niccounters import NicCounters
from capture.octets import Octets
from capture.records import RecordBatch
from capture.ring import Ring, RingSettings, RingStatistics
from capture.ringblock import RingBytes

MAX_RINGS = 3
"""Of one port: while the disk takes nothing, an adapter may come and go any number of times."""
_NOTHING = RingStatistics(packets=0, drops=0, freezes=0)


@dataclass(slots=True, kw_only=True, eq=False)
class _Held:
    """A ring of the port."""

    ring: Ring
    key: str
    """What the caller calls it."""
    was_empty: bool = False
    """When it was looked at last its interface was gone and nothing was left in it."""


class MirrorPort:
    """A port by its configured name; `number` is what the journal calls it."""

    def __init__(self, number: int, name: str, program: bytes, settings: RingSettings) -> None:
        self.number = number
        self.name = name
        self._program = program
        self._settings = settings
        self._rings: list[_Held] = []
        """Oldest first; only the last one's interface can be there."""
        self._left = _NOTHING
        """What rings that are no more counted."""
        self._counted = _NOTHING
        self._nic = NicCounters()
        self._census = Census()
        self._arp = ArpWatch()
        self._reading: Ring | None = None
        self._copied: RingBytes | None = None

    def adopt(self, fileno: int, interface: str, key: str, settings: RingSettings) -> None:
        """Go on with a ring that an earlier process left; the older one first.

        `interface` is the name that its interface has now, of no matter when that is gone; `settings` are those that
        the ring was opened with.

        Raises:
            RingError: it is not this port's.
        """
        ring = Ring.adopt(fileno, interface, settings)
        try:
            ring.attach(self._program)  # the configuration may be another one than when the ring was opened
        except RingError:
            ring.close()
            raise
        self._rings.append(_Held(ring=ring, key=key))
        self._nic = niccounters.read(interface)

    def open(self, interface: str, key: str, keep: Callable[[int], object] = lambda _: None) -> None:
        """Open a ring on the interface that serves the port now; `keep` as for `Ring.open`.

        Raises:
            RingError, SpanPortError: it cannot be captured from, or would send.
        """
        if len(self._rings) >= MAX_RINGS:
            raise RingError(f"{interface}: {MAX_RINGS} rings of earlier adapters are not written yet")
        spanport.prepare(interface)
        if problems := spanport.check(interface):
            raise SpanPortError("\n".join(problems))
        ring = Ring.open(interface, self._program, self._settings, keep)
        self._rings.append(_Held(ring=ring, key=key))
        self._nic = niccounters.read(interface)

    def interface_number(self) -> int:
        """Return the number of the interface that fills a ring of this port; 0 when none does."""
        return self._rings[-1].ring.interface_number() if self._rings else 0

    def let_go(self) -> list[str]:
        """Leave rings whose interface is gone and that are read to their end; return their keys.

        To be called now and then, with more than the block timeout between: one is left that was empty twice.
        """
        done = []
        for held in self._rings:
            empty = not held.ring.interface_number() and not held.ring.ready()
            if empty and held.was_empty:
                done.append(held)
            held.was_empty = empty
        for held in done:
            self._left = _sum(self._left, held.ring.statistics())
            self._rings.remove(held)
            held.ring.close()
        return [held.key for held in done]

    def close(self) -> None:
        """Leave all rings."""
        for held in self._rings:
            held.ring.close()
        self._rings.clear()
        self._census.close()
        self._arp.close()

    @property
    def was_read(self) -> bool:
        """Whether there are blocks read and not released."""
        return self._copied is not None

    def unread(self) -> int:
        """Blocks that can be read and were not."""
        return sum(held.ring.ready() for held in self._rings) - self._blocks_read()

    def unread_bytes(self) -> int:
        """Memory that these take."""
        waiting = sum(held.ring.ready() * held.ring.block_bytes for held in self._rings)
        return waiting - (0 if self._reading is None else self._blocks_read() * self._reading.block_bytes)

    def room(self) -> int:
        """Blocks that its rings have."""
        return sum(held.ring.blocks for held in self._rings)

    def room_bytes(self) -> int:
        """Memory that these take."""
        return sum(held.ring.blocks * held.ring.block_bytes for held in self._rings)

    @property
    def block_bytes(self) -> int:
        """Size of the blocks that are read next."""
        ring = self._next_ring()
        return self._settings.block_bytes if ring is None else ring.block_bytes

    def begun_ns(self, most: int) -> list[int]:
        """Real time at which the next blocks that can be read together were begun, `most` of them at most."""
        ring = self._next_ring()
        return [] if ring is None else ring.begun_ns(min(ring.ready(), most))

    def read(self, blocks: int) -> tuple[RecordBatch | None, list[Octets]]:
        """Read the next blocks, no more than `begun_ns` told; nothing is handed back before `release`.

        Returns:
            Their packets, and blocks that could not be read, as the kernel wrote them. Valid until the next read.
        """
        ring = self._next_ring()
        if ring is None or not blocks:
            return None, []
        assert self._copied is None
        self._reading, self._copied = ring, ring.copy(blocks)
        try:
            return ringblock.batch(self._copied, self.number), []
        except RingBlockError:
            return None, self.raw()

    def raw(self) -> list[Octets]:
        """Return the blocks that were read last, as the kernel wrote them."""
        assert self._reading is not None
        count = self._blocks_read()
        self._copied = self._reading.copy(count)  # parsing may have written into the copy
        return [self._copied.block(number) for number in range(count)]

    def release(self) -> None:
        """Hand the blocks that were read last back to the kernel."""
        if self._reading is not None:
            self._reading.release(self._blocks_read())
        self._reading = self._copied = None

    def counted(self, interface: str) -> dict[str, int]:
        """Return what was counted since the last time, by `Counted`, and frames that the interface sent."""
        total = self._left
        for held in self._rings:
            total = _sum(total, held.ring.statistics())
        nic, before = niccounters.read(interface), self._counted
        fresh = nic - self._nic
        self._counted, self._nic = total, nic
        packets = total.packets - before.packets
        # What nothing of passes the filter is looked at: a busy port pays nothing for it.
        others = self._census.count(interface, is_wanted=not packets and fresh.rx_packets > 0)
        return {
            **others,
            Counted.RECEIVED: fresh.rx_packets,
            Counted.PACKETS: packets,
            Counted.DROPS: total.drops - before.drops,
            Counted.FREEZES: total.freezes - before.freezes,
            Counted.NIC_MISSED: fresh.rx_missed + fresh.rx_fifo + fresh.rx_over,
            Counted.SENT: fresh.tx_packets,
        }

    def unanswered(self, interface: str) -> list[str]:
        """Return the addresses that somebody asks for by ARP again and again, and in vain."""
        return self._arp.unanswered(interface)

    def _next_ring(self) -> Ring | None:
        return next((held.ring for held in self._rings if held.ring.ready()), None)

    def _blocks_read(self) -> int:
        return 0 if self._copied is None else len(self._copied.extents)


def _sum(some: RingStatistics, more: RingStatistics) -> RingStatistics:
    return RingStatistics(
        packets=some.packets + more.packets, drops=some.drops + more.drops, freezes=some.freezes + more.freezes
    )
