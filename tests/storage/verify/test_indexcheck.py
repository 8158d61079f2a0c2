"""The index against files and ledger: each kind of difference is found."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from appliance.cli import main
from storage.verify.defects import exit_code
from tests.storage.ledger.books import erasure, opened
from tests.storage.retention.archives import call_id, make
from tests.storage.verify.archives import Made, indexed, verified


@pytest.fixture
def made_with_index(made) -> Made:
    indexed(made)
    return made


def said(made: Made) -> list[str]:
    report = verified(made.root)
    assert exit_code(report.defects) in (0, 15)
    return [defect.what for defect in report.defects]


def changed(made: Made, *statements: str) -> None:
    connection = sqlite3.connect(made.root / "index.sqlite")
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_a_right_index(made_with_index):
    assert said(made_with_index) == []


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DELETE FROM parts WHERE n = 1", "part 1 of call 21c5c2a600 of 2026-01-02 is not in it"),
        ("UPDATE calls SET length_ms = 7 WHERE n = 2", "is not in it as its record says: length_ms"),
        ("UPDATE calls SET caller = '0300000000' WHERE n = 2", "is not in it as its record says: caller"),
        ("UPDATE parts SET size_bytes = 7", "is not in it as its record says: parts"),
        ("UPDATE numbers SET searchable = '0300000000' WHERE id = 1", "is not in it as its record says: numbers"),
        ("DELETE FROM reasons", "is not found in it by all its days and reasons"),
        ("INSERT INTO overnight VALUES (20260105, 1)", "is not found in it by all its days and reasons"),
        ("UPDATE calls SET call_id = zeroblob(32) WHERE n = 1", "is in it, and not in the archive"),
        ("INSERT INTO parts VALUES (1, 7, 20260102, 1, 1)", "part 7 of call"),
        ("UPDATE daily SET calls = calls + 1", "its sums by day are not those of its calls"),
        ("UPDATE daily SET calls = calls + 1 WHERE line = 0 AND outcome = 0", "its sums by day are not those"),
        ("DELETE FROM daily WHERE line = 0", "its sums by day are not those of its calls"),
        ("UPDATE daily SET peak = peak + 1 WHERE line = 1", "its most calls at one time are not those of its calls"),
        ("INSERT INTO legal_holds VALUES (1, 'case')", "its legal holds are not those of the ledger"),
        ("INSERT INTO numbers VALUES (77, '0300000000')", "its table of numbers holds something of no call"),
        ("INSERT INTO reasons VALUES (1, 1, 77)", "its table of reasons holds something of no call"),
        ("UPDATE links SET kind = 'x'", "is not in it as its record says: links"),
    ],
)
def test_a_changed_index(made_with_index, statement, what):
    changed(made_with_index, statement)
    assert any(what in one for one in said(made_with_index)), said(made_with_index)


def test_a_hold_that_was_taken_out(tmp_path):
    make(tmp_path, 3)
    archive = ["--archive", str(tmp_path)]
    assert main(["hold", "--set", "case", call_id(1)[:12], "--why", "court", *archive]) == 0
    assert main(["hold", "--set", "other", call_id(2)[:12], "--why", "court", *archive]) == 0
    assert main(["hold", "--release", "other", "--why", "over", *archive]) == 0
    assert verified(tmp_path).defects == []
    with closing(sqlite3.connect(tmp_path / "index.sqlite", isolation_level=None)) as index:
        assert index.execute("DELETE FROM legal_holds").rowcount == 1
    assert [one.what for one in verified(tmp_path).defects] == ["its legal holds are not those of the ledger"]


def test_what_was_erased_is_not_to_be_in_it(made_with_index):
    with opened(made_with_index.root) as ledger:
        call_id = made_with_index.records[0].stem
        ledger.append([replace(erasure(), call_ids=(call_id,))])
        ledger.commit(1_767_400_000_000_000_000)
    for path in made_with_index.root.rglob(f"*{call_id[:10]}*"):
        path.unlink()
    assert any("is in it, and not in the archive" in one for one in said(made_with_index))


def test_a_damaged_index(made_with_index):
    path = made_with_index.root / "index.sqlite"
    content = bytearray(path.read_bytes())
    content[4096:40960] = b"\xff" * 36864
    path.write_bytes(content)
    assert said(made_with_index)
    path.write_bytes(b"no database")
    assert said(made_with_index) == ["the index is damaged; `rokubox reindex` makes it anew from the files"]
