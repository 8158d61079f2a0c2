"""Batches of several sources in one order of time: capture files that overlap, mirror ports beside each other."""

from collections.abc import Iterator, Sequence

import numpy as np

from capture.octets import IntArray
from capture.records import GUARD_BYTES, RecordBatch


def merge(sources: Sequence[Iterator[RecordBatch]]) -> Iterator[RecordBatch]:
    """Merge batches of several sources by time, records of one time in the order of the sources.

    Each source keeps its own order: a record whose time goes back counts as late as the latest before it. A batch is
    valid until the next one is asked for.
    """
    heads = [head for head in map(_Head, sources) if head.fill()]
    while heads:
        # Up to where every source is known; the source that is known least far is then asked for more.
        shortest = min(range(len(heads)), key=lambda number: heads[number].known_ns)
        until_ns = heads[shortest].known_ns
        yield interleave([head.take(until_ns, with_it=number <= shortest) for number, head in enumerate(heads)])
        heads = [head for head in heads if head.fill()]


class _Head:
    """The part of a source's current batch that was not handed on yet."""

    def __init__(self, source: Iterator[RecordBatch]) -> None:
        self._source = source
        self._batch: RecordBatch | None = None
        self._clock = np.zeros(0, np.int64)
        self._from = 0
        self.known_ns = np.iinfo(np.int64).min
        """Latest time in the source so far: what follows is not earlier."""

    def fill(self) -> bool:
        """Fetch the next batch when this one is used up; False at the end."""
        while self._from >= len(self._clock):
            self._batch = next(self._source, None)
            if self._batch is None:
                return False
            self._clock = np.maximum(np.maximum.accumulate(self._batch.ts_ns), self.known_ns)
            self._from = 0
            if len(self._clock):
                self.known_ns = int(self._clock[-1])
        return True

    def take(self, until_ns: int, *, with_it: bool) -> tuple[RecordBatch, IntArray]:
        """Return the records before a time, or up to and with it, and the times they count as."""
        batch = self._batch
        assert batch is not None
        low, high = self._from, int(np.searchsorted(self._clock, until_ns, side="right" if with_it else "left"))
        self._from = high
        return batch.rows(low, high), self._clock[low:high]


def interleave(parts: Sequence[tuple[RecordBatch, IntArray]]) -> RecordBatch:
    """Put records of several batches in order of the times they count as, in one buffer; not all may be empty."""
    parts = [part for part in parts if len(part[0])]
    batches = [batch for batch, _ in parts]
    if len(batches) == 1:
        return batches[0]
    order = np.argsort(np.concatenate([clock for _, clock in parts]), kind="stable")
    pieces, starts, end = [], [], 0
    for batch in batches:
        low = int(batch.start.min())
        pieces.append(batch.buffer[low : int((batch.start + batch.captured).max())])
        starts.append(batch.start - low + end)
        end += len(pieces[-1])
    return RecordBatch(
        buffer=np.concatenate([*pieces, np.zeros(GUARD_BYTES, np.uint8)]),
        start=np.concatenate(starts)[order],
        captured=np.concatenate([batch.captured for batch in batches])[order],
        wire=np.concatenate([batch.wire for batch in batches])[order],
        ts_ns=np.concatenate([batch.ts_ns for batch in batches])[order],
        interface=np.concatenate([batch.interface for batch in batches])[order],
        link_type=np.concatenate([batch.link_type for batch in batches])[order],
    )
