"""The journal on disk: blocks at their addresses, files that come and go."""

import os
import resource
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture import journal
from capture.errors import JournalError
from capture.journal import EXTENT, HEADER, Bytes, Event, EventBlock, MediaBlock, SignallingBlock
from capture.journalfile import FILE_BYTES, HELD_BYTES, OFFSET_BITS, TransientJournal
from capture.unitfile import UNIT_BYTES
from tests.capture.batches import batch_of

LARGE = np.zeros(FILE_BYTES // 2 + 1, np.uint8)
"""Two of them are more than a file."""


SPILL = np.zeros(HELD_BYTES + 1, np.uint8)
"""More than is held in memory."""


def piece(content: bytes) -> Bytes:
    return np.frombuffer(content, np.uint8)


def read(spool: TransientJournal, address: int, size: int) -> bytes:
    target = bytearray(size)
    spool.read_into(address, memoryview(target))
    return bytes(target)


def test_what_is_appended_is_read_back(tmp_path):
    with TransientJournal(tmp_path) as spool:
        assert spool.end == 0
        first = spool.append([piece(b"one"), piece(b""), piece(b"two")])
        second = spool.append([piece(b"three")])
        assert (first, second, spool.end) == (0, 6, 11)
        assert spool.bytes_written == 11
        assert read(spool, first, 6) == b"onetwo"
        assert read(spool, second, 5) == b"three"
        assert read(spool, first + 2, 5) == b"etwot"
        assert read(spool, 11, 0) == b""


def test_a_small_journal_is_no_file(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with TransientJournal(tmp_path) as spool:
        address = spool.append([SPILL[1:]])
        assert len(os.listdir("/proc/self/fd")) == before
        assert read(spool, address, HELD_BYTES) == bytes(HELD_BYTES)


def test_the_files_have_no_name_and_vanish(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with TransientJournal(tmp_path) as spool:
        spool.append([SPILL])
        assert list(tmp_path.iterdir()) == []
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(JournalError):
        read(spool, 0, 1)


@pytest.mark.parametrize(
    ("address", "size"), [(0, 12), (11, 1), (1 << OFFSET_BITS, 1), (5, 100), (1 << 62, 1), ((1 << OFFSET_BITS) - 1, 1)]
)
def test_what_is_not_there(tmp_path, address, size):
    with TransientJournal(tmp_path) as spool:
        spool.append([piece(b"eleven byte")])
        with pytest.raises(JournalError, match="journal does not hold what is asked for"):
            read(spool, address, size)


def test_a_directory_that_does_not_exist(tmp_path):
    with TransientJournal(tmp_path / "absent") as spool, pytest.raises(FileNotFoundError):
        spool.append([SPILL])


def test_a_write_that_ends_half_way(tmp_path):
    """The file system takes a part and then no more; nothing that was taken is lost, and writing is tried again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with TransientJournal(tmp_path) as spool:
        first = spool.append([piece(b"before"), SPILL[7:]])
        resource.setrlimit(resource.RLIMIT_FSIZE, (UNIT_BYTES + 4096, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                spool.append([piece(b"x" * 60)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        after = spool.append([piece(b"after")])
        assert after == spool.end - 5
        assert read(spool, first, 6) == b"before"
        assert read(spool, after, 5) == b"after"


def test_everything_is_read_back_from_file_and_memory(tmp_path):
    """More than the cache of units holds, read forward, backward and across the borders of units and of memory."""
    content = np.random.default_rng(1).integers(0, 256, 5 * HELD_BYTES + 12_345, np.uint8)
    pieces = np.split(content, [1, UNIT_BYTES, HELD_BYTES + 7, 3 * HELD_BYTES - 1])
    with TransientJournal(tmp_path) as spool:
        address = spool.append(pieces)
        assert read(spool, address, len(content)) == content.tobytes()
        for start in range(len(content) - 5, 0, -UNIT_BYTES // 2):
            assert read(spool, address + start, 5) == content[start : start + 5].tobytes()
        with pytest.raises(JournalError):
            read(spool, address + 1, len(content))


@pytest.mark.parametrize("folder", ["/dev/shm", None])
def test_file_systems(folder):
    """Not every one lets its page cache be passed by, nor gives a place without a name."""
    with tempfile.TemporaryDirectory(dir=folder) as directory, TransientJournal(Path(directory)) as spool:
        address = spool.append([SPILL, piece(b"content"), SPILL])
        assert read(spool, address + len(SPILL) - 1, 9) == b"\0content\0"


class TestRotation:
    def test_addresses_name_the_file(self, tmp_path):
        with TransientJournal(tmp_path) as spool:
            addresses = [spool.append([LARGE, piece(b"%d" % n)]) for n in range(5)]
            assert [address >> OFFSET_BITS for address in addresses] == [0, 0, 1, 1, 2]
            assert addresses[1] == len(LARGE) + 1
            assert addresses[2] == 1 << OFFSET_BITS
            assert [read(spool, address + len(LARGE), 1) for address in addresses] == [b"0", b"1", b"2", b"3", b"4"]
            assert spool.end == addresses[4] + len(LARGE) + 1
            assert spool.bytes_written == 5 * (len(LARGE) + 1)
            self._forget(spool, addresses)

    def _forget(self, spool: TransientJournal, addresses: list[int]) -> None:
        """Only whole files go, and never the one being written."""
        for before, held in (
            (0, 5),
            (addresses[1], 5),
            (addresses[2], 3),
            (addresses[3], 3),
            (spool.end, 1),
            (1 << 62, 1),
        ):
            spool.forget_before(before)
            for number, address in enumerate(addresses):
                if number >= len(addresses) - held:
                    assert read(spool, address + len(LARGE), 1) == b"%d" % number
                else:
                    with pytest.raises(JournalError):
                        read(spool, address + len(LARGE), 1)
        address = spool.append([piece(b"goes on")])
        assert read(spool, address, 7) == b"goes on"

    def test_nothing_to_forget(self, tmp_path):
        with TransientJournal(tmp_path) as spool:
            spool.forget_before(1 << 50)
            spool.append([piece(b"x")])
            spool.forget_before(1 << 50)
            assert read(spool, 0, 1) == b"x"


def media_pieces(payload: bytes) -> list[Bytes]:
    extents = np.zeros(1, EXTENT)
    extents["rows"], extents["captured"], extents["wire"] = 1, len(payload), len(payload)
    return journal.serialize_media(5, 6, extents, [piece(bytes(8) + payload).reshape(1, -1)])


class TestBlocks:
    def test_every_kind(self, tmp_path):
        with TransientJournal(tmp_path) as spool:
            spool.append([piece(b"something before")])
            media = spool.append(media_pieces(b"speech"))
            signalling = spool.append(journal.serialize_signalling(batch_of([b"frame"])))
            events = spool.append(journal.serialize_events([Event(ts_ns=1, kind="start", detail={})]))
            block = spool.block(media)
            assert isinstance(block, MediaBlock)
            (extent,) = block.extents
            assert read(spool, int(extent["address"]), 14) == bytes(8) + b"speech"
            assert isinstance(spool.block(signalling), SignallingBlock)
            assert isinstance(spool.block(events), EventBlock)
            for address in (0, media + 1, spool.end):
                with pytest.raises(JournalError):
                    spool.block(address)

    def test_a_torn_block(self, tmp_path):
        whole = np.concatenate(journal.serialize_signalling(batch_of([b"frame"])))
        for size in range(len(whole)):
            with TransientJournal(tmp_path) as spool:
                spool.append([whole[:size]])
                if size:
                    with pytest.raises(JournalError):
                        spool.block(0)

    def test_a_header_that_asks_for_too_much(self, tmp_path):
        head = np.concatenate(media_pieces(b"x"))[: HEADER.itemsize].copy().view(HEADER)
        head["entries"] = (1 << 32) - 1
        with TransientJournal(tmp_path) as spool:
            spool.append([head.view(np.uint8)])
            with pytest.raises(JournalError, match="block size out of range"):
                spool.block(0)


@settings(max_examples=40, deadline=None)
@given(blocks=st.lists(st.lists(st.binary(max_size=40), max_size=4), max_size=20))
def test_any_pieces(blocks):
    with tempfile.TemporaryDirectory() as folder, TransientJournal(Path(folder)) as spool:
        addresses = [spool.append([piece(content) for content in pieces]) for pieces in blocks]
        for address, pieces in zip(addresses, blocks, strict=True):
            content = b"".join(pieces)
            assert read(spool, address, len(content)) == content
