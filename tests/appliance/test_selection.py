"""Which calls a request is about: every way to write a number, on either side, prefixes and all."""

import argparse
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from appliance.commands import selection
from appliance.custody import inventory
from appliance.errors import ConfigurationError
from storage.archive import Archive
from tests.storage.retention.archives import call_id, make


def selected(root: Path, *words: str) -> list[int]:
    parser = argparse.ArgumentParser()
    selection.arguments(parser)
    arguments = parser.parse_args(words)
    found = {call.call_id for call in selection.selected(arguments, Archive(root))}
    return [number for number in range(4) if call_id(number) in found]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two calls from 03-1234-5678 to 06-9876-5432 (dialled with 184), under E1."""
    make(tmp_path, 2, parts=1)
    return tmp_path


@pytest.mark.parametrize(
    "number",
    ["0312345678", "+81 3-1234-5678", "０３１２３４５６７８", "0698765432", "184-06-9876-5432", "+81698765432"],
)
def test_a_person(root: Path, number: str) -> None:
    assert selected(root, "--number", number) == [0, 1]


def test_who_diverted_the_call_is_concerned_too(root: Path) -> None:
    assert selected(root, "--number", "0311112222") == [0, 1]


def test_everything_that_is_said_must_fit(root: Path) -> None:
    assert selected(root, "--enterprise", "E1") == [0, 1]
    assert selected(root, "--enterprise", "E1", "--line", "03-1234-5678") == [0, 1]
    assert selected(root, "--enterprise", "E2", "--number", "0312345678") == []
    assert selected(root, "--line", "0698765432") == []
    assert selected(root, call_id(1)[:8]) == [1]
    assert selected(root, call_id(1), call_id(0)) == [0, 1]


def test_a_call_that_is_named_is_found_without_reading_all(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As long as the index has everything that the ledger has; without it all records are read."""
    next((root / "calls").rglob(f"{call_id(0)}.json")).write_bytes(b"{}")
    assert selected(root, call_id(1)[:8]) == [1]
    assert capsys.readouterr().err == ""
    with pytest.raises(ConfigurationError, match="no call with this id"):
        selected(root, call_id(0))
    assert "not a CallRecord" in capsys.readouterr().err
    (root / "index.sqlite").unlink()
    assert selected(root, call_id(1)[:8]) == [1]
    assert "not a CallRecord" in capsys.readouterr().err


def test_an_index_that_lacks_something_is_not_relied_on(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(root / "index.sqlite", isolation_level=None)) as index:
        index.execute("DELETE FROM calls WHERE call_id = ?", (bytes.fromhex(call_id(1)),))
        assert selected(root, call_id(1)) == [1]
        index.execute("UPDATE meta SET value = value - 1 WHERE name = 'ledger_size'")
    (next((root / "calls").rglob(f"{call_id(1)}.json"))).write_bytes(b"{}")
    assert selected(root, call_id(0)) == [0]
    assert "not a CallRecord" in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("00000000",), (call_id(1), "--enterprise", "E2")])
def test_what_selects_nothing_is_an_error(root: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError):
        selected(root, *words)


def test_the_ledger_is_told_no_number() -> None:
    parser = argparse.ArgumentParser()
    selection.arguments(parser)
    arguments = parser.parse_args(["--number", "0312345678", "--line", "0698765432", "--enterprise", "E1"])
    assert selection.rule(arguments) == "request: enterprise E1, by number, by line"
    assert selection.described(arguments) == "enterprise E1, line 0698765432, number 0312345678"


def test_the_room_that_a_call_takes_is_that_of_all_its_files(tmp_path: Path) -> None:
    """Its recordings, its record, and what came after its end."""
    make(tmp_path, 2, parts=2, late=True)
    files = [*tmp_path.glob("recordings/*/*/*/*.zip"), *tmp_path.glob("calls/*/*/*/*"), *tmp_path.glob("late/*/*/*/*")]
    room = {
        number: sum(path.stat().st_blocks * 512 for path in files if call_id(number)[:10] in path.name)
        for number in range(2)
    }
    assert len(files) == 8
    found = {call.call_id: call.bytes for call in inventory.calls(Archive(tmp_path), lambda _: None)}
    assert found == {call_id(number): taken for number, taken in room.items()}
    named = inventory.named(Archive(tmp_path), [call_id(1)])
    assert named is not None
    assert [call.bytes for call in named] == [room[1]]
