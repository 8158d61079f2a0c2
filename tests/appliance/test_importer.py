"""Merging capture files by time: like sorting all records, however they are read; and nothing of a frame is lost."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.importer import numbered
from capture.merging import merge
from capture.records import GUARD_BYTES, RecordBatch
from tests.capture.batches import batch_of

BOUNDED = settings(max_examples=150, deadline=None)
Record = tuple[int, bytes, int, int, int]
"""Time, frame, wire length, interface, link type."""


def source(number: int, times: Sequence[int], cuts: Sequence[int] = ()) -> tuple[list[Record], list[RecordBatch]]:
    """The records of one file, each one unlike all others, and the batches that they are read in."""
    records = [
        (ts_ns, f"{number}:{place}".encode() + bytes(place % 7), 100 + place, 3 * place % 5, 1 + place % 2)
        for place, ts_ns in enumerate(times)
    ]
    places = sorted({0, len(records), *(place for place in cuts if place < len(records))})
    return records, [batch(records[low:high]) for low, high in itertools.pairwise(places)]


def batch(records: Sequence[Record]) -> RecordBatch:
    return batch_of(
        [record[1] for record in records],
        times=[record[0] for record in records],
        wires=[record[2] for record in records],
        interfaces=[record[3] for record in records],
        link_type=[record[4] for record in records],
        gap=b"header",
    )


def fleeting(batches: Sequence[RecordBatch]) -> Iterator[RecordBatch]:
    """Hand over batches as a reader does: when the next one is asked for, the buffer holds something else."""
    for each in batches:
        yield each
        each.buffer[:] = 0xEE


def merged(sources: Sequence[Sequence[RecordBatch]]) -> tuple[list[Record], int]:
    """All records, and how many batches they came in."""
    found: list[Record] = []
    count = 0
    for each in merge([fleeting(batches) for batches in sources]):
        count += 1
        assert len(each)
        assert len(each.buffer) >= int((each.start + each.captured).max()) + GUARD_BYTES
        data = each.buffer.tobytes()
        frames = [data[s : s + n] for s, n in zip(each.start.tolist(), each.captured.tolist(), strict=True)]
        columns = (each.wire, each.interface, each.link_type)
        found += zip(each.ts_ns.tolist(), frames, *(column.tolist() for column in columns), strict=True)
    return found, count


def expected(sources: Sequence[Sequence[Record]]) -> list[Record]:
    """The slow way: a record counts as late as the latest before it in its file; then by time, file and place."""
    keyed = []
    for number, records in enumerate(sources):
        clock = None
        for place, record in enumerate(records):
            clock = record[0] if clock is None else max(clock, record[0])
            keyed.append((clock, number, place, record))
    return [entry[-1] for entry in sorted(keyed)]


CUTS = st.lists(st.integers(1, 40), max_size=6)
SORTED = st.lists(st.integers(-5, 30), max_size=40).map(sorted)
ANY_ORDER = st.lists(st.one_of(st.integers(-5, 30), st.sampled_from([-(1 << 62), 1 << 62])), max_size=40)


@BOUNDED
@given(files=st.lists(st.tuples(SORTED, CUTS), max_size=5))
def test_equals_sorting(files):
    sources = [source(number, *file) for number, file in enumerate(files)]
    found, _ = merged([batches for _, batches in sources])
    assert found == sorted((record for records, _ in sources for record in records), key=lambda record: record[0])


@BOUNDED
@given(files=st.lists(st.tuples(ANY_ORDER, CUTS), max_size=4))
def test_a_file_that_is_not_sorted_keeps_its_order(files):
    sources = [source(number, *file) for number, file in enumerate(files)]
    found, _ = merged([batches for _, batches in sources])
    assert found == expected([records for records, _ in sources])
    for number, (records, _) in enumerate(sources):
        assert [record for record in found if record[1].startswith(b"%d:" % number)] == records


def test_the_times_that_are_handed_on_are_those_of_the_file():
    found, _ = merged([source(0, [5, 2, 9])[1], source(1, [3, 6])[1]])
    assert [record[0] for record in found] == [3, 5, 2, 6, 9]


def test_one_file_is_handed_on_as_it_is():
    batches = source(0, [1, 5, 3, 7], cuts=[2])[1]
    for found, given_ in zip(merge([iter(batches)]), batches, strict=True):
        assert found is given_


def test_files_one_after_the_other_are_not_copied():
    first, second = source(0, [1, 2, 3], cuts=[2])[1], source(1, [4, 5])[1]
    for found, given_ in zip(merge([iter(second), iter(first)]), [*first, *second], strict=True):
        assert found.buffer is given_.buffer


@pytest.mark.parametrize("files", [2, 3, 7])
def test_interleaved_files_stay_in_large_batches(files):
    """Two mirrors show every packet twice: a batch a packet would be a journal block a packet."""
    cuts = range(100, 1000, 100)
    sources = [source(number, range(number, 1000 * files, files), cuts) for number in range(files)]
    found, count = merged([batches for _, batches in sources])
    assert [record[0] for record in found] == list(range(1000 * files))
    assert count <= 10 * files


@pytest.mark.parametrize("files", [0, 1, 3])
def test_nothing(files):
    assert merged([[] for _ in range(files)]) == ([], 0)
    assert merged([[batch([])] * 2 for _ in range(files)]) == ([], 0)


def test_interfaces_of_several_files_are_distinct():
    """Up to 256 files of 256 interfaces."""
    seen: set[int] = set()
    every = np.arange(256).tolist()
    for number in range(256):
        (found,) = numbered(iter([batch_of([b"x"] * 256, interfaces=every)]), number)
        seen.update(found.interface.tolist())
    assert len(seen) == 1 << 16


def test_one_file_may_have_more_interfaces():
    (found,) = numbered(iter([batch_of([b"x"] * 2, interfaces=[65535, 256])]), 0)
    assert found.interface.tolist() == [65535, 256]
