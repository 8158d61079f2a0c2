"""Writing the index: the same again changes nothing, what is removed is gone, what fails leaves what was."""

import random
import re
import sqlite3
import subprocess
import sys
import threading
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from storage.call_record import CallRecord
from storage.errors import DiskFullError, IndexDamagedError, IndexMissingError
from storage.index.query import NumberMatch, Query
from storage.index.reader import IndexReader
from storage.index.rows import PartRow, Role, call_row
from storage.index.writer import IndexWriter
from storage.records import Links, Party
from storage.timestamps import instant_ns
from storage.vocabulary import Outcome
from tests.storage.index.archives import content, dates, expected_sums, most_at_once, part_rows, records
from tests.storage.samples import CALL_ID, at, call_record, part_record

CALLS = records(120, seed=9)


def write(path: Path, calls: list[CallRecord]) -> None:
    with IndexWriter(path) as writer:
        for call in calls:
            writer.add(call, part_rows(call))


def test_sums_and_peaks_are_those_of_the_records(tmp_path: Path) -> None:
    write(tmp_path / "index.sqlite", CALLS)
    daily = content(tmp_path / "index.sqlite")["daily"]
    named = {
        (day, enterprise, line, list(Outcome)[outcome - 1].value): (calls, length_ms)
        for day, enterprise, line, outcome, calls, _, _, length_ms, _ in daily
        if line != "*" and outcome
    }
    assert {key: sums for key, sums in named.items() if sums[0]} == expected_sums(CALLS)
    spans: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for call in CALLS:
        for day in dates(call):
            spans[day].append(_span(call))
    peaks = {day: peak for day, _, line, out, _, _, _, _, peak in daily if line == "*" and not out}
    assert peaks == {day: most_at_once(each) for day, each in spans.items()}
    assert max(peaks.values()) > 3


def _span(call: CallRecord) -> tuple[int, int]:
    return instant_ns(call.started_at), instant_ns(call.ended_at)


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    write(path, CALLS)
    before = content(path)
    write(path, [*CALLS[50:], *CALLS[:50]])
    assert content(path) == before


def test_order_and_batches_do_not_matter(tmp_path: Path) -> None:
    write(tmp_path / "one.sqlite", CALLS)
    shuffled = random.Random(2).sample(CALLS, len(CALLS))
    with IndexWriter(tmp_path / "two.sqlite") as writer:
        for number, call in enumerate(shuffled):
            writer.add(call, part_rows(call))
            if number % 7 == 0:
                writer.commit()
            if number % 31 == 0:
                writer.settle()
    assert content(tmp_path / "two.sqlite") == content(tmp_path / "one.sqlite")


def test_filled_first_and_sorted_then_is_the_same(tmp_path: Path) -> None:
    write(tmp_path / "one.sqlite", CALLS)
    with IndexWriter(tmp_path / "two.sqlite", filling=True) as writer:
        for call in CALLS:
            writer.add(call, part_rows(call))
        writer.finish_filling()
        writer.add(CALLS[0], part_rows(CALLS[0]))
    assert content(tmp_path / "two.sqlite") == content(tmp_path / "one.sqlite")


def test_what_was_removed_was_never_there(tmp_path: Path) -> None:
    write(tmp_path / "one.sqlite", CALLS[:60])
    write(tmp_path / "two.sqlite", CALLS)
    with IndexWriter(tmp_path / "two.sqlite") as writer:
        writer.remove(call.call_id for call in CALLS[60:])
        writer.remove([CALLS[70].call_id, "ff" * 32])
    one, two = content(tmp_path / "one.sqlite"), content(tmp_path / "two.sqlite")
    assert two == one


def test_no_byte_of_a_removed_number_stays(tmp_path: Path) -> None:
    """SQLite overwrites what it deletes, but not the copies it left when it moved rows: of so many there are some."""
    path = tmp_path / "index.sqlite"
    chance = random.Random(3)
    plain = call_row(call_record(links=Links()), ())
    numbers = [f"0{chance.choice('36')}{chance.randrange(10**8):08d}" for _ in range(10_000)]
    calls = [
        replace(plain, call_id=chance.randbytes(32), caller=number, numbers=((number, Role.CALLER.value),))
        for number in dict.fromkeys(numbers)
    ]
    chance.shuffle(calls)
    gone, kept = calls[:8000], calls[8000:]
    with IndexWriter(path) as writer:
        for row in calls:
            writer.put(row)
        writer.commit()
        assert stored_numbers(path) >= set(numbers)
        for first in range(0, len(gone), 1000):
            writer.remove(row.call_id.hex() for row in gone[first : first + 1000])
            writer.commit()
        assert writer.purge()
        stored = stored_numbers(path)
    assert [row.caller for row in gone if row.caller in stored] == []
    assert stored >= {row.caller for row in kept}


def stored_numbers(path: Path) -> set[str]:
    """Every number that lies anywhere in what the index has on the disk, inside of longer ones too."""
    return {found[1].decode() for found in re.finditer(rb"(?=(0[36]\d{8}))", everything(path))}


def everything(path: Path) -> bytes:
    """All bytes that the index has on the disk."""
    return b"".join(each.read_bytes() for each in sorted(path.parent.glob(f"{path.name}*")))


def test_a_reader_delays_a_purge_and_sees_what_it_saw(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    write(path, CALLS)
    with IndexWriter(path) as writer:
        writer._connection.execute("PRAGMA busy_timeout=100")
        with IndexReader(path) as reader:
            writer.remove(call.call_id for call in CALLS[:100])
            assert not writer.purge()
            assert reader.count() == len(CALLS)
        with IndexReader(path) as reader:
            assert reader.count() == 20
        assert writer.purge()


def test_readers_see_whole_batches_while_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    write(path, CALLS[:10])
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            with IndexReader(path) as reader:
                count = reader.count()
                assert count == reader.count() == len(reader.search(Query(limit=1000)).hits)
                seen.append(count)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for each in readers:
        each.start()
    with IndexWriter(path) as writer:
        for start in range(10, 120, 10):
            for call in CALLS[start : start + 10]:
                writer.add(call, part_rows(call))
            writer.commit()
    done.set()
    for each in readers:
        each.join()
    assert seen
    assert {count % 10 for count in seen} == {0}


def test_holds_come_and_go_by_name(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    write(path, CALLS[:3])
    ids = [call.call_id for call in CALLS[:3]]
    with IndexWriter(path) as writer:
        writer.hold(ids[:2], "case 1")
        writer.hold(ids[:2], "case 1")
        writer.hold([ids[0], "ab" * 32], "case 2")
        writer.release(ids, "case 1")
    with IndexReader(path) as reader:
        (hit,) = reader.search(Query(legal_hold=True)).hits
        assert (hit.call_id, hit.legal_holds) == (ids[0], ("case 2",))


def test_a_call_in_progress_becomes_one_that_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    first, second = (PartRow(number=number, day=20260102, samples=16000, size_bytes=64000) for number in (1, 2))
    with IndexWriter(path) as writer:
        writer.add_part(part_record(), first)
        writer.hold([CALL_ID], "case 1")
        writer.commit()
        writer.add_part(part_record(part=2, first_sample=16000, parts_so_far=2), second)
        writer.add_part(part_record(), first)
    with IndexReader(path) as reader:
        (hit,) = reader.search(Query(in_progress=True, number=NumberMatch(searchable="0312345678"))).hits
        assert (hit.outcome, hit.parts, hit.length_ms) == (None, (first, second), 4000)
        assert reader.search(Query(in_progress=False)).hits == ()
    with IndexWriter(path) as writer:
        writer.add(call_record(), (first, second))
        writer.add_part(part_record(), first)
        writer.add_part(part_record(part=3), replace(first, number=3))
    with IndexReader(path) as reader:
        (hit,) = reader.search(Query()).hits
        assert (hit.outcome, hit.legal_holds) == (Outcome.PARTLY, ("case 1",))
        assert [part.number for part in hit.parts] == [1, 2, 3]
        assert reader.search(Query(in_progress=True)).hits == ()


def test_parts_go_alone_but_a_call_in_progress_with_its_last(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    part = PartRow(number=1, day=20260102, samples=16000, size_bytes=64000)
    with IndexWriter(path) as writer:
        writer.add(call_record(), (part,))
        writer.add_part(part_record(call_id="ab" * 32), part)
        writer.remove_parts([(CALL_ID, 1), ("ab" * 32, 1), ("cd" * 32, 1)])
    with IndexReader(path) as reader:
        (hit,) = reader.search(Query()).hits
        assert (hit.call_id, hit.parts) == (CALL_ID, ())


def test_times_beyond_64_bits_are_the_last_that_fit(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    forged = call_record(
        started_at="9999-12-30T23:00:00.000000000+09:00", ended_at="9999-12-31T23:00:00.000000000+09:00"
    )
    write(path, [forged])
    with IndexReader(path) as reader:
        (hit,) = reader.search(Query()).hits
        assert hit.started_at.year == 2262


def test_after_an_error_all_is_as_after_the_last_commit(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    with IndexWriter(path) as writer:
        writer.add(CALLS[0], part_rows(CALLS[0]))
        writer.ledger_size = 3
        writer.commit()
        writer._connection.execute("PRAGMA max_page_count=1")
        with pytest.raises(DiskFullError, match="no space left"):  # noqa: PT012
            for call in CALLS[1:]:
                writer.add(call, part_rows(call))
            writer.ledger_size = 200
            writer.commit()
        assert writer.ledger_size == 3
        writer._connection.execute("PRAGMA max_page_count=1000000")
        for call in CALLS:
            writer.add(call, part_rows(call))
    write(tmp_path / "other.sqlite", CALLS)
    assert content(path) == content(tmp_path / "other.sqlite")


def test_killed_while_writing_leaves_the_last_commit(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    program = (
        "import os, signal; from pathlib import Path;"
        "from storage.index.writer import IndexWriter; from tests.storage.index.test_writer import CALLS, part_rows;"
        f"writer = IndexWriter(Path({str(path)!r}));"
        "[writer.add(call, part_rows(call)) for call in CALLS[:30]]; writer.commit();"
        "[writer.add(call, part_rows(call)) for call in CALLS[30:]]; writer.hold([CALLS[31].call_id], 'x');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with IndexReader(path) as reader:
        assert reader.count() == 30
    write(path, CALLS)
    write(tmp_path / "other.sqlite", CALLS)
    assert content(path) == content(tmp_path / "other.sqlite")


def test_mode_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    with pytest.raises(IndexMissingError, match="rokubox reindex"):
        IndexReader(path)
    write(path, CALLS[:1])
    assert path.stat().st_mode & 0o777 == 0o640
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(IndexDamagedError, match="rokubox reindex"):
        IndexReader(path)
    with pytest.raises(IndexDamagedError, match="rokubox reindex"):
        IndexWriter(path)
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("PRAGMA user_version=99")
    connection.execute("CREATE TABLE x (y)")
    connection.close()
    with pytest.raises(IndexDamagedError, match="version 99"):
        IndexReader(other)


def test_hostile_text_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    hostile = call_record(caller=Party(number="\udcff'\0;DROP" + "9" * 5000, display="", uri=""), line="\ud800")
    write(path, [hostile])
    with IndexReader(path) as reader:
        (hit,) = reader.search(Query()).hits
        assert hit.caller.startswith("\ufffd'\0;DROP999")
        assert at(-1)[:19] in hit.started_at.isoformat()
