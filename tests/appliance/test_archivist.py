"""Erasures, holds and the clock, by whoever owns the archive; killed at every step it ends the same."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from appliance.custody.archiverequests import ConfirmClock, Done, Erase, Erased, Hold, Receipt, Refused
from storage.archive import Archive
from storage.disk import FILE_MODE, Disk
from storage.errors import ErasedError
from storage.index.reader import IndexReader
from storage.ledger import entries, proof
from storage.ledger.entries import DeliveredPart
from storage.ledger.view import LedgerView
from storage.retention import clockfile, clockguard, holds
from storage.retention.erasure import BALLAST_NAME, INTENT_NAME
from storage.verify.verification import Request, verify
from storage.vocabulary import Form
from tests.storage.fatal import in_a_process_killed_at
from tests.storage.ledger.books import MortalDisk
from tests.storage.retention.archives import (
    SEEN,
    call_id,
    carried_out,
    erasures,
    finished,
    make,
    owned,
    owned_writing,
    write_late,
)

DAY = "2026-01-02"


def erase(*numbers: int) -> Erase:
    calls = tuple((call_id(number), DAY) for number in numbers)
    return Erase(calls=calls, rule="request: by number", who="tanaka", why="request 17")


def hold(*numbers: int, name: str = "case", released: bool = False) -> Hold:
    calls = tuple(call_id(number) for number in numbers)
    return Hold(calls=calls, released=released, name=name, who="sato", why="court")


def names_of(*numbers: int) -> set[str]:
    """Beginnings of ids that stand in file names."""
    return {call_id(number)[:10] for number in numbers}


def ids_left(root: Path) -> set[str]:
    return {id_in(name) for name in finished(root)}


def id_in(name: str) -> str:
    return name.split("_")[4] if name.count("_") > 2 else name[:10]


@pytest.mark.parametrize("form", Form)
def test_everything_of_a_call_goes(tmp_path: Path, form: Form) -> None:
    make(tmp_path, 3, form=form, late=True)
    everything = finished(tmp_path)
    with owned(tmp_path) as archivist:
        answer = carried_out(archivist, erase(1))
    assert isinstance(answer, Erased)
    assert (answer.erased, answer.parts, answer.left) == ((call_id(1),), 2, {})
    assert ids_left(tmp_path) == names_of(0, 2)
    assert len(everything - finished(tmp_path)) == (4 if form is Form.ZIP else 6)
    [said] = erasures(tmp_path)
    assert (said.call_ids, said.rule, said.who, said.why) == (
        (call_id(1),),
        "request: by number",
        "tanaka",
        "request 17",
    )
    assert said.counts == {"calls": 1, "parts": 2, "bytes": answer.bytes}
    assert sorted(path.name for path in (tmp_path / "retention").iterdir()) == [BALLAST_NAME]


def test_the_answer_proves_itself(tmp_path: Path) -> None:
    make(tmp_path, 2)
    with owned(tmp_path) as archivist:
        answer = carried_out(archivist, erase(0))
    assert answer.entry is not None
    line = answer.entry.line.encode()
    proven = proof.parse(answer.entry.proof.encode())
    assert proven.holds_for(entries.leaf(entries.parse(line), line))
    assert not proven.holds_for(b"x" * 32)


def test_what_must_stay_stays(tmp_path: Path) -> None:
    make(tmp_path, 4)
    damaged = next((tmp_path / "calls").rglob(f"{call_id(3)}.json"))
    damaged.write_bytes(b"{}")
    with owned(tmp_path, pending=lambda one: one == call_id(2)) as archivist:
        assert carried_out(archivist, hold(1)).calls == 1
        answer = carried_out(archivist, erase(0, 1, 2, 3, 9))
    assert answer.erased == (call_id(0),)
    assert answer.left == {call_id(1): "held", call_id(2): "pending", call_id(3): "damaged", call_id(9): "open"}
    assert ids_left(tmp_path) == names_of(1, 2, 3)


def test_asking_twice_erases_once(tmp_path: Path) -> None:
    make(tmp_path, 2)
    with owned(tmp_path) as archivist:
        carried_out(archivist, erase(0))
        again = carried_out(archivist, erase(0))
    assert (again.entry, again.erased, again.left) == (None, (), {})
    assert len(erasures(tmp_path)) == 1


def test_holds_add_up_and_outlive_their_owner(tmp_path: Path) -> None:
    make(tmp_path, 2)
    with owned(tmp_path) as archivist:
        for name in ("one", "two"):
            assert carried_out(archivist, hold(0, 1, name=name)).calls == 2
        assert carried_out(archivist, hold(0, name="one")) == Done(entry=None, calls=0)
    with owned(tmp_path) as archivist:
        assert carried_out(archivist, hold(0, name="one", released=True)).calls == 1
        assert carried_out(archivist, erase(0)).left == {call_id(0): "held"}
        assert carried_out(archivist, hold(0, name="two", released=True)).calls == 1
        assert carried_out(archivist, erase(0, 1)).left == {call_id(1): "held"}
        assert carried_out(archivist, hold(0)).calls == 0, "an erased call cannot be held any more"
    seen = holds.in_force(LedgerView(tmp_path / "ledger").holds())
    assert seen.by_call == {call_id(1): {"one", "two"}}
    assert holds.by_name(seen) == {"one": 1, "two": 1}
    assert seen.named("two") == [call_id(1)]


def test_late_packets_that_come_during_the_erasure_go_too(tmp_path: Path) -> None:
    """Whatever is written between two steps is erased with the call, or refused."""
    make(tmp_path, 3, late=True)
    others = {name for name in finished(tmp_path) if id_in(name) == call_id(1)[:10]}
    refused = []
    with owned_writing(tmp_path) as (archivist, writer):
        steps = archivist.carry_out(erase(0, 2), SEEN)
        for number, _ in enumerate(steps):
            try:
                write_late(writer, 0, 90_000 + number)
                refused.append(False)
            except ErasedError:
                refused.append(True)
    assert refused == sorted(refused)
    assert set(refused) == {False, True}
    assert finished(tmp_path) == others


def test_where_calls_stand_in_the_ledger(tmp_path: Path) -> None:
    make(tmp_path, 3, parts=1, late=True)
    with owned(tmp_path) as archivist:
        carried_out(archivist, erase(0))
    view = LedgerView(tmp_path / "ledger")
    # log seal | part call part call part call late late late seal | erasure seal
    assert (view.size, [view.position(call_id(number)) for number in (0, 1, 2, 3)]) == (14, [12, 5, 7, None])
    assert LedgerView(tmp_path / "nowhere").size == 0


def erase_two(root: Path) -> Callable[[MortalDisk], None]:
    def work(disk: MortalDisk) -> None:
        steps, disk.left = disk.left, -1
        with owned(root, disk) as archivist:
            disk.left = steps
            carried_out(archivist, erase(0, 2))

    return work


def own(root: Path) -> Callable[[MortalDisk], None]:
    def work(disk: MortalDisk) -> None:
        with owned(root, disk):
            pass

    return work


def test_killed_at_any_step_it_is_finished_or_was_not_begun(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    make(whole, 3, form=Form.WAV, late=True)
    (whole / "quarantine").mkdir()
    (whole / "quarantine" / f"{call_id(0)}-7.rkj").write_bytes(b"speech")
    outcomes = []
    for step in range(1, 1000):
        root = tmp_path / f"killed-{step}"
        shutil.copytree(whole, root)
        if not in_a_process_killed_at(step, erase_two(root)):
            break
        with owned(root):
            pass
        assert verify(Request(archive=root)).defects == []
        done = ids_left(root) == names_of(1)
        outcomes.append(done)
        [set_aside] = (root / "quarantine").iterdir()
        assert set_aside.read_bytes() == (b"" if done else b"speech")
        assert done or finished(root) == finished(whole)
        assert [one.call_ids for one in erasures(root)] == ([(call_id(0), call_id(2))] if done else [])
        assert sorted(path.name for path in (root / "retention").iterdir()) == [BALLAST_NAME]
        with owned(root) as archivist:
            answer = carried_out(archivist, erase(0, 1, 2))
            assert set(answer.erased) == ({call_id(1)} if done else {call_id(0), call_id(1), call_id(2)})
        assert finished(root) == set()
    assert step > 20
    assert outcomes == sorted(outcomes), "once begun it is always finished"
    assert outcomes[0] is False
    assert outcomes[-1] is True


def test_killed_again_and_again_while_it_is_finished(tmp_path: Path) -> None:
    make(tmp_path, 3)
    assert in_a_process_killed_at(8, erase_two(tmp_path))
    assert (tmp_path / "retention" / INTENT_NAME).exists()
    step = 1
    while in_a_process_killed_at(step, own(tmp_path)):
        step += 1
    assert step > 5
    assert ids_left(tmp_path) == names_of(1)
    assert len(erasures(tmp_path)) == 1


class FailingDisk(Disk):
    """A disk that cannot take names away any more."""

    def __init__(self) -> None:
        self.removals = 3

    def remove(self, path: Path) -> None:
        self.removals -= 1
        if self.removals <= 0:
            raise OSError(errno.EIO, "Input/output error")
        super().remove(path)


def test_a_disk_that_fails_is_told_and_what_was_begun_is_finished_later(tmp_path: Path) -> None:
    make(tmp_path, 2)
    disk = FailingDisk()
    with owned(tmp_path, disk) as archivist:
        disk.removals = 3
        answer = carried_out(archivist, erase(0))
        assert answer == Refused(problem="cannot erase a file of the archive: Input/output error")
        assert carried_out(archivist, erase(1)) == answer, "one after the other"
        disk.removals = 1000
        assert carried_out(archivist, erase(1)).erased == (call_id(1),)
    assert finished(tmp_path) == set()
    assert [one.call_ids for one in erasures(tmp_path)] == [(call_id(0),), (call_id(1),)]


class FullDisk(Disk):
    """A disk without room, as long as nothing is removed."""

    def __init__(self) -> None:
        self.is_full = False

    def create(self, path: Path, mode: int = FILE_MODE) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().create(path, mode)

    def remove(self, path: Path) -> None:
        super().remove(path)
        self.is_full = False


def test_a_full_disk_gives_back_what_was_set_aside(tmp_path: Path) -> None:
    make(tmp_path, 2)
    disk = FullDisk()
    with owned(tmp_path, disk) as archivist:
        disk.is_full = True
        assert carried_out(archivist, erase(0)).erased == (call_id(0),)
    assert ids_left(tmp_path) == names_of(1)
    assert (tmp_path / "retention" / BALLAST_NAME).stat().st_size == 1 << 20


def test_an_intent_that_cannot_be_read_stops_everything(tmp_path: Path) -> None:
    make(tmp_path, 1)
    (tmp_path / "retention").mkdir()
    (tmp_path / "retention" / INTENT_NAME).write_bytes(b"{")
    with pytest.raises(Exception, match="an erasure is not finished"), owned(tmp_path):
        pass


def test_the_clock_is_kept_and_confirmed(tmp_path: Path) -> None:
    make(tmp_path, 1)
    with owned(tmp_path) as archivist:
        archivist.look_at_clock(SEEN)
        assert carried_out(archivist, ConfirmClock(who="tanaka", why="looked")) == Done(entry=None)
    kept = clockfile.read(Archive(tmp_path).retention)
    assert clockguard.is_confirmed(kept)
    assert kept.confirmed_by == "tanaka: looked"
    with owned(tmp_path) as archivist:
        assert archivist.clock == kept


def test_the_index_forgets_the_numbers(tmp_path: Path) -> None:
    make(tmp_path, 2, parts=1)
    with owned(tmp_path) as archivist:
        carried_out(archivist, erase(0, 1))
    with IndexReader(tmp_path / "index.sqlite") as index:
        assert index.count() == 0
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("index.sqlite*"))
    for number in (b"0698765432", b"0311112222"):
        assert number not in stored


def test_a_receipt_is_in_the_ledger_once_however_often_it_is_asked_for(tmp_path: Path) -> None:
    make(tmp_path, 2)
    parts = (DeliveredPart(call_id(0), 1, "ab" * 32), DeliveredPart(call_id(0), 2, "cd" * 32))

    def receipt(*which: DeliveredPart, outcome: Literal["delivered", "given_up"] = "delivered") -> Receipt:
        proof: Literal["read_back"] | None = "read_back" if outcome == "delivered" else None
        return Receipt(
            target="hq", address="file:///hq", outcome=outcome, proof=proof, parts=which, who="upload", why="E1"
        )

    gone = tuple(DeliveredPart(one.call_id, one.part, None) for one in parts)
    with owned(tmp_path) as archivist:
        for request in (receipt(parts[0]), receipt(*parts), receipt(*parts), receipt(*gone, outcome="given_up")):
            assert isinstance(carried_out(archivist, request), Done)
    with owned(tmp_path) as archivist:
        answer = carried_out(archivist, receipt(*gone, outcome="given_up"))
        assert isinstance(answer, Done)
        assert answer.entry is None
        assert carried_out(archivist, receipt(parts[1])).entry is not None  # delivered after all
    said = [line.entry for line in LedgerView(tmp_path / "ledger").lines()]
    assert [(one.outcome, one.parts) for one in said if isinstance(one, entries.Delivery)] == [
        ("delivered", parts[:1]),
        ("delivered", parts[1:]),
        ("given_up", gone),
        ("delivered", parts[1:]),
    ]
    assert verify(Request(archive=tmp_path)).defects == []
