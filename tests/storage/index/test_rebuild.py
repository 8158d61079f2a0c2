"""The index made anew: the same as the one that grew, whatever happens meanwhile."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from storage.archive import Archive
from storage.errors import ArchiveError, DamagedRecordError, IndexDamagedError, IndexMissingError
from storage.index import rebuild, schema, swap
from storage.index.query import Query
from storage.index.reader import IndexReader
from storage.index.writer import IndexWriter
from storage.json_form import to_json
from storage.layout import part_stem
from storage.ledger.entries import Erasure, Hold
from storage.ledger.view import LedgerView
from storage.timestamps import local_time
from storage.verify.verification import Request, verify
from storage.vocabulary import Direction, Form
from storage.writer import ArchiveWriter
from tests.storage.index.archives import content, records
from tests.storage.ledger.books import TOKYO
from tests.storage.retention.archives import books, call_id, make
from tests.storage.samples import START_NS, at, linear, part_record, sound


def anew(root: Path, progress=lambda _done, _total: None) -> list[DamagedRecordError]:
    """Rebuild beside the index in use; returns what was damaged."""
    archive = Archive(root)
    damaged: list[DamagedRecordError] = []
    size = LedgerView(archive.ledger).size
    rebuild.rebuild(archive, size, lambda first: LedgerView(archive.ledger).lines(first), damaged.append, progress)
    return damaged


def take(root: Path) -> None:
    with ArchiveWriter(Archive(root), books=books(root)) as writer:
        assert writer.register is not None
        writer.register.take_index()


def enter(root: Path, *entries: Erasure | Hold) -> None:
    with ArchiveWriter(Archive(root), books=books(root)) as writer:
        assert writer.register is not None
        assert writer.register.ledger is not None
        writer.register.ledger.append(entries)
        writer.register.ledger.commit(START_NS)
        writer.register.settle()


def write_records(root: Path, count: int, seed: int) -> None:
    """Records of calls within ten days, without recordings."""
    with ArchiveWriter(Archive(root), books=books(root)) as writer:
        for record in records(count, seed):
            writer.write_call(record)


def write_open_part(root: Path) -> None:
    """A part of a call that has no record."""
    ident = "ab" * 32
    stem = part_stem(start_ns=START_NS, zone=TOKYO, direction=Direction.IN, caller="", callee="", call_id=ident, part=1)
    with ArchiveWriter(Archive(root), books=books(root)) as writer:
        writer.write_part(
            call_id=ident,
            number=1,
            stem=stem,
            started=local_time(START_NS, TOKYO),
            form=Form.ZIP,
            sound=sound(linear(800)),
            metadata=lambda wav: to_json(part_record(call_id=ident, wav_sha256=wav)),
        )


def hold(name: str, *calls: str, state: str = "set") -> Hold:
    return Hold(call_ids=calls, hold=state, name=name, who="x", why="y", at=at(0))  # type: ignore[arg-type]


def erasure(*calls: str, parts: tuple[tuple[str, int], ...] = ()) -> Erasure:
    return Erasure(call_ids=calls, parts=parts, rule="r", who="x", why="y", at=at(0), counts={})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make(tmp_path, 12)
    make_wav = tmp_path / "unused"
    assert not make_wav.exists()
    write_records(tmp_path, 60, seed=5)
    write_open_part(tmp_path)
    enter(tmp_path, hold("case 1", call_id(1), call_id(2)), hold("case 1", call_id(2), state="released"))
    enter(tmp_path, hold("case 2", call_id(1), call_id(3)))
    return tmp_path


def test_made_anew_it_is_the_same_as_the_one_that_grew(root: Path) -> None:
    grown = content(root / "index.sqlite")
    assert len(grown["calls"]) == 73
    assert len(grown["legal_holds"]) == 3
    with IndexReader(root / "index.sqlite") as reader:
        generation, size = reader.generation, reader.ledger_size
    assert anew(root) == []
    assert content(root / "index.sqlite") == grown
    take(root)
    assert content(root / "index.sqlite") == grown
    with IndexReader(root / "index.sqlite") as reader:
        assert reader.generation != generation
        assert reader.ledger_size == size
    assert sorted(path.name for path in (root / "spool").iterdir()) == []


@pytest.mark.parametrize("damage", ["absent", "no database", "of another version", "torn"])
def test_it_is_made_from_the_files_alone(root: Path, damage: str) -> None:
    path = root / "index.sqlite"
    grown = content(path)
    if damage == "absent":
        path.unlink()
    elif damage == "no database":
        path.write_bytes(b"x" * 5000)
        path.with_name("index.sqlite-wal").write_bytes(b"y" * 5000)
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[: 3 * 4096 + 100])
    else:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version=0")
        connection.close()
    anew(root)
    take(root)
    assert content(path) == grown
    assert not path.with_name("index.sqlite-wal").exists()


def test_what_was_erased_is_not_taken_in_though_its_files_are_still_there(root: Path) -> None:
    enter(root, erasure(call_id(4), parts=((call_id(5), 2),)))
    grown = content(root / "index.sqlite")
    assert len(grown["calls"]) == 72
    anew(root)
    take(root)
    assert content(root / "index.sqlite") == grown


def test_what_came_again_after_its_erasure_is_there(root: Path) -> None:
    with ArchiveWriter(Archive(root), books=books(root)) as writer:
        assert writer.register is not None
        assert writer.register.ledger is not None
        ledger = writer.register.ledger
        again = [line.entry for line in ledger.lines() if getattr(line.entry, "call_id", "") == call_id(4)]
        ledger.append([erasure(call_id(4)), *again])
        ledger.commit(START_NS)
        writer.register.settle()
    grown = content(root / "index.sqlite")
    assert len(grown["calls"]) == 73
    anew(root)
    take(root)
    assert content(root / "index.sqlite") == grown


@pytest.mark.parametrize("erasing", [False, True])
def test_writing_goes_on_meanwhile(root: Path, erasing: bool) -> None:
    """Between any two days, and between the last line and the swap, calls come, and go while it is being made."""
    steps = iter(range(1000))

    def meanwhile(_done: int, _total: int) -> None:
        step = next(steps)
        if step < 4:
            write_records(root, 5, seed=100 + step)
            enter(root, hold("late", call_id(step)))
        if step < 4 and erasing:
            enter(root, erasure(call_id(8 + step)))
            remove_files(root, call_id(8 + step))

    anew(root, meanwhile)
    assert next(steps) > 4
    if not erasing:
        write_records(root, 5, seed=200)
        enter(root, hold("late", call_id(0), state="released"))
    grown = content(root / "index.sqlite")
    assert len(grown["calls"]) == 73 + (20 - 4 if erasing else 25)
    take(root)
    assert content(root / "index.sqlite") == grown


def remove_files(root: Path, ident: str) -> None:
    for path in [*root.glob(f"recordings/*/*/*/*_{ident[:10]}_p*"), *root.glob(f"calls/*/*/*/{ident}.json")]:
        path.unlink()


def test_damaged_files_are_named_and_left_out(root: Path) -> None:
    (record,) = root.glob(f"calls/*/*/*/{call_id(0)}.json")
    record.write_bytes(b"{}")
    (part,) = root.glob(f"recordings/*/*/*/*_{'ab' * 5}_p01.zip")
    part.write_bytes(part.read_bytes()[:100])
    damaged = [str(error) for error in anew(root)]
    take(root)
    assert damaged[0].startswith(f"call record {call_id(0)[:10]}: not a CallRecord")
    assert damaged[1] == f"part 1 of call {'ab' * 5}: its ZIP is damaged"
    with IndexReader(root / "index.sqlite") as reader:
        # Its parts are there and whole, so that the call is found by them, as one without a record.
        assert [hit.call_id for hit in reader.search(Query(in_progress=True)).hits] == [call_id(0)]
        assert reader.count() == 72


PROGRAM = """
import sys
from pathlib import Path
from tests.storage.index.test_rebuild import anew
anew(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("left", [1, 3, 6, 9])
def test_interrupted_it_goes_on_where_it_was(root: Path, left: int) -> None:
    grown = content(root / "index.sqlite")
    days = iter(range(100))

    class Interrupted(Exception):
        pass

    def interrupt(_done: int, _total: int) -> None:
        if next(days) + 1 == left:
            raise Interrupted

    with pytest.raises(Interrupted):
        anew(root, interrupt)
    spool = rebuild.path_of(Archive(root))
    connection = sqlite3.connect(spool)
    (filled,) = connection.execute("SELECT count(DISTINCT day) FROM calls").fetchone()
    connection.close()
    assert filled == left
    read_again: list[int] = []
    anew(root, lambda done, _total: read_again.append(done))
    take(root)
    assert content(root / "index.sqlite") == grown


def test_killed_anywhere_the_next_one_goes_on(tmp_path: Path) -> None:
    write_records(tmp_path, 800, seed=8)
    grown = content(tmp_path / "index.sqlite")
    kills = 0
    for delay_s in (0.1, 0.2, 0.3, 0.5, 0.8):
        child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)])
        beginning = threading.Event()
        while not rebuild.path_of(Archive(tmp_path)).exists() and child.poll() is None:
            beginning.wait(0.005)
        beginning.wait(delay_s)
        child.send_signal(signal.SIGKILL)
        kills += child.wait() == -signal.SIGKILL
    assert kills
    assert verify(Request(archive=tmp_path)).defects == []
    anew(tmp_path)
    take(tmp_path)
    assert content(tmp_path / "index.sqlite") == grown
    assert verify(Request(archive=tmp_path)).defects == []


def test_another_rebuild_at_the_same_time_is_refused(root: Path) -> None:
    refused: list[str] = []

    def second(_done: int, _total: int) -> None:
        path = rebuild.path_of(Archive(root))
        with pytest.raises(ArchiveError) as error:
            sqlite_soon(path)
        refused.append(str(error.value))

    anew(root, second)
    assert set(refused) == {"cannot open the index: another process is using it"}


def sqlite_soon(path: Path) -> None:
    from storage.index import schema

    patience, schema.BUSY_MS = schema.BUSY_MS, 50
    try:
        IndexWriter(path, filling=True)
    finally:
        schema.BUSY_MS = patience


def test_a_rebuild_of_another_ledger_is_not_gone_on_with(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    make(other, 2)
    anew(root)
    shutil.copy(rebuild.path_of(Archive(root)), rebuild.path_of(Archive(other)))
    anew(other)
    take(other)
    with IndexReader(other / "index.sqlite") as reader:
        assert reader.count() == 2


def test_nothing_or_half_an_index_is_not_taken(root: Path) -> None:
    with pytest.raises(IndexMissingError, match="no index was made anew"):
        take(root)
    IndexWriter(rebuild.path_of(Archive(root)), filling=True).close()
    with pytest.raises(IndexDamagedError, match="is not finished"):
        take(root)
    with IndexReader(root / "index.sqlite") as reader:
        assert reader.count() == 73


def test_a_reader_goes_on_with_what_it_sees(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_MS", 100)  # its log is cut when nobody reads any more: not waited for here
    anew(root)
    with IndexReader(root / "index.sqlite") as reader:
        remove_files(root, call_id(3))
        anew(root)
        take(root)
        assert reader.count() == 73
        assert len(reader.search(Query(limit=1000)).hits) == 73


def test_killed_while_it_takes_its_place_either_index_is_whole(root: Path) -> None:
    path, spool = root / "index.sqlite", rebuild.path_of(Archive(root))
    grown = content(path)
    anew(root)
    program = (
        "import sys; from pathlib import Path; from storage.index import swap;"
        "print('go', flush=True); swap.put_in_place(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    killed = 0
    for delay_s in (0, 0.001, 0.003, 0.005, 0.01, 0.02, 0.04):
        new = root / "spool" / "copy"
        shutil.copy(spool, new)
        child = subprocess.Popen([sys.executable, "-c", program, str(new), str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        threading.Event().wait(delay_s)
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
        child.stdout.close()
        assert content(path) == grown
    assert killed


def test_what_is_erased_between_is_erased_in_the_new_one_too(root: Path) -> None:
    anew(root)
    enter(root, erasure(call_id(7)))
    assert not rebuild.path_of(Archive(root)).exists()
    with pytest.raises(IndexMissingError, match="no index was made anew, or something was erased since"):
        take(root)


def test_readers_go_on_while_indexes_change_places(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    for number in (1, 2):
        make(tmp_path / f"{number}", number)
    shutil.copy(tmp_path / "1" / "index.sqlite", path)
    counts: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            with IndexReader(path) as reader:
                counts.append(len(reader.search(Query()).hits) - reader.count())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(40):
        new = tmp_path / "new.sqlite"
        shutil.copy(tmp_path / str(turn % 2 + 1) / "index.sqlite", new)
        swap.put_in_place(new, path)
        with IndexWriter(path) as writer:
            writer.hold([call_id(0)], f"turn {turn}")
    done.set()
    reader.join()
    assert set(counts) == {0}
    assert len(counts) > 1


def test_an_index_of_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="is not a directory"):
        anew(tmp_path / "nothing")
    assert not os.path.lexists(tmp_path / "nothing")
