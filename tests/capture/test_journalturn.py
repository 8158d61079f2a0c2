"""A file that is turned over takes no more blocks, and leaves like any other."""

from pathlib import Path

from appliance.assembling import journalneeds
from appliance.assembling.journalneeds import Needs
from capture.journalfile import OFFSET_BITS
from capture.journalstore import JournalStore
from tests.capture.journalblocks import pieces


def test_the_next_block_goes_into_a_new_file(tmp_path: Path) -> None:
    with JournalStore(tmp_path / "journal") as store:
        store.turn_over(5)
        assert store.append(pieces(1)) >> OFFSET_BITS == 0, "an empty file is not turned over"
        assert store.append(pieces(2)) >> OFFSET_BITS == 1
        for number in range(2, 7):
            assert store.append(pieces(number + 1)) >> OFFSET_BITS == number
        assert store.append(pieces(8)) >> OFFSET_BITS == 6
        store.turn_over(3)
        assert store.append(pieces(9)) >> OFFSET_BITS == 6
        store.forget_before(6 << OFFSET_BITS)
        assert [file.number for file in store.files()] == [6]


def test_how_it_is_asked_for(tmp_path: Path) -> None:
    assert journalneeds.read(tmp_path) == Needs(needed=0, wanted=0, turned=-1)
    journalneeds.write(tmp_path, Needs(needed=77, wanted=80, turned=3))
    assert journalneeds.read(tmp_path) == Needs(needed=77, wanted=80, turned=3)
    (tmp_path / journalneeds.FILE_NAME).write_text("x")
    assert journalneeds.read(tmp_path) == Needs()
