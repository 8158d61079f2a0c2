"""An erasure reaches every byte of the index, and of one that is being made anew."""

from pathlib import Path

from appliance.custody.archiverequests import Erase, Erased
from storage.archive import Archive
from storage.index import rebuild
from storage.records import Party
from tests.storage.index.test_rebuild import anew
from tests.storage.retention.archives import call_id, carried_out, make, owned

THEIRS = "07055501234"


def test_after_an_erasure_no_file_of_the_archive_holds_the_number(tmp_path: Path) -> None:
    make(tmp_path, 6, caller=Party(number=THEIRS, display="", uri=""), asserted=(f"+81{THEIRS[1:]}",))
    anew(tmp_path)
    assert THEIRS.encode() in (tmp_path / "index.sqlite").read_bytes()
    assert THEIRS.encode() in rebuild.path_of(Archive(tmp_path)).read_bytes()
    with owned(tmp_path) as archivist:
        calls = tuple((call_id(number), "2026-01-02") for number in range(6))
        answer = carried_out(archivist, Erase(calls=calls, rule="r", who="w", why="y"))
    assert isinstance(answer, Erased)
    assert len(answer.erased) == 6
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and THEIRS[1:].encode() in path.read_bytes()]
    assert holding == []
