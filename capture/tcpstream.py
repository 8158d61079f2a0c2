"""TCP reassembly of what a mirror shows of each direction of a connection (RFC 9293).

Not a TCP endpoint: nothing is acknowledged, so a segment the mirror lost never comes, and a hole is skipped after a
while instead of being waited for. State of one direction, by its `next_position` (absolute, so that the 32-bit wrap
does not matter):

| segment                                     | effect                                                                |
|---------------------------------------------|-----------------------------------------------------------------------|
| unknown connection, SYN                     | the stream starts after the SYN, without a gap                        |
| unknown connection, payload                 | picked up mid-stream: the first chunk has a gap before it             |
| SYN of the same start                       | a retransmission: only its payload counts                             |
| SYN of another start                        | a new connection on the same ports: what is held comes out, new start |
| at `next_position`                          | comes out, with everything held that follows it                       |
| wholly or partly before                     | the part already seen is cut off (retransmission, keep-alive probe)   |
| ahead, at most `WINDOW_BYTES`               | held; the hole is skipped after `HOLE_NS` or at a `MAX_HELD_` limit    |
| further away                                | set aside; believed when another follows it, or after `HOLE_NS` alone |
| RST inside the window                       | what is held comes out; the place is kept                             |
| FIN, bare acknowledgement                   | nothing: the place is kept until it is the one idle for longest       |

The bytes and their order depend on the segments and their times only, not on how often `expire` is called meanwhile
(as long as `max_bytes` is not reached). It does not look at the bytes: framing is the reader's.
"""

from dataclasses import dataclass, field

from capture.sparse import SparseBytes

SYN = 0x02
RST = 0x04
WINDOW_BYTES = 1 << 20
"""How far from the expected position a segment is still taken for part of the stream."""
HOLE_NS = 2_000_000_000
"""Packet time after which a hole is skipped."""
MAX_HELD_SEGMENTS = 64
"""Pieces held behind a hole; one more and the hole is skipped."""
MAX_HELD_BYTES = 256 * 1024
"""Memory held behind a hole of one direction."""

Chunk = tuple[bytes, bool]
"""Bytes in order, and whether bytes are missing right before them."""


@dataclass(slots=True, kw_only=True)
class TcpDirection:
    """One direction of one connection."""

    start_position: int
    """Position of the first payload byte known."""
    next_position: int
    """Position of the next byte to come out; its low 32 bits are the sequence number."""
    synchronised: bool = False
    """The stream's beginning was seen (SYN), so an earlier start is another connection."""
    gap: bool = False
    """Bytes are missing before the next chunk."""
    held: SparseBytes = field(default_factory=SparseBytes)
    """What arrived beyond a hole."""
    hole_ns: int = 0
    """Packet time since which the hole before `held` is open."""
    stray_position: int = 0
    """Position of `stray`."""
    stray: bytes = b""
    """A payload far outside the window, set aside; empty without one."""
    stray_ns: int = 0
    """Packet time at which it came."""

    def position(self, sequence: int) -> int:
        """Absolute position of a 32-bit sequence number: the one nearest to the next expected."""
        return self.next_position + ((sequence - self.next_position + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000

    def deadline_ns(self) -> int | None:
        """When `HOLE_NS` has passed for a hole or a stray payload."""
        since = [self.hole_ns] * bool(self.held) + [self.stray_ns] * bool(self.stray)
        return min(since) + HOLE_NS if since else None


@dataclass(slots=True, kw_only=True)
class TcpReassembler:
    """Segments in, bytes in order out, for many connections. The object itself is plain state, to be serialised."""

    max_connections: int = 8192
    """Directions kept; beyond, the one idle for longest is forgotten."""
    max_bytes: int = 16 * 1024 * 1024
    """Memory held behind holes in all; beyond, a hole is skipped at once."""
    directions: dict[bytes, TcpDirection] = field(default_factory=dict)
    """State by the caller's key, the one idle for longest first."""
    waiting: dict[bytes, int] = field(default_factory=dict)
    """Deadline of each direction that holds something."""
    held_bytes: int = 0
    """Memory held behind holes now."""
    gaps: int = 0
    """Holes skipped."""
    retransmitted: int = 0
    """Segments that brought nothing new, keep-alive probes included."""
    overlapped: int = 0
    """Segments part of which was already there."""
    resynchronised: int = 0
    """Jumps to a sequence far away from the one known."""
    picked_up: int = 0
    """Directions whose beginning was not seen."""
    evicted: int = 0
    """Directions forgotten because there were too many."""

    def segment(self, ts_ns: int, key: bytes, sequence: int, flags: int, payload: bytes) -> list[Chunk]:
        """Take one segment; what now comes out in order, as (bytes, gap before them). Never raises on input.

        `key` stands for one direction of one connection, `sequence` is the header's 32 bits, `flags` the header's low
        flag byte. The first chunk of a stream picked up mid-way, or of a new connection on known ports, has a gap
        before it.
        """
        direction = self.directions.pop(key, None)
        if direction is None:
            direction = self._open(sequence, flags, payload)
            if direction is None:
                return []
        self.directions[key] = direction  # to the end of the dictionary: the one idle for longest is in front
        chunks = self._skip_overdue(direction, ts_ns) if key in self.waiting else []
        if flags & RST:
            self._reset(direction, sequence, chunks)
        else:
            if flags & SYN:
                self._synchronise(direction, ts_ns, sequence, chunks)
                sequence += 1
            if payload:
                self._payload(direction, ts_ns, direction.position(sequence), bytes(payload), chunks)
        self._watch(key, direction)
        self._evict()
        return chunks

    def expire(self, now_ns: int) -> list[tuple[int, bytes, list[Chunk]]]:
        """Skip every hole that has been open for `HOLE_NS` at packet time `now_ns`.

        Gives (deadline that passed, key, chunks), earliest deadline first. Called before each `segment` with its
        time, or once a block: the bytes are the same.
        """
        due = sorted((deadline, key) for key, deadline in self.waiting.items() if deadline < now_ns)
        released: list[tuple[int, bytes, list[Chunk]]] = []
        for deadline, key in due:
            direction = self.directions[key]
            released.append((deadline, key, self._skip_overdue(direction, now_ns)))
            self._watch(key, direction)
        return released

    def flush(self) -> list[tuple[bytes, list[Chunk]]]:
        """Everything still held, holes skipped: for the end of the input."""
        released: list[tuple[bytes, list[Chunk]]] = []
        for key in sorted(self.waiting):
            direction = self.directions[key]
            chunks: list[Chunk] = []
            self._release_held(direction, chunks)
            if direction.stray:
                self._believe_stray(direction, chunks)
            released.append((key, chunks))
            self._watch(key, direction)
        return released

    def next_deadline(self) -> int | None:
        """Packet time after which `expire` has something to do."""
        return min(self.waiting.values(), default=None)

    def _open(self, sequence: int, flags: int, payload: bytes) -> TcpDirection | None:
        """State for a connection not known; None when the segment says nothing (a bare acknowledgement, FIN or RST)."""
        if flags & SYN and not flags & RST:
            return TcpDirection(start_position=sequence + 1, next_position=sequence + 1, synchronised=True)
        if flags & RST or not payload:
            return None
        self.picked_up += 1
        # One byte alone is a keep-alive probe: an old byte, and often not even the one that was sent.
        position = sequence + (len(payload) == 1)
        return TcpDirection(start_position=position, next_position=position, gap=True)

    def _reset(self, direction: TcpDirection, sequence: int, chunks: list[Chunk]) -> None:
        if abs(direction.position(sequence) - direction.next_position) <= WINDOW_BYTES:
            self._release_held(direction, chunks)

    def _synchronise(self, direction: TcpDirection, ts_ns: int, sequence: int, chunks: list[Chunk]) -> None:
        """A SYN on a direction that is known: a copy, one that came late, or a new connection on the same ports."""
        position = direction.position(sequence + 1)
        late = not direction.synchronised and 0 <= direction.start_position - position <= WINDOW_BYTES
        if position == direction.start_position or late:
            return
        self._restart(direction, position, chunks)
        direction.synchronised = True
        stray, direction.stray = direction.stray, b""
        if stray:  # perhaps the new connection's first payload, which overtook its SYN
            self._payload(direction, ts_ns, direction.position(direction.stray_position), stray, chunks)

    def _payload(self, direction: TcpDirection, ts_ns: int, position: int, payload: bytes, chunks: list[Chunk]) -> None:
        ahead = position - direction.next_position
        if abs(ahead) > WINDOW_BYTES:
            self._far(direction, ts_ns, position, payload, chunks)
            return
        direction.stray = b""
        if ahead > 0:
            self._hold(direction, ts_ns, position, payload, chunks)
        elif len(payload) + ahead <= 0:
            self.retransmitted += 1
        else:
            self.overlapped += ahead < 0
            self._deliver(direction, payload[-ahead:] if ahead else payload, chunks)
            self._deliver_held(direction, chunks)
            direction.hole_ns = ts_ns

    def _hold(self, direction: TcpDirection, ts_ns: int, position: int, payload: bytes, chunks: list[Chunk]) -> None:
        held, before = direction.held, direction.held.cost_bytes
        if not held:
            direction.hole_ns = ts_ns
        overlap = held.insert(position, payload)
        self.retransmitted += overlap == len(payload)
        self.overlapped += 0 < overlap < len(payload)
        self.held_bytes += held.cost_bytes - before
        while held and (
            len(held) > MAX_HELD_SEGMENTS or held.cost_bytes > MAX_HELD_BYTES or self.held_bytes > self.max_bytes
        ):
            self._skip_hole(direction, chunks)
            direction.hole_ns = ts_ns

    def _far(self, direction: TcpDirection, ts_ns: int, position: int, payload: bytes, chunks: list[Chunk]) -> None:
        """A payload outside the window: forged, damaged, or the sequence of a connection whose beginning was missed."""
        if not direction.stray or abs(position - direction.stray_position) > WINDOW_BYTES:
            direction.stray_position, direction.stray, direction.stray_ns = position, payload, ts_ns
        elif (position, payload) == (direction.stray_position, direction.stray):
            self.retransmitted += 1
        else:
            if position < direction.stray_position:
                position, direction.stray_position = direction.stray_position, position
                payload, direction.stray = direction.stray, payload
            self._believe_stray(direction, chunks)
            self._payload(direction, ts_ns, position, payload, chunks)

    def _believe_stray(self, direction: TcpDirection, chunks: list[Chunk]) -> None:
        self.resynchronised += 1
        self._restart(direction, direction.stray_position, chunks)
        direction.synchronised = False
        payload, direction.stray = direction.stray, b""
        self._deliver(direction, payload, chunks)

    def _restart(self, direction: TcpDirection, position: int, chunks: list[Chunk]) -> None:
        self._release_held(direction, chunks)
        direction.start_position = direction.next_position = position
        direction.gap = True

    def _deliver(self, direction: TcpDirection, payload: bytes, chunks: list[Chunk]) -> None:
        chunks.append((payload, direction.gap))
        direction.gap = False
        direction.next_position += len(payload)

    def _deliver_held(self, direction: TcpDirection, chunks: list[Chunk]) -> None:
        if not direction.held:
            return
        before = direction.held.cost_bytes
        for piece in direction.held.take_from(direction.next_position):
            self._deliver(direction, piece, chunks)
        self.held_bytes += direction.held.cost_bytes - before

    def _skip_hole(self, direction: TcpDirection, chunks: list[Chunk]) -> None:
        self.gaps += 1
        direction.next_position = direction.held.starts[0]
        direction.gap = True
        self._deliver_held(direction, chunks)

    def _release_held(self, direction: TcpDirection, chunks: list[Chunk]) -> None:
        while direction.held:
            self._skip_hole(direction, chunks)

    def _skip_overdue(self, direction: TcpDirection, now_ns: int) -> list[Chunk]:
        chunks: list[Chunk] = []
        while (deadline := direction.deadline_ns()) is not None and deadline < now_ns:
            if direction.held and direction.hole_ns + HOLE_NS == deadline:
                self._skip_hole(direction, chunks)
                direction.hole_ns = deadline  # not now: the next hole's turn must not depend on when this was called
            else:
                self._believe_stray(direction, chunks)
        return chunks

    def _watch(self, key: bytes, direction: TcpDirection) -> None:
        deadline = direction.deadline_ns() if direction.held or direction.stray else None
        if deadline is not None:
            self.waiting[key] = deadline
        elif key in self.waiting:
            del self.waiting[key]

    def _evict(self) -> None:
        while len(self.directions) > self.max_connections:
            key = next(iter(self.directions))
            self.held_bytes -= self.directions.pop(key).held.cost_bytes
            self.waiting.pop(key, None)
            self.evicted += 1
