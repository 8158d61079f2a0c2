"""The durable journal: what was acknowledged is there, whatever happens to the process and to the disk."""

import errno
import os
import random
import resource
import shutil
import struct
import subprocess
import threading
import time
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from capture import journalrepair
from capture.errors import JournalBusyError, JournalWriteError
from capture.journal import BlockKind, Event, serialize_events
from capture.journalfile import OFFSET_BITS
from capture.journalreader import JournalReader, Skipped
from capture.journalrepair import TornTail
from capture.journalstore import JournalStore
from capture.journalsync import SyncThread
from tests.capture.journalblocks import KINDS, content, drain, expected, journal_of, octets, pieces, put

FORK = get_context("fork")
MIB = 1 << 20


def read_all(directory: Path) -> list[tuple[int, bytes]]:
    with JournalReader(directory) as reader:
        found = drain(reader)
        assert reader.skipped == []
        return found


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


class TestFiles:
    def test_a_new_file_at_every_start(self, tmp_path):
        for number in range(3):
            with JournalStore(tmp_path / "journal") as store:
                assert store.append(pieces(number)) == number << OFFSET_BITS
                assert store.append(pieces(number + 10)) == number << OFFSET_BITS | len(octets(number))
        assert names(tmp_path / "journal") == ["00000000.rkj", "00000001.rkj", "00000002.rkj", "lock"]
        assert [number for number, _ in read_all(tmp_path / "journal")] == [0, 10, 1, 11, 2, 12]

    def test_who_may_read(self, tmp_path):
        before = os.umask(0)
        try:
            journal_of(tmp_path / "journal", range(1), file_bytes=1)
        finally:
            os.umask(before)
        modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "journal", *(tmp_path / "journal").iterdir())]
        assert modes[0] == 0o750
        assert set(modes[1:]) == {0o640}

    def test_an_empty_file_is_removed_and_its_number_not_used_again(self, tmp_path):
        for _ in range(3):
            JournalStore(tmp_path).close()
        assert names(tmp_path) == ["00000002.rkj", "lock"]

    def test_rotation(self, tmp_path):
        size = len(octets(3))
        with JournalStore(tmp_path, file_bytes=2 * size) as store:
            addresses = [store.append(pieces(3)) for _ in range(5)]
        assert addresses == [0, size, 1 << OFFSET_BITS, 1 << OFFSET_BITS | size, 2 << OFFSET_BITS]

    def test_rotation_by_age(self, tmp_path):
        """A quiet line's file would else stay for ever, and with it what has to be forgotten by age."""
        minute_ns = 60_000_000_000
        with JournalStore(tmp_path) as store:
            for minute in range(25):
                event = Event(ts_ns=minute * minute_ns, kind="tick", detail={})
                store.append(serialize_events([event]))
            held = [(file.first_ns // minute_ns, file.last_ns // minute_ns) for file in store.files()]
        assert held == [(0, 9), (10, 19), (20, 24)]

    def test_a_block_of_very_many_pieces(self, tmp_path):
        """More than one system call takes."""
        data = np.frombuffer(content(3, 5000), np.uint8)
        header, directory, _ = pieces(3, 5000, BlockKind.RAW)
        with JournalStore(tmp_path) as store:
            store.append([header, directory, *(data[n : n + 1] for n in range(5000))])
        assert read_all(tmp_path) == expected([3], 5000)

    def test_no_descriptor_is_left(self, tmp_path):
        before = os.listdir("/proc/self/fd")
        with JournalStore(tmp_path, file_bytes=1) as store:
            for number in range(20):
                store.append(pieces(number))
            store.sync()
            assert len(os.listdir("/proc/self/fd")) == len(before) + 2
            store.append(pieces(20))
        assert len(os.listdir("/proc/self/fd")) == len(before)

    def test_what_is_held(self, tmp_path):
        with JournalStore(tmp_path, file_bytes=1) as store:
            assert (store.files(), store.bytes_held) == ([], 0)
            for number in (5, 9, 7):
                store.append(pieces(number))
            held = [(file.number, file.bytes, file.first_ns, file.last_ns) for file in store.files()]
            assert held == [(n, len(octets(at)), at, at) for n, at in enumerate((5, 9, 7))]
            assert store.bytes_held == sum(file.bytes for file in store.files())

    def test_what_is_held_since_an_earlier_run(self, tmp_path):
        with JournalStore(tmp_path) as store:
            for number in (5, 9, 7):
                store.append(pieces(number))
            assert [(file.first_ns, file.last_ns) for file in store.files()] == [(5, 9)]
        os.utime(tmp_path / "00000000.rkj", ns=(1, 77))
        with JournalStore(tmp_path) as store:
            (file,) = store.files()
            assert (file.number, file.first_ns, file.last_ns) == (0, 5, 77)
            assert store.bytes_held == file.bytes == (tmp_path / "00000000.rkj").stat().st_size


class TestOwner:
    def test_one_at_a_time(self, tmp_path):
        with JournalStore(tmp_path) as store:
            with pytest.raises(JournalBusyError, match="another capture"):
                JournalStore(tmp_path)
            store.append(pieces(0))
        JournalStore(tmp_path).close()

    def test_waiting_for_the_previous_one(self, tmp_path):
        first = JournalStore(tmp_path)
        timer = threading.Timer(0.1, first.close)
        timer.start()
        with JournalStore(tmp_path, wait_s=60) as second:
            timer.join()
            assert second.append(pieces(0)) == 1 << OFFSET_BITS

    def test_nothing_is_held_after_a_start_that_failed(self, tmp_path):
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(JournalWriteError, match="journal cannot be opened: No such file or directory"):
            JournalStore(tmp_path / "not" / "mounted")
        (tmp_path / "00000000.rkj").mkdir()
        with pytest.raises(JournalWriteError, match="journal cannot be read: Is a directory"):
            JournalStore(tmp_path)
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("kind", KINDS)
class TestTornTail:
    def test_cut_at_every_byte(self, tmp_path, kind):
        first, last = octets(0), octets(1, 20, kind)
        for size in range(len(last)):
            path = put(tmp_path, 0, first + last[:size])
            torn = journalrepair.repair(tmp_path, 0)
            assert torn == (TornTail(file=0, offset=len(first), bytes=size) if size else None)
            assert path.read_bytes() == first

    def test_no_byte_of_a_whole_one(self, tmp_path, kind):
        whole = octets(0) + octets(1, 20, kind)
        path = put(tmp_path, 0, whole)
        assert journalrepair.repair(tmp_path, 0) is None
        assert path.read_bytes() == whole

    def test_every_byte_counts(self, tmp_path, kind):
        """Whatever byte of the last block is wrong, of media data too: it is cut off, or left if another follows."""
        first, last, after = octets(0), octets(1, 20, kind), octets(2)
        for place in range(len(last)):
            damaged = bytearray(last)
            damaged[place] ^= 0x41
            path = put(tmp_path, 0, first + damaged)
            assert journalrepair.repair(tmp_path, 0) == TornTail(file=0, offset=len(first), bytes=len(last)), place
            assert path.read_bytes() == first
            path.write_bytes(first + damaged + after + after[:-1])
            torn = TornTail(file=0, offset=len(first + damaged + after), bytes=len(after) - 1)
            assert journalrepair.repair(tmp_path, 0) == torn
            assert path.read_bytes() == first + damaged + after


class TestStartAfterCrash:
    def test_the_tail_is_told_and_recording_goes_on(self, tmp_path):
        block = octets(1)
        path = put(tmp_path, 7, octets(0) + block[:-1])
        os.utime(path, ns=(1, 77))
        put(tmp_path, 8, b"")
        with JournalStore(tmp_path) as store:
            assert store.torn == TornTail(file=7, offset=len(octets(0)), bytes=len(block) - 1)
            assert store.append(pieces(2)) == 9 << OFFSET_BITS
            assert store.files()[0].last_ns == 77
        assert names(tmp_path) == ["00000007.rkj", "00000009.rkj", "lock"]
        assert read_all(tmp_path) == expected([0, 2])

    def test_nothing_but_a_torn_block(self, tmp_path):
        put(tmp_path, 0, octets(0)[:-1])
        with JournalStore(tmp_path) as store:
            assert store.torn == TornTail(file=0, offset=0, bytes=len(octets(0)) - 1)
        assert names(tmp_path) == ["00000001.rkj", "lock"]

    @pytest.mark.parametrize("size", [1, 47, 4096, 3 * MIB])
    def test_rubbish(self, tmp_path, size):
        """A power cut left zeros, or anything."""
        for rubbish in (bytes(size), content(size, size), octets(3) + bytes(size), b"RKBJ" * (size // 4 + 1)):
            put(tmp_path, 0, rubbish)
            with JournalStore(tmp_path) as store:
                assert store.torn is not None
                store.append(pieces(4))
            assert [number for number, _ in read_all(tmp_path)][-1] == 4
            shutil.rmtree(tmp_path)
            tmp_path.mkdir()

    def test_too_much_that_looks_like_a_block(self, tmp_path):
        """No endless search: it stays, and is nobody's trouble."""
        path = put(tmp_path, 0, b"RKBJ\x01\x00" * 300_000)
        with JournalStore(tmp_path) as store:
            assert store.torn is None
            store.append(pieces(4))
        with JournalReader(tmp_path) as reader:
            assert drain(reader) == expected([4])
            assert reader.skipped == [Skipped(file=0, offset=0, bytes=path.stat().st_size)]


def _write_until_killed(directory: Path, first: int, sizes: list[int], acknowledge: int) -> None:
    store = JournalStore(directory, file_bytes=4 * MIB)
    thread = SyncThread(store, period_s=0.01)
    thread.start()
    for number, size in enumerate(sizes, first):
        address = store.append(pieces(number, size, BlockKind.RAW))
        os.write(acknowledge, struct.pack("<3Q", number, size, address))


def test_killed_at_any_instant(tmp_path):
    """Twenty times: every block that was acknowledged is there, intact and in order, and nothing torn is ever read."""
    chance = random.Random(1)
    number = position = 0
    for _ in range(20):
        sizes = [chance.choice([20, 3000, 300_000, 2_000_000]) for _ in range(2000)]
        acknowledged = _run_and_kill(tmp_path / "journal", number, sizes, chance.uniform(0, 0.06))
        with JournalStore(tmp_path / "journal") as store, JournalReader(tmp_path / "journal", position) as reader:
            found = []
            while (entry := reader.next()) is not None:
                found.append((entry[0], entry[1].first_ns, entry[1].data.tobytes()))  # type: ignore[union-attr]
            assert reader.skipped == []
            position = reader.position
            store.forget_before(position)
        assert len(found) - len(acknowledged) in (0, 1), "one may have been written and not acknowledged"
        for (address, at, data), (known, size, where) in zip(found, acknowledged, strict=False):
            assert (address, at, data) == (where, known, content(known, size))
        number += len(sizes)


def _run_and_kill(directory: Path, first: int, sizes: list[int], after_s: float) -> list[tuple[int, ...]]:
    """Let the writer write until it is killed: number, size and address of what it acknowledged."""
    receive, send = os.pipe()
    writer = FORK.Process(target=_write_until_killed, args=(directory, first, sizes, send))
    writer.start()
    os.close(send)
    raw = os.read(receive, 24)
    time.sleep(after_s)
    alive = writer.is_alive()
    writer.kill()
    writer.join()
    with open(receive, "rb") as rest:
        raw += rest.read()
    assert alive, "to be killed while it writes"
    return list(struct.iter_unpack("<3Q", raw))


@contextmanager
def file_size_limit(limit: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestTrouble:
    def test_a_write_that_ends_half_way(self, tmp_path):
        """The disk takes a part and then no more: nothing of it stays, and the same block has its place again."""
        with JournalStore(tmp_path) as store:
            store.append(pieces(3))
            end = store.sync()
            for limit in range(end + 1, end + len(octets(7)), 3):
                with file_size_limit(limit), pytest.raises(JournalWriteError, match="not written: File too large") as e:
                    store.append(pieces(7))
                assert isinstance(e.value.__cause__, OSError)
                assert (tmp_path / "00000000.rkj").stat().st_size == end == store.bytes_held
            assert store.append(pieces(7)) == end
        assert read_all(tmp_path) == expected([3, 7])

    def test_a_half_that_cannot_be_cut_back(self, tmp_path):
        """Then the file is over: no block ever follows a half."""
        path = tmp_path / "00000000.rkj"
        with JournalStore(tmp_path) as store:
            end = store.append(pieces(3)) + len(octets(3))
            if subprocess.run(["chattr", "+a", path], capture_output=True, check=False).returncode:
                pytest.skip("needs root, and a file system on which a file can be made append-only")
            try:
                with file_size_limit(end + 50), pytest.raises(JournalWriteError):
                    store.append(pieces(7))
            finally:
                subprocess.run(["chattr", "-a", path], check=True)
            assert path.stat().st_size == end + 50
            assert store.append(pieces(7)) == 1 << OFFSET_BITS
            assert store.sync() == 1 << OFFSET_BITS | len(octets(7))
        with JournalReader(tmp_path) as reader:
            assert drain(reader) == expected([3, 7])
            assert reader.skipped == [Skipped(file=0, offset=end, bytes=50)]

    def test_the_directory_vanishes_and_returns(self, tmp_path):
        directory = tmp_path / "journal"
        with JournalStore(directory) as store:
            store.append(pieces(0))
            shutil.rmtree(directory)
            with pytest.raises(JournalWriteError, match="not in its directory any more"):
                store.sync()
            for _ in range(2):
                with pytest.raises(JournalWriteError, match="file not begun: No such file or directory"):
                    store.append(pieces(1))
            directory.mkdir()
            assert store.append(pieces(1)) == 1 << OFFSET_BITS
            assert store.sync() == 1 << OFFSET_BITS | len(octets(1))
            with pytest.raises(JournalBusyError):
                JournalStore(directory)
        assert read_all(directory) == expected([1])

    def test_another_owner_came_with_the_directory(self, tmp_path):
        directory = tmp_path / "journal"
        with JournalStore(directory) as store:
            shutil.rmtree(directory)
            with JournalStore(directory) as other:
                other.append(pieces(9))
                with pytest.raises(JournalWriteError, match="not in its directory any more"):
                    store.sync()
                with pytest.raises(JournalWriteError, match="another capture"):
                    store.append(pieces(1))
            assert store.append(pieces(1)) == 1 << OFFSET_BITS
        assert read_all(directory) == expected([9, 1])


def _mount(target: Path, options: str) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "rokubox-test", target], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small file system: {done.stderr.decode().strip()}")


@contextmanager
def mounted(target: Path, options: str):
    if os.geteuid():
        pytest.skip("mounting a small file system needs root")
    target.mkdir(exist_ok=True)
    _mount(target, options)
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)


@pytest.fixture
def small_disk(tmp_path):
    with mounted(tmp_path / "disk", "size=2m") as disk:
        yield disk


def _fill(store: JournalStore, number: int, size: int) -> int:
    """Append blocks until the disk is full; return the number of the first that did not fit."""
    while (trouble := _trouble(store, number, size)) is None:
        number += 1
    assert isinstance(trouble.__cause__, OSError)
    assert trouble.__cause__.errno == errno.ENOSPC
    return number


def _trouble(store: JournalStore, number: int, size: int) -> JournalWriteError | None:
    try:
        store.append(pieces(number, size, BlockKind.RAW))
    except JournalWriteError as error:
        return error
    return None


class TestFullDisk:
    def test_other_things_make_room(self, small_disk):
        (small_disk / "other").write_bytes(bytes(MIB))
        with JournalStore(small_disk / "journal") as store:
            full = _fill(store, 0, 150_000)
            assert full > 3
            assert _fill(store, full, 150_000) == full
            store.sync()
            (small_disk / "other").unlink()
            again = _fill(store, full, 150_000)
            assert again > full + 3
        assert read_all(small_disk / "journal") == expected(range(again), 150_000)

    def test_the_oldest_makes_room(self, small_disk):
        with JournalStore(small_disk, file_bytes=400_000) as store, JournalReader(small_disk) as reader:
            number, forgotten = 0, []
            for _ in range(10):
                number = _fill(store, number, 150_000)
                while reader.next() is not None:
                    pass
                oldest = store.forget_oldest()
                assert oldest is not None
                forgotten.append(oldest.number)
                reader.next()  # Where it notices: a file that somebody has open keeps its space.
            assert forgotten == list(range(10))
            assert reader.skipped == []
            assert store.bytes_held < 2 * MIB
        held = read_all(small_disk)
        assert held == expected(range(number - len(held), number), 150_000)

    def test_not_even_a_new_file(self, tmp_path):
        """No room for a name: said, and over when there is room."""
        with mounted(tmp_path / "disk", "size=2m,nr_inodes=4") as disk, JournalStore(disk, file_bytes=1) as store:
            full = _fill(store, 0, 100)
            assert _fill(store, full, 100) == full
            assert store.forget_oldest() is not None
            store.append(pieces(full, 100))
            assert [number for number, _ in read_all(disk)] == list(range(1, full + 1))


class TestReadOnlyDisk:
    def test_at_the_start(self, small_disk):
        journal_of(small_disk, range(2), file_bytes=1)
        put(small_disk, 1, octets(1) + octets(2)[:-1])
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        with pytest.raises(JournalWriteError, match="Read-only file system"):
            JournalStore(small_disk)
        with JournalReader(small_disk) as reader:
            assert drain(reader) == expected([0, 1])
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        with JournalStore(small_disk) as store:
            assert store.torn is not None
            store.append(pieces(3))
        assert read_all(small_disk) == expected([0, 1, 3])

    def test_while_recording(self, tmp_path):
        """A read-only volume comes into the place of the one that is written to, and goes again."""
        directory = tmp_path / "journal"
        with JournalStore(directory) as store:
            store.append(pieces(0))
            with mounted(directory, "ro"):
                with pytest.raises(JournalWriteError, match="not in its directory any more"):
                    store.sync()
                for _ in range(2):
                    with pytest.raises(JournalWriteError, match="Read-only file system"):
                        store.append(pieces(1))
            store.append(pieces(1))
            store.sync()
        assert read_all(directory) == expected([0, 1])


class TestForgetting:
    def test_before_an_address(self, tmp_path):
        with JournalStore(tmp_path, file_bytes=1) as store:
            addresses = [store.append(pieces(number)) for number in range(5)]
            for before, left in ((0, 5), (addresses[1] - 1, 5), (addresses[1], 4), (addresses[3] + 5, 2), (1 << 60, 1)):
                store.forget_before(before)
                assert [file.number for file in store.files()] == list(range(5 - left, 5))
                assert names(tmp_path) == [f"{number:08d}.rkj" for number in range(5 - left, 5)] + ["lock"]
            store.append(pieces(5))
            assert store.sync() == 5 << OFFSET_BITS | len(octets(5))
        assert read_all(tmp_path) == expected([4, 5])

    def test_the_oldest(self, tmp_path):
        journal_of(tmp_path, range(2), file_bytes=1)
        with JournalStore(tmp_path) as store:
            assert [getattr(store.forget_oldest(), "number", None) for _ in range(3)] == [0, 1, None]
            assert (store.bytes_held, store.files()) == (0, [])
            store.append(pieces(2))
            assert store.forget_oldest() is None
        assert read_all(tmp_path) == expected([2])


class TestSync:
    def test_the_durable_end(self, tmp_path):
        journal_of(tmp_path, range(1), file_bytes=1)
        with JournalStore(tmp_path, file_bytes=1) as store:
            assert store.synced == 1 << OFFSET_BITS
            store.append(pieces(1))
            store.append(pieces(2))
            assert store.synced == 1 << OFFSET_BITS
            assert store.sync() == store.synced == 2 << OFFSET_BITS | len(octets(2))

    def test_a_thread_does_it_while_blocks_are_appended(self, tmp_path):
        with JournalStore(tmp_path, file_bytes=50_000) as store:
            with SyncThread(store, period_s=0.001) as thread:
                ends = []
                for number in range(300):
                    address = store.append(pieces(number, 3000))
                    ends.append(address + len(octets(number, 3000)))
                    if number % 50 == 49:
                        deadline = time.monotonic() + 60
                        while store.synced < ends[-1] and time.monotonic() < deadline:
                            time.sleep(0.001)
                        assert store.synced == ends[-1]
                    assert store.synced <= ends[-1]
            assert (thread.error, thread.failures) == (None, 0)
            assert thread.longest_s > 0
        assert read_all(tmp_path) == expected(range(300), 3000)

    def test_a_thread_stops_at_once_and_tells_of_trouble(self, tmp_path):
        directory = tmp_path / "journal"
        with JournalStore(directory) as store:
            with SyncThread(store, period_s=3600) as idle:
                pass
            assert idle.longest_s == 0
            with SyncThread(store, period_s=0.001) as thread:
                shutil.rmtree(directory)
                _until(lambda: thread.failures == 1)
                directory.mkdir()
                store.append(pieces(0))
                _until(lambda: thread.error is None and store.synced > 0)
            assert thread.failures == 1


def _until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
