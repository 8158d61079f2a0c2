"""An erasure killed at any point has its certificate all the same."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import clocks
from appliance.cli import main
from appliance.config import Configuration
from appliance.custody import archiveclient, erasing, inventory, orders
from appliance.custody.archiverequests import Answer, Request
from appliance.custody.orders import Order
from storage.archive import Archive
from storage.verify.verification import Request as Verify
from storage.verify.verification import verify
from tests.storage.retention.archives import call_id, finished, make

ORDER = Order(subject="number 0312345678", rule="request: by number", who="suzuki", why="asked")
CALLS = 5


def killed(root: Path, stem: Path, when: Callable[[int], bool], steps: int | None = None) -> None:
    """Have everything erased in a process that is killed: at a request, after some of its steps or when it is done."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert status == signal.SIGKILL
        return
    try:
        archive, configuration = Archive(root), Configuration()
        calls = list(inventory.calls(archive, lambda _error: None))
        with archiveclient.own(archive, configuration) as archivist:
            asked = 0

            def ask(request: Request) -> Answer:
                nonlocal asked
                asked += 1
                left = steps if when(asked) else None
                work = archivist.carry_out(request, clocks.sighting())
                while True:
                    if left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    left = None if left is None else left - 1
                    try:
                        next(work)
                    except StopIteration as ended:
                        answer: Answer = ended.value
                        break
                if when(asked):
                    os.kill(os.getpid(), signal.SIGKILL)
                return answer

            erasing.erase(archive, configuration, ask, calls, ORDER, stem)
    finally:
        os._exit(1)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive whose calls are erased two at a time."""
    monkeypatch.setattr(erasing, "MAX_CALLS", 2)
    make(tmp_path / "archive", CALLS, parts=1)
    return tmp_path / "archive"


def rokubox(*words: str | Path) -> None:
    assert main([str(word) for word in words]) == 0


def assert_accounted(root: Path, certificate: Path, erased: int) -> None:
    document = json.loads(certificate.read_bytes())
    left = {"interrupted": CALLS - erased} if erased < CALLS else {}
    assert (document["calls"], document["parts"], document["left"]) == (erased, erased, left)
    assert (document["subject"], document["rule"], document["why"]) == (ORDER.subject, ORDER.rule, ORDER.why)
    named = [one for entry in document["entries"] for one in json.loads(entry["line"])["call_ids"]]
    assert len(named) == erased
    assert certificate.with_suffix(".txt").exists()
    assert len({name for name in finished(root) if name.endswith(".json")}) == CALLS - erased
    assert orders.left(Archive(root)) == []
    assert not verify(Verify(archive=root)).defects


@pytest.mark.parametrize(
    ("number", "steps", "erased"),
    [
        (1, None, 2),  # carried out, its answer was lost
        (2, 1, 2),  # looked at
        (2, 3, 4),  # in the ledger, files still there
        (3, None, 5),
        (4, 0, 5),  # accounting
        (6, None, 5),
    ],
)
def test_killed_anywhere_the_next_run_certifies_it(
    root: Path, tmp_path: Path, number: int, steps: int | None, erased: int
) -> None:
    stem = tmp_path / "theirs"
    killed(root, stem, lambda asked: asked == number, steps)
    assert len(orders.left(Archive(root))) == 1
    assert not list(tmp_path.glob("theirs*"))
    rokubox("retention", "--archive", root)
    assert_accounted(root, stem.with_suffix(".json"), erased)


def test_before_anything_was_erased_nothing_is_certified(root: Path, tmp_path: Path) -> None:
    killed(root, tmp_path / "theirs", lambda asked: asked == 1, 0)
    rokubox("retention", "--archive", root)
    assert not list(tmp_path.glob("theirs*"))
    assert orders.left(Archive(root)) == []
    assert len(finished(root)) == 2 * CALLS


def test_a_second_person_asks(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has a certificate of what was erased for them."""
    killed(root, tmp_path / "theirs", lambda asked: asked == 1)
    words = ("erase", call_id(4), "--yes", "--why", "other")
    rokubox(*words, "--certificate", tmp_path / "ours", "--archive", root)
    assert f"interrupted / 中断された消去の証明書: {tmp_path / 'theirs.txt'}" in capsys.readouterr().out
    found = {name: json.loads((tmp_path / f"{name}.json").read_bytes()) for name in ("theirs", "ours")}
    assert [(one["calls"], one["why"]) for one in found.values()] == [(2, "asked"), (1, "other")]


def test_where_it_cannot_go_it_is_kept_without_a_number(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    killed(root, folder / "theirs", lambda asked: asked == 1)
    folder.rmdir()
    rokubox("retention", "--archive", root)
    kept = root / "retention" / "certificates" / "theirs.json"
    assert json.loads(kept.read_bytes())["subject"] == ORDER.rule
    assert "0312345678" not in kept.read_text() + kept.with_suffix(".txt").read_text()


def test_an_order_at_work_is_left_alone(root: Path, tmp_path: Path) -> None:
    archive = Archive(root)
    opened = erasing.opened_order(archive, [(call_id(1), "2026-01-02")], ORDER, tmp_path / "theirs")
    with orders.opened(archive, opened):
        [path] = orders.left(archive)
        with orders.taken(path) as found:
            assert found is None
        assert orders.left(archive) == [path]
    assert orders.left(archive) == []
    with orders.taken(path) as found:
        assert found is None


def test_an_order_is_taken_once_and_a_draft_cleared(root: Path, tmp_path: Path) -> None:
    archive = Archive(root)
    opened = erasing.opened_order(archive, [(call_id(1), "2026-01-02")], ORDER, tmp_path / "theirs")
    with pytest.raises(KeyboardInterrupt), orders.opened(archive, opened):
        raise KeyboardInterrupt
    [path] = orders.left(archive)
    path.with_name(".0123.json").write_bytes(b"{")
    path.with_name("4567.json").write_bytes(b"{")
    with pytest.raises(KeyboardInterrupt), orders.taken(path):
        raise KeyboardInterrupt
    for each in orders.left(archive):
        with orders.taken(each) as found:
            assert (found == opened) is (each == path)
    assert [each.name for each in orders.left(archive)] == ["4567.json"]
