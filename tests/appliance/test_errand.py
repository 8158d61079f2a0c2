"""What is asked of the service manager by files, and what it answers."""

import os
import time
from pathlib import Path

from appliance.custody.errand import FAILED, GIVEN_UP_S, UnitErrand


def test_it_goes_on_until_its_end_was_looked_at(tmp_path: Path) -> None:
    errand = UnitErrand(tmp_path, "rokubox-retention")
    assert (errand.is_going_on, errand.ended()) == (False, None)
    errand.begin("--room", "4096")
    asked = tmp_path / "rokubox-retention.begin"
    assert asked.read_text() == "MORE=--room 4096\n"
    errand.begin("--room", "1")
    assert asked.read_text() == "MORE=--room 4096\n"
    (tmp_path / "rokubox-retention.ended").write_text("3\n")
    assert (errand.is_going_on, errand.ended()) == (True, None)  # the manager is not done with it
    asked.unlink()
    assert (errand.is_going_on, errand.ended()) == (True, 3)
    assert (errand.is_going_on, errand.ended()) == (False, None)
    assert list(tmp_path.iterdir()) == []


def test_the_next_owner_learns_of_its_end(tmp_path: Path) -> None:
    UnitErrand(tmp_path, "rokubox-scrub").begin()
    after = UnitErrand(tmp_path, "rokubox-scrub")
    assert after.is_going_on
    (tmp_path / "rokubox-scrub.begin").unlink()
    (tmp_path / "rokubox-scrub.ended").write_text("KILL\n")
    assert after.ended() == FAILED


def test_what_nobody_answers_has_failed(tmp_path: Path) -> None:
    nowhere = UnitErrand(tmp_path / "missing", "rokubox-backup")
    nowhere.begin()
    assert (nowhere.ended(), nowhere.ended()) == (FAILED, None)
    errand = UnitErrand(tmp_path, "rokubox-backup")
    errand.begin()
    assert errand.ended() is None
    long_ago = time.time() - GIVEN_UP_S - 1
    os.utime(tmp_path / "rokubox-backup.begin", (long_ago, long_ago))
    assert errand.ended() == FAILED
    assert not errand.is_going_on
