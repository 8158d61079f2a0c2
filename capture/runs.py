"""Runs of RTP: what the journal holds of each source and destination, without pauses of more than 30 s.

A run says where its packets lie in the journal; it does not hold them. Runs are found by transport address, because
that is what the signalling gives. Copies of one stream on several interfaces, VLANs or tunnels share a run.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from crc32c import crc32c

from capture.endpoint import Endpoint
from capture.errors import JournalError
from capture.flows import FLOW
from capture.journal import ROW_PREFIX_BYTES, MediaBlock
from capture.packets import Extent
from capture.rtp import MIN_SEQUENTIAL

PAUSE_NS = 30_000_000_000
"""A longer pause ends a run; unsignalled media is complete then."""
_WORDS = 3
INLINE = 1 << 63
"""Addresses from here on are packets held by a run itself: this bit, the run's number, a count."""
_COUNT_BITS = 32
_END_OF_TIME = (1 << 63) - 1
_RECOUNTED_PACKETS = 1024
"""Packets left out until it is looked again whether the runs still hold as much as was counted."""

StreamKey = tuple[Endpoint, Endpoint, int]
"""Source, destination, SSRC."""


class Claim(NamedTuple):
    """A stretch of a run that is a call's; capture time, ends included."""

    low_ns: int
    high_ns: int
    by: str = ""
    """The call's id."""
    family: str = ""
    """Id of the first leg of the same call; empty for media without signalling, which shares with nobody."""
    ends: int = 0
    """How well the call's announcements fit, as in `BoundStream.ends`."""
    recorded: bool = False
    """The packets are in a recording."""


@dataclass(slots=True, kw_only=True, eq=False)
class Run:
    """One stream from its first packet to the pause after its last."""

    number: int
    """Number in the table, in order of appearance."""
    source: Endpoint
    destination: Endpoint
    ssrc: int
    first_ns: int
    last_ns: int
    rows: int = 0
    """Packets, copies included."""
    packed: array = field(default_factory=lambda: array("Q"))  # type: ignore[type-arg]  # no subscript before 3.12
    """Extents: address; rows, captured, wire; checksum."""
    claimed: list[Claim] = field(default_factory=list)
    """What belongs to calls."""
    spent: dict[str, set[int]] = field(default_factory=dict)
    """Addresses of extents that a leg has in its parts while another one of its call still needs them, by leg."""
    inline: dict[int, bytes] = field(default_factory=dict)
    """Rows of packets that came in fragments, by address."""
    inline_rows: int = 0
    """How many of them there ever were."""
    inline_bytes: int = 0
    """Bytes of those that it holds."""
    seen_at: set[int] = field(default_factory=set)
    """Interfaces that rows of the journal came over."""

    @property
    def key(self) -> StreamKey:
        """What makes two runs the same stream."""
        return self.source, self.destination, self.ssrc

    @property
    def interfaces(self) -> frozenset[int]:
        """Those that all its packets came over; empty when that is not known, as it is not of fragments."""
        return frozenset() if self.inline_rows else frozenset(self.seen_at)

    def extents(self, by: str = "") -> list[Extent]:
        """Return where the packets lie, in order; those that are still to come into a part of the leg `by`."""
        words = self.packed
        found = [
            Extent(words[i], words[i + 1] >> 32, words[i + 1] >> 16 & 0xFFFF, words[i + 1] & 0xFFFF, words[i + 2])
            for i in range(0, len(words), _WORDS)
        ]
        spent = self.spent.get(by)
        return found if spent is None else [extent for extent in found if extent.address not in spent]

    def hold(self, ts_ns: int, payload: bytes) -> None:
        """Take a packet that is not in the journal."""
        row = ts_ns.to_bytes(ROW_PREFIX_BYTES, "little", signed=True) + payload
        address = INLINE | self.number << _COUNT_BITS | self.inline_rows
        self.packed.extend((address, 1 << 32 | len(payload) << 16 | len(payload), crc32c(row)))
        self.inline[address] = row
        self.rows += 1
        self.inline_rows += 1
        self.inline_bytes += len(row)
        self.first_ns, self.last_ns = min(self.first_ns, ts_ns), max(self.last_ns, ts_ns)

    def spend(self, kept: set[int], by: str, others: set[str]) -> None:
        """Forget the extents that a leg is done with, as soon as the other legs that need the run are done too.

        Args:
            kept: what the leg still needs, by place in its `extents`.
            by: the leg.
            others: the other legs.
        """
        if not others and not self.spent:
            self.keep(kept)
            return
        done = {extent.address for number, extent in enumerate(self.extents(by)) if number not in kept}
        done |= self.spent.get(by, set())
        self.spent = {leg: self.spent[leg] for leg in sorted(others) if leg in self.spent}
        gone = done.intersection(*(self.spent.get(leg, set()) for leg in others))
        self.spent[by] = done
        for addresses in self.spent.values():
            addresses -= gone
        self.keep({number for number, extent in enumerate(self.extents()) if extent.address not in gone})

    def keep(self, numbers: set[int]) -> None:
        """Forget all extents but some, by their place in `extents`."""
        kept = array("Q")
        for number in sorted(numbers):
            kept.extend(self.packed[number * _WORDS : (number + 1) * _WORDS])
        self.packed = kept
        if self.inline:
            self.inline = {address: self.inline[address] for address in kept[::_WORDS] if address >= INLINE}
            self.inline_bytes = sum(map(len, self.inline.values()))

    def free_spans(self, claims: Sequence[Claim] | None = None) -> list[tuple[int, int]]:
        """Return the capture time spans, ends included, that belong to no call yet; `claims`: those that count."""
        spans, cursor = [], self.first_ns
        for claim in sorted(self.claimed if claims is None else claims):
            if claim.low_ns > cursor:
                spans.append((cursor, min(claim.low_ns - 1, self.last_ns)))
            cursor = max(cursor, claim.high_ns + 1)
        if cursor <= self.last_ns:
            spans.append((cursor, self.last_ns))
        return spans

    def oldest(self) -> int | None:
        """Return the journal address below which this run needs nothing."""
        return next((word for word in self.packed[::_WORDS] if word < INLINE), None)


@dataclass(slots=True, kw_only=True)
class RunState:
    """Everything the table knows: goes into a snapshot, and a table made from it goes on the same."""

    by_number: dict[int, Run] = field(default_factory=dict)
    """Every run, in order of appearance."""
    next_number: int = 0
    blocks: array = field(default_factory=lambda: array("Q"))  # type: ignore[type-arg]
    """Of each media block that something may be needed of: address of its first extent, first and last time."""
    inline_bytes: int = 0
    """Bytes of packets in fragments that the runs hold, or held when it was counted last."""
    overflowed: int = 0
    """Packets that were not followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """Bounds of the table."""

    runs: int = 100_000
    """Beyond, the media is not followed, and counted."""
    at_endpoint: int = 1024
    """Likewise of one address, for single packets: a sender that makes up SSRCs must not cost more than itself, nor
    keep a call out. Streams of several packets have eight times the room."""
    inline_bytes: int = 128 << 20
    """Likewise for packets that came in fragments, which no telephone sends."""


class RunTable:
    """All runs that something may still be made of."""

    def __init__(self, state: RunState | None = None, limits: RunLimits | None = None) -> None:
        """Goes on from `state`, which this table then owns; an empty table without one."""
        self.state = state or RunState()
        self.begun: list[Run] = []
        """Runs that are new; the caller takes them away."""
        self._limits = limits or RunLimits()
        self._current: dict[StreamKey, Run] = {}
        """The run each stream is in, or was in last."""
        self._by_endpoint: dict[Endpoint, list[Run]] = {}
        """Runs that come from or go to an address."""
        self._by_flow: dict[bytes, Run] = {}
        """The run each flow record was in last."""
        for run in self.state.by_number.values():
            self._index(run)

    @property
    def by_number(self) -> dict[int, Run]:
        """Every run, in order of appearance; only `remove` may take one out."""
        return self.state.by_number

    @property
    def overflowed(self) -> int:
        """Packets that were not followed."""
        return self.state.overflowed

    def register(self, block: MediaBlock) -> None:
        """Take note of a block's extents."""
        self._note_block(block)
        # By time: which packet comes first after a pause must not depend on sizes or on where blocks begin.
        extents = block.extents[np.argsort(block.extents["first_ns"], kind="stable")]
        rows = extents["rows"].astype(np.uint64)
        shapes = rows << np.uint64(32) | extents["captured"].astype(np.uint64) << np.uint64(16) | extents["wire"]
        columns = zip(
            extents["flow"].copy().view(f"V{FLOW.itemsize}").tolist(),
            extents["first_ns"].tolist(),
            extents["last_ns"].tolist(),
            extents["address"].tolist(),
            shapes.tolist(),
            extents["crc"].tolist(),
            rows.tolist(),
            strict=True,
        )
        by_flow, by_number = self._by_flow, self.state.by_number
        for flow, first_ns, last_ns, address, shape, crc, count in columns:
            run = by_flow.get(flow)
            if run is None or first_ns - run.last_ns > PAUSE_NS or run.number not in by_number:
                run = self._run(_stream_key(flow), first_ns, last_ns, count)
                if run is None:
                    continue
                if len(by_flow) >= 2 * self._limits.runs:
                    by_flow.clear()
                by_flow[flow] = run
                run.seen_at.add(_interface(flow))
            run.packed.extend((address, shape, crc))
            run.rows += count
            if last_ns > run.last_ns:
                run.last_ns = last_ns
            if first_ns < run.first_ns:
                run.first_ns = first_ns

    def _note_block(self, block: MediaBlock) -> None:
        address, blocks = int(block.extents["address"].min(initial=INLINE)), self.state.blocks
        if address < INLINE and (not blocks or blocks[-_WORDS] < address):
            blocks.extend((address, max(block.first_ns, 0), max(block.last_ns, 0)))

    def times_of(self, address: int) -> tuple[int, int] | None:
        """Return the capture time that the media block with an extent's address covers; None when it is not known."""
        blocks = self.state.blocks
        at = bisect_right(range(0, len(blocks), _WORDS), address, key=blocks.__getitem__) - 1
        return (blocks[at * _WORDS + 1], blocks[at * _WORDS + 2]) if at >= 0 else None

    def let_go(self, run: Run, until_ns: int) -> None:
        """Forget a run's packets up to a capture time; those of a block that goes beyond it stay."""
        addresses = run.packed[::_WORDS]
        gone = self._last_ns(run, addresses) <= until_ns
        first = len(gone) if gone.all() else int(np.argmin(gone))
        if first:
            run.keep(set(range(first, len(addresses))))
            held = set(addresses[first:]) if run.spent else set()
            run.spent = {leg: spent & held for leg, spent in run.spent.items()}

    def _last_ns(self, run: Run, addresses: Sequence[int]) -> npt.NDArray[np.int64]:
        """The times up to which extents may have packets; the end of time where it is not known."""
        words = np.array(addresses, np.uint64)
        blocks = np.array(self.state.blocks, np.uint64).reshape(-1, _WORDS)
        at = np.searchsorted(blocks[:, 0], words, side="right")
        last_ns = np.concatenate(([_END_OF_TIME], blocks[:, 2].astype(np.int64)))[at]
        for place in np.flatnonzero(words >= INLINE).tolist():
            row = run.inline[addresses[place]]
            last_ns[place] = int.from_bytes(row[:ROW_PREFIX_BYTES], "little", signed=True)
        return last_ns

    def forget_blocks(self, address: int | None) -> None:
        """Forget the times of blocks of which nothing is needed: of those before the one with an extent's address, or
        of all."""
        blocks = self.state.blocks
        if address is None:
            del blocks[:]
        else:
            at = bisect_right(range(0, len(blocks), _WORDS), address, key=blocks.__getitem__) - 1
            del blocks[: max(at, 0) * _WORDS]

    def add_packet(self, key: StreamKey, ts_ns: int, payload: bytes) -> None:
        """Take an RTP packet that was put together from fragments."""
        size = ROW_PREFIX_BYTES + len(payload)
        if self.state.inline_bytes + size > self._limits.inline_bytes:
            if self.state.overflowed % _RECOUNTED_PACKETS == 0:
                self.state.inline_bytes = sum(run.inline_bytes for run in self.by_number.values())
            if self.state.inline_bytes + size > self._limits.inline_bytes:
                self.state.overflowed += 1
                return
        run = self._run(key, ts_ns, ts_ns, 1)
        if run is not None:
            run.hold(ts_ns, payload)
            self.state.inline_bytes += size

    def add_rows(self, extents: npt.NDArray[np.void], rows: Sequence[npt.NDArray[np.uint8]]) -> None:
        """Take media rows, as intake makes them, that are in no media block of the journal."""
        flows = np.repeat(extents["flow"], extents["rows"].astype(np.int64))
        packets = (row for piece in rows for row in piece)
        for flow, row in zip(flows.view(f"V{FLOW.itemsize}").tolist(), packets, strict=True):
            ts_ns = int.from_bytes(row[:ROW_PREFIX_BYTES].tobytes(), "little", signed=True)
            self.add_packet(_stream_key(flow), ts_ns, row[ROW_PREFIX_BYTES:].tobytes())

    def read_inline(self, address: int, target: memoryview) -> None:
        """Fill `target` from a packet that a run holds.

        Raises:
            JournalError: it does not any more.
        """
        run = self.by_number.get((address ^ INLINE) >> _COUNT_BITS)
        held = None if run is None else run.inline.get(address)
        if held is None:
            raise JournalError("packet is no longer held")
        target[:] = held

    def at(self, endpoint: Endpoint) -> list[Run]:
        """Return the runs from or to an address."""
        return self._by_endpoint.get(endpoint, [])

    def remove(self, run: Run) -> None:
        """Forget a run."""
        for endpoint in dict.fromkeys((run.source, run.destination)):
            runs = self._by_endpoint[endpoint]
            runs.remove(run)
            if not runs:
                del self._by_endpoint[endpoint]
        if self._current.get(run.key) is run:
            del self._current[run.key]
        self.state.inline_bytes = max(0, self.state.inline_bytes - run.inline_bytes)
        del self.by_number[run.number]

    def _run(self, key: StreamKey, first_ns: int, last_ns: int, rows: int) -> Run | None:
        """Return the run that packets belong to, a new one after a pause; None when there are too many."""
        run = self._current.get(key)
        if run is not None and first_ns - run.last_ns <= PAUSE_NS:
            return run
        busiest = max(len(self.at(key[0])), len(self.at(key[1])))
        room = self._limits.at_endpoint * (8 if rows >= MIN_SEQUENTIAL else 1)
        if len(self.by_number) >= self._limits.runs or busiest >= room:
            self.state.overflowed += rows
            return None
        return self._begin(key, first_ns, last_ns)

    def _begin(self, key: StreamKey, first_ns: int, last_ns: int) -> Run:
        number = self.state.next_number
        run = Run(number=number, source=key[0], destination=key[1], ssrc=key[2], first_ns=first_ns, last_ns=last_ns)
        self.state.next_number += 1
        self.state.by_number[number] = run
        self.begun.append(run)
        self._index(run)
        return run

    def _index(self, run: Run) -> None:
        self._current[run.key] = run
        for endpoint in dict.fromkeys((run.source, run.destination)):
            self._by_endpoint.setdefault(endpoint, []).append(run)


def _stream_key(flow: bytes) -> StreamKey:
    record = np.frombuffer(flow, FLOW)[0]
    size = 16 if record["version"] == 6 else 4
    source = Endpoint(record["source"].tobytes()[:size], _number(record["source_port"]))
    destination = Endpoint(record["destination"].tobytes()[:size], _number(record["destination_port"]))
    return source, destination, _number(record["ssrc"])


def _interface(flow: bytes) -> int:
    return int(np.frombuffer(flow, FLOW)[0]["interface"])


def _number(field: npt.NDArray[np.uint8]) -> int:
    return int.from_bytes(field.tobytes(), "big")
