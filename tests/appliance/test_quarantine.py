"""A block that assembly cannot get past is set aside after three tries; a disk that fails is not its fault."""

from pathlib import Path

import pytest

from appliance.quarantine import TRIES, Quarantine
from capture import journal
from capture.journal import Block, Event
from capture.journalreader import JournalReader
from capture.journalstore import JournalStore
from storage.errors import DiskFullError


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, int, Block]:
    """An archive with one block in its journal: folder, the block's address, the block."""
    (tmp_path / "spool").mkdir()
    with JournalStore(tmp_path / "journal") as store:
        address = store.append(journal.serialize_events([Event(ts_ns=5, kind="tick", detail={})]))
    with JournalReader(tmp_path / "journal") as reader:
        item = reader.next()
    assert item is not None
    return tmp_path, address, item[1]


def stumble(folder: Path, address: int, error: type[Exception]) -> None:
    """One process's life: it comes to the block, and ends."""
    quarantine = Quarantine(folder / "quarantine", folder / "spool")
    with JournalReader(folder / "journal") as reader, pytest.raises(error), quarantine.watching(address, reader):
        raise error("the message")


def is_held(folder: Path, address: int, block: Block) -> bool:
    return Quarantine(folder / "quarantine", folder / "spool").holds(address, block) is not None


def test_set_aside_after_three_tries(place: tuple[Path, int, Block]) -> None:
    folder, address, block = place
    for _ in range(TRIES):
        assert not is_held(folder, address, block)
        stumble(folder, address, ValueError)
    assert Quarantine(folder / "quarantine", folder / "spool").holds(address, block) == (5, 5)
    (kept,) = (folder / "quarantine").iterdir()
    assert journal.parse_header(kept.read_bytes())[0]["kind"] == journal.BlockKind.EVENT


def test_another_block_in_between_begins_the_count_anew(place: tuple[Path, int, Block]) -> None:
    folder, address, block = place
    for stumbled in (address, address, address + 1000, address, address):
        stumble(folder, stumbled, ValueError)
    assert not is_held(folder, address, block)


def test_the_disk_is_not_the_blocks_fault(place: tuple[Path, int, Block]) -> None:
    folder, address, block = place
    for _ in range(TRIES):
        stumble(folder, address, DiskFullError)
    assert not is_held(folder, address, block)


def test_what_is_read_without_trouble_leaves_no_trace(place: tuple[Path, int, Block]) -> None:
    folder, address, _ = place
    quarantine = Quarantine(folder / "quarantine", folder / "spool")
    with JournalReader(folder / "journal") as reader, quarantine.watching(address, reader):
        pass
    assert list((folder / "spool").iterdir()) == []
