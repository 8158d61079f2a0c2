"""Following a journal: exactly its whole blocks, in order, whatever happened to the files."""

import os
import random
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from capture import journal, journalscan
from capture.errors import JournalError
from capture.journal import EXTENT, HEADER, MAX_BLOCK_BYTES, BlockKind
from capture.journalfile import OFFSET_BITS
from capture.journalreader import JournalReader, Skipped
from capture.journalstore import JournalStore
from tests.capture.journalblocks import KINDS, content, drain, expected, journal_of, octets, pieces, put, read_back

FORK = get_context("fork")


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class TestFollowing:
    def test_a_directory_that_is_not_there_yet(self, tmp_path):
        with JournalReader(tmp_path / "journal") as reader:
            assert (reader.next(), reader.position, reader.behind_bytes()) == (None, 0, 0)
            journal_of(tmp_path / "journal", range(3), file_bytes=1000)
            assert drain(reader) == expected(range(3))

    def test_every_kind_with_its_address(self, tmp_path):
        addresses = journal_of(tmp_path, range(8), file_bytes=1 << 20)
        with JournalReader(tmp_path) as reader:
            for number, address in enumerate(addresses):
                behind = reader.behind_bytes()
                assert reader.position == address
                entry = reader.next()
                assert entry is not None
                assert entry[0] == address
                assert read_back(reader, entry[1]) == (number, content(number, 40))
                assert behind - reader.behind_bytes() == len(octets(number))
            assert (reader.next(), reader.behind_bytes(), reader.skipped) == (None, 0, [])

    def test_from_every_position(self, tmp_path):
        addresses = journal_of(tmp_path, range(20), file_bytes=500)
        assert addresses[-1] >> OFFSET_BITS > 3
        for number, address in enumerate(addresses):
            with JournalReader(tmp_path, address) as reader:
                assert drain(reader) == expected(range(number, 20))
                assert reader.skipped == []

    def test_another_process_writes(self, tmp_path):
        """Rotating all the time, while the reader never sees half of anything."""
        count, size = 400, 30_000
        writer = FORK.Process(target=_write_all, args=(tmp_path / "journal", count, size))
        writer.start()
        found: list[tuple[int, bytes]] = []
        with JournalReader(tmp_path / "journal") as reader:
            while len(found) < count:
                exitcode = writer.exitcode
                batch = drain(reader)
                assert batch or exitcode is None, "the writer is done and blocks are missing"
                found += batch
            assert reader.skipped == []
        writer.join()
        assert [number for number, _ in found] == list(range(count))
        assert all(data == content(number, size) for number, data in found)

    def test_a_block_that_is_withdrawn_and_replaced(self, tmp_path):
        """The disk took half of it; what comes in its place is read, not what was announced."""
        first, announced, instead = octets(0), octets(4, 4000), octets(1, 300)
        path = put(tmp_path, 0, first + announced[:2000])
        with JournalReader(tmp_path) as reader:
            assert drain(reader) == expected([0])
            os.truncate(path, len(first))
            assert reader.next() is None
            put(tmp_path, 0, first + instead)
            assert drain(reader) == expected([1], 300)
            assert reader.skipped == []

    def test_descriptors_are_bounded(self, tmp_path):
        addresses = journal_of(tmp_path, range(30), file_bytes=1)
        before = open_descriptors()
        with JournalReader(tmp_path) as reader:
            assert drain(reader) == expected(range(30))
            for address in addresses:
                reader.read_into(address, memoryview(bytearray(8)))
            assert open_descriptors() - before <= 16
        assert open_descriptors() == before


def _write_all(directory: Path, count: int, size: int) -> None:
    with JournalStore(directory, file_bytes=size * 3) as store:
        for number in range(count):
            store.append(pieces(number, size))
            if number % 10 == 0:
                time.sleep(0.001)


class TestReadInto:
    @pytest.mark.parametrize(("address", "size"), [(0, 5000), (1 << 20, 1), (7 << OFFSET_BITS, 1), (1 << 62, 1)])
    def test_what_is_not_there(self, tmp_path, address, size):
        journal_of(tmp_path, range(2), file_bytes=1 << 20)
        with JournalReader(tmp_path) as reader, pytest.raises(JournalError, match="what is asked for"):
            reader.read_into(address, memoryview(bytearray(size)))

    def test_a_file_that_was_forgotten_meanwhile(self, tmp_path):
        first, second = journal_of(tmp_path, range(2), file_bytes=1)
        target = memoryview(bytearray(4))
        with JournalReader(tmp_path) as reader:
            reader.read_into(first, target)
            assert target.tobytes() == b"RKBJ"
            journalscan.path_of(tmp_path, 0).unlink()
            reader.next()
            with pytest.raises(JournalError):
                reader.read_into(first, target)
            reader.read_into(second, target)

    def test_what_cannot_be_opened(self, tmp_path):
        journalscan.path_of(tmp_path, 0).symlink_to("00000000.rkj")
        with JournalReader(tmp_path) as reader, pytest.raises(JournalError, match="journal cannot be read"):
            reader.read_into(0, memoryview(bytearray(1)))

    def test_the_space_of_forgotten_files_is_given_back(self, tmp_path):
        journal_of(tmp_path, range(3), file_bytes=1)
        with JournalReader(tmp_path) as reader:
            drain(reader)
            before = open_descriptors()
            for number in range(2):
                journalscan.path_of(tmp_path, number).unlink()
            assert reader.next() is None
            assert open_descriptors() == before - 2


@pytest.mark.parametrize("kind", KINDS)
class TestTornTail:
    """The last block ends at every possible byte."""

    def test_waits_in_the_newest_file(self, tmp_path, kind):
        first, last = octets(0), octets(1, 20, kind)
        path = put(tmp_path, 0, first)
        with JournalReader(tmp_path) as reader, path.open("ab", buffering=0) as file:
            assert drain(reader) == expected([0])
            for value in last[:-1]:
                file.write(bytes([value]))
                assert reader.next() is None
                assert reader.position == len(first)
            file.write(last[-1:])
            assert drain(reader) == expected([1], 20)
            assert reader.skipped == []

    def test_is_left_when_a_newer_file_exists(self, tmp_path, kind):
        first, last = octets(0), octets(1, 20, kind)
        put(tmp_path, 1, octets(2))
        for size in range(len(last)):
            put(tmp_path, 0, first + last[:size])
            with JournalReader(tmp_path) as reader:
                assert drain(reader) == expected([0, 2])
                assert reader.skipped == ([Skipped(file=0, offset=len(first), bytes=size)] if size else [])

    def test_the_newer_file_comes_while_waiting(self, tmp_path, kind):
        first, last = octets(0), octets(1, 20, kind)
        put(tmp_path, 0, first + last[:-1])
        with JournalReader(tmp_path) as reader:
            assert drain(reader) == expected([0])
            put(tmp_path, 1, b"")
            assert (reader.next(), reader.position, reader.skipped) == (None, len(first), [])
            put(tmp_path, 1, octets(2)[:1])
            assert (reader.next(), reader.position) == (None, 1 << OFFSET_BITS)
            put(tmp_path, 1, octets(2))
            assert drain(reader) == expected([2])
            assert reader.skipped == [Skipped(file=0, offset=len(first), bytes=len(last) - 1)]


class TestDamage:
    @pytest.mark.parametrize("kind", KINDS)
    def test_every_byte_of_a_block_in_the_middle(self, tmp_path, kind):
        """In the newest file too, as intact blocks follow."""
        first, damaged, last = octets(0), octets(1, 20, kind), octets(2)
        heads = HEADER.itemsize + 2 * EXTENT.itemsize
        for place in range(heads if kind == BlockKind.MEDIA else len(damaged)):
            altered = bytearray(damaged)
            altered[place] ^= 0x41
            put(tmp_path, 0, first + altered + last)
            with JournalReader(tmp_path) as reader:
                assert drain(reader) == expected([0, 2]), place
                assert reader.skipped == [Skipped(file=0, offset=len(first), bytes=len(damaged))]

    def test_media_data_are_for_who_reads_them(self, tmp_path):
        damaged = bytearray(octets(0, 40, BlockKind.MEDIA))
        damaged[-1] ^= 1
        put(tmp_path, 0, bytes(damaged) + octets(1))
        with JournalReader(tmp_path) as reader:
            entry = reader.next()
            assert entry is not None
            extent = entry[1].extents[1]  # type: ignore[union-attr]
            row = bytearray(28)
            reader.read_into(int(extent["address"]), memoryview(row))
            assert crc32c(bytes(row)) != extent["crc"]
            assert drain(reader) == expected([1])

    def test_nothing_intact_follows(self, tmp_path):
        """What is no block at the end of the newest file is waited on until a newer file exists."""
        first = octets(0)
        path = put(tmp_path, 0, first + bytes(5000))
        with JournalReader(tmp_path) as reader:
            assert drain(reader) == expected([0])
            assert (reader.next(), reader.skipped, reader.behind_bytes()) == (None, [], 5000)
            with path.open("ab") as file:
                file.write(octets(1))
            assert drain(reader) == expected([1])
            assert reader.skipped == [Skipped(file=0, offset=len(first), bytes=5000)]

    def test_far_and_across_the_pieces_of_a_search(self, tmp_path):
        first = octets(0)
        for shift in range(-8, 3):
            damage = journalscan.CHUNK_BYTES + shift
            put(tmp_path, 0, first + bytes(damage) + octets(1))
            with JournalReader(tmp_path) as reader:
                assert drain(reader) == expected([0, 1])
                assert reader.skipped == [Skipped(file=0, offset=len(first), bytes=damage)]

    def test_a_forged_size_allocates_nothing(self, tmp_path):
        """A header that announces a directory of a gigabyte, in a file that holds a part of it."""
        header = np.frombuffer(octets(0, 40, BlockKind.MEDIA)[: HEADER.itemsize], HEADER).copy()
        header["entries"], header["bytes"] = (MAX_BLOCK_BYTES - HEADER.itemsize) // EXTENT.itemsize, MAX_BLOCK_BYTES
        path = put(tmp_path, 0, header.tobytes())
        os.truncate(path, 128 << 20)
        with JournalReader(tmp_path) as reader:
            before = _peak_kib(anew=True)
            assert reader.next() is None
            assert _peak_kib() - before < 32 << 10

    def test_payloads_full_of_headers(self, tmp_path):
        """Every header announces all that follows as its directory: the search is given up, not endless."""
        count, room = 2000, 8 << 20
        header = np.frombuffer(octets(0, 40, BlockKind.MEDIA)[: HEADER.itemsize], HEADER).copy()
        header["entries"], header["bytes"] = room // EXTENT.itemsize, room + HEADER.itemsize
        path = put(tmp_path, 0, header.tobytes() * count + bytes(room))
        put(tmp_path, 1, octets(1))
        with path.open("rb") as file, pytest.raises(JournalError, match="too many false block headers"):
            journalscan.find_head(file.fileno(), 0, path.stat().st_size)
        with JournalReader(tmp_path) as reader:
            assert drain(reader) == expected([1])
            assert reader.skipped == [Skipped(file=0, offset=0, bytes=count * HEADER.itemsize + room)]

    @settings(max_examples=60, deadline=None)
    @given(data=st.lists(st.one_of(st.binary(max_size=60), st.integers(0, 3).map(octets)), max_size=6))
    def test_random_content_ends(self, data):
        with tempfile.TemporaryDirectory() as folder:
            put(Path(folder), 0, b"".join(data))
            put(Path(folder), 1, octets(9))
            with JournalReader(Path(folder)) as reader:
                assert drain(reader)[-1:] == expected([9])
                skipped = sum(skip.bytes or 0 for skip in reader.skipped)
            assert skipped <= sum(map(len, data))


def _peak_kib(*, anew: bool = False) -> int:
    """The most memory that this process had, since it was asked to count anew."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


class TestForgotten:
    def test_goes_on_with_the_next_file(self, tmp_path):
        journal_of(tmp_path, range(5), file_bytes=1)
        for number in range(3):
            journalscan.path_of(tmp_path, number).unlink()
        with JournalReader(tmp_path, 1 << OFFSET_BITS | 77) as reader:
            assert drain(reader) == expected([3, 4])
            assert reader.skipped == [Skipped(file=1, offset=77, bytes=None)]

    def test_while_reading(self, tmp_path):
        journal_of(tmp_path, range(5), file_bytes=1)
        with JournalReader(tmp_path) as reader:
            assert reader.next() is not None
            end = reader.position
            for number in range(2):
                journalscan.path_of(tmp_path, number).unlink()
            assert drain(reader) == expected([2, 3, 4])
            assert reader.skipped == [Skipped(file=0, offset=end, bytes=None)]

    def test_a_new_reader_begins_with_the_oldest(self, tmp_path):
        journal_of(tmp_path, range(3), file_bytes=1)
        journalscan.path_of(tmp_path, 0).unlink()
        with JournalReader(tmp_path) as reader:
            assert drain(reader) == expected([1, 2])
            assert reader.skipped == []

    def test_an_empty_file_that_goes_is_no_loss(self, tmp_path):
        (address,) = journal_of(tmp_path, range(1), file_bytes=1)
        with JournalReader(tmp_path, address) as reader:
            assert drain(reader) == expected([0])
            for _ in range(3):
                JournalStore(tmp_path).close()
                assert reader.next() is None
            journal_of(tmp_path, range(1, 2), file_bytes=1)
            with JournalReader(tmp_path, reader.position) as other:
                assert drain(other) == expected([1])
                assert other.skipped == []

    def test_a_position_behind_the_end(self, tmp_path):
        """A power cut took what was read already; what comes next is in a new file."""
        journal_of(tmp_path, range(1), file_bytes=1000)
        with JournalReader(tmp_path, 900) as reader:
            assert (reader.next(), reader.behind_bytes()) == (None, 0)
            journal_of(tmp_path, range(1, 2), file_bytes=1000)
            assert drain(reader) == expected([1])
            assert reader.skipped == []


@st.composite
def histories(draw):
    step = st.one_of(
        st.tuples(st.just("append"), st.integers(0, 120)),
        st.tuples(st.just("append"), st.integers(0, 120)),
        st.tuples(st.just("read"), st.integers(1, 3)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("half"), st.integers(1, 1 << 16)),
        st.tuples(st.just("cut"), st.integers(1, 1 << 16)),
    )
    return draw(st.lists(step, max_size=25))


class History:
    """A journal to which all sorts of things happen, and what has to be read from it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = JournalStore(directory, file_bytes=600)
        self.position = 0
        self.number = 0
        self.unread: list[tuple[int, int, int]] = []
        """Address, number, size."""

    def append(self, size: int) -> None:
        self.unread.append((self.store.append(pieces(self.number, size)), self.number, size))
        self.number += 1

    def read(self, count: int) -> None:
        """A few blocks, by a reader that knows nothing but where the last one was."""
        with JournalReader(self.directory, self.position) as reader:
            for _ in range(count):
                entry = reader.next()
                if entry is None:
                    assert self.unread == []
                    return
                address, number, size = self.unread.pop(0)
                assert (entry[0], *read_back(reader, entry[1])) == (address, number, content(number, size))
                self.position = reader.position

    def restart(self, _: int) -> None:
        self.store.close()
        self.store = JournalStore(self.directory, file_bytes=600)

    def half(self, choice: int) -> None:
        """Killed while it wrote."""
        self.store.close()
        block = octets(self.number, choice % 120)
        with self._newest().open("ab") as file:
            file.write(block[: choice % len(block)])
        self._start_after_crash()

    def cut(self, choice: int) -> None:
        """A power cut: the end of the file is not on the disk."""
        self.store.close()
        newest = self._newest()
        last = self.unread[-1] if self.unread else None
        if last is not None and last[0] >> OFFSET_BITS == int(newest.stem):
            start = last[0] & ((1 << OFFSET_BITS) - 1)
            os.truncate(newest, start + choice % (newest.stat().st_size - start))
            self.unread.pop()
        self._start_after_crash()

    def _start_after_crash(self) -> None:
        self.read(1 if random.Random(self.number).random() < 0.5 else 100)
        self.store = JournalStore(self.directory, file_bytes=600)

    def _newest(self) -> Path:
        return max(self.directory.glob("*.rkj"))


@settings(max_examples=60, deadline=None)
@given(steps=histories())
def test_any_history_gives_exactly_the_whole_blocks(steps):
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder))
        for name, value in steps:
            getattr(history, name)(value)
        history.read(100)
        history.store.close()


class TestRawBlocks:
    RAW = journal.serialize_raw(5, 9, 3, np.arange(100, dtype=np.uint8))

    def test_round_trip(self):
        whole = np.concatenate(self.RAW)
        block = journal.parse(whole, 7)
        assert isinstance(block, journal.RawBlock)
        assert (block.first_ns, block.last_ns, block.interface) == (5, 9, 3)
        assert block.data.tobytes() == bytes(range(100))

    def test_every_flipped_bit_and_truncation_is_noticed(self):
        whole = np.concatenate(self.RAW)
        for bit in range(8 * len(whole)):
            damaged = whole.copy()
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(JournalError):
                journal.parse(damaged, 0)
        for size in range(len(whole)):
            with pytest.raises(JournalError):
                journal.parse(whole[:size], 0)

    @pytest.mark.parametrize("entries", [0, 2])
    def test_of_no_one_interface(self, entries):
        header = self.RAW[0].copy().view(HEADER)
        directory = np.zeros(4 * entries, np.uint8)
        header["entries"], header["bytes"] = entries, 48 + len(directory)
        header["data_crc"] = 0
        header["crc"] = crc32c(directory.tobytes(), crc32c(header.view(np.uint8)[:-4].tobytes()))
        with pytest.raises(JournalError, match="raw block of no one interface"):
            journal.parse(np.concatenate((header.view(np.uint8), directory)), 0)
