"""What is tried when: a simulated week, every decision a consequence of the clock and of what the target said."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.archive import Archive
from storage.timestamps import local_time
from tests.storage.ledger.books import TOKYO
from tests.storage.retention.archives import call_id, carried_out, make, owned
from tests.uploader.deliveries import DAY_S, ENTERPRISE, at, directory, plan, taken_in
from uploader import feed, retry
from uploader.clock import Now
from uploader.deliveryqueue import DeliveryQueue
from uploader.dispatch import Dispatcher
from uploader.errors import ParcelError, SourceError, TargetError
from uploader.policy import Plan
from uploader.proof import Proof, ProofKind
from uploader.settings import When
from uploader.survey import survey

AWAY = TargetError("no route to host")
PROOF = Proof(kind=ProofKind.READ_BACK, sha256="ab" * 32, size_bytes=7)
MINUTE = 60 / DAY_S


def dispatcher(queue: DeliveryQueue, wanted: Plan, fraction: float = 0.5) -> Dispatcher:
    return Dispatcher(queue, wanted, TOKYO, lambda: fraction)


@pytest.fixture
def wanted(tmp_path: Path) -> Plan:
    return plan(directory(tmp_path / "there"))


@pytest.fixture
def queue(tmp_path: Path, wanted: Plan) -> Iterator[DeliveryQueue]:
    with taken_in(tmp_path / "archive", wanted, 5) as opened:
        yield opened


def minutes(days: float, step: float = 1.0) -> Iterator[Now]:
    return (at(minute * step / 1440) for minute in range(int(days * 1440 / step)))


def test_a_week_offline(queue: DeliveryQueue, wanted: Plan) -> None:
    """Tried less and less often, an alarm after a day, given up after seven: nothing is lost, nothing is erased."""
    deciding = dispatcher(queue, wanted)
    tried: list[float] = []
    overdue: list[float] = []
    for now in minutes(8):
        for delivery in deciding.due("hq", now):
            tried.append(now.running_s)
            deciding.failed(delivery, AWAY, now)
        deciding.give_up(now)
        if now.running_s % 3600 == 0 and survey(queue, wanted, now).targets[0].overdue:
            overdue.append(now.running_s)
    waits = [later - earlier for earlier, later in itertools.pairwise(tried)]
    assert waits[:8] == sorted(waits[:8])
    assert max(waits) <= retry.MOST_S
    assert 7 * 24 < len(tried) < 7 * 24 * 2  # at least once an hour, by one file
    assert overdue[0] == 25 * 3600.0
    last = survey(queue, wanted, at(8)).targets[0]
    assert (last.waiting, last.given_up, last.error) == (0, 5, "no route to host")
    assert tried[-1] <= 7 * DAY_S
    assert [one.state for one in queue.unsettled(10)] == ["given_up"] * 5


def test_an_outage_that_ends_costs_no_recording(queue: DeliveryQueue, wanted: Plan) -> None:
    """After six days everything goes out at once, not file by file at the pace of the retries."""
    deciding = dispatcher(queue, wanted)
    back = at(6)
    delivered: list[float] = []
    for now in minutes(7):
        while due := deciding.due("hq", now):
            for delivery in due:
                if now.running_s < back.running_s:
                    deciding.failed(delivery, AWAY, now)
                else:
                    deciding.proven(delivery, PROOF, now)
                    delivered.append(now.running_s)
        deciding.give_up(now)
    assert len(delivered) == 5
    assert delivered[0] - back.running_s <= retry.MOST_S
    assert delivered[-1] - back.running_s <= 2 * retry.MOST_S + 120


def test_patience_is_counted_in_running_time(queue: DeliveryQueue, wanted: Plan) -> None:
    """A clock that is set forward by years, and a box that was off for a month, give up nothing."""
    deciding = dispatcher(queue, wanted)
    deciding.give_up(Now(running_s=60.0, wall_ns=at(4000).wall_ns))
    assert survey(queue, wanted, at(0)).targets[0].waiting == 5


def test_retry_after_is_honoured(queue: DeliveryQueue, wanted: Plan) -> None:
    deciding = dispatcher(queue, wanted)
    [first, *_] = deciding.due("hq", at(0))
    deciding.failed(first, TargetError("503", retry_after_s=7200), at(0))
    tried = next(now.running_s for now in minutes(1) if deciding.due("hq", now))
    assert 7200 <= tried <= 7200 + retry.FIRST_S + 60


def test_a_restart_keeps_to_what_was_decided(queue: DeliveryQueue, wanted: Plan) -> None:
    [first, *_] = dispatcher(queue, wanted).due("hq", at(0))
    dispatcher(queue, wanted).failed(first, TargetError("503", retry_after_s=7200), at(0))
    assert dispatcher(queue, wanted).due("hq", at(MINUTE)) == []
    assert len(dispatcher(queue, wanted).due("hq", at(0.2))) == 1


def test_one_file_that_fails_holds_up_nobody(queue: DeliveryQueue, wanted: Plan) -> None:
    """Neither one that the target refuses, nor one that brings the target down."""
    deciding = dispatcher(queue, wanted)
    bad: dict[int, ParcelError | TargetError] = {1: ParcelError("name too long"), 2: TargetError("connection lost")}
    for now in minutes(1):
        for delivery in deciding.due("hq", now):
            if delivery.n in bad:
                deciding.failed(delivery, bad[delivery.n], now)
            else:
                deciding.proven(delivery, PROOF, now)
    assert {row.n for row, _, _ in queue.listed(9) if row.error} == {1, 2}
    assert survey(queue, wanted, at(1)).targets[0].delivered == 3


def test_what_is_damaged_here_is_never_delivered(queue: DeliveryQueue, wanted: Plan) -> None:
    deciding = dispatcher(queue, wanted)
    [first, *_] = deciding.due("hq", at(0))
    deciding.failed(first, SourceError("not what the ledger says"), at(0))
    [one] = queue.unsettled(9)
    assert (one.n, one.state) == (first.n, "given_up")


def test_no_more_transfers_at_once_than_allowed(queue: DeliveryQueue, wanted: Plan) -> None:
    deciding = dispatcher(queue, wanted)
    under_way = {one.n for one in deciding.due("hq", at(0))}
    assert len(under_way) == 2
    assert deciding.due("hq", at(0), under_way) == []
    [third] = deciding.due("hq", at(0), {min(under_way)})
    assert third.n not in {min(under_way)}


@pytest.mark.parametrize(
    ("when", "hours"),
    [(When.NOW, set(range(24))), (When.NIGHTLY, {1, 2, 3, 4}), (When.WINDOW, {22, 23, 0, 1, 2, 3, 4})],
)
def test_deliveries_keep_to_their_window(tmp_path: Path, when: When, hours: set[int]) -> None:
    wanted = plan(directory(tmp_path / "there"), when=when)
    with taken_in(tmp_path / "archive", wanted, 1) as queue:
        deciding = dispatcher(queue, wanted)
        tried = {local_time(now.wall_ns, TOKYO).hour for now in minutes(1, 30) if deciding.due("hq", now)}
    assert tried == hours


def test_a_target_that_is_configured_no_more(queue: DeliveryQueue, tmp_path: Path) -> None:
    """What waits for it is given up at once, and on the record."""
    other = plan(directory(tmp_path / "elsewhere", "dr"))
    assert dispatcher(queue, other).give_up(at(0.001)) == 5
    assert dispatcher(queue, Plan()).give_up(at(0.001)) == 0


def test_a_person_has_it_tried_again(queue: DeliveryQueue, wanted: Plan) -> None:
    deciding = dispatcher(queue, wanted)
    for delivery in deciding.due("hq", at(0)):
        deciding.failed(delivery, AWAY, at(0))
    deciding.give_up(at(7.1))
    queue.settled([one.n for one in queue.unsettled(9)])
    before = queue.asked_again
    assert queue.try_again(at(7.2), "dr") == 0
    assert queue.try_again(at(7.2)) == 5
    assert queue.asked_again != before
    deciding.asked_again()
    [first] = deciding.due("hq", at(7.2))  # a target that has failed is asked with one file first
    deciding.proven(first, PROOF, at(7.2))
    assert len(deciding.due("hq", at(7.2), {first.n})) == 1
    assert len(deciding.due("hq", at(7.2))) == 2
    assert deciding.give_up(at(14.1)) == 0


def test_everything_is_taken_in_once(tmp_path: Path) -> None:
    wanted = plan(directory(tmp_path / "there"), directory(tmp_path / "too", "dr"))
    root = tmp_path / "archive"
    with taken_in(root, wanted, 3, parts=2) as queue:
        assert len(queue.listed(99)) == 12
        assert feed.take_in(queue, Archive(root), wanted, at(0)) == 0
    (root / "upload" / "queue.sqlite").write_bytes(b"no database, but longer than nothing" * 100)
    with DeliveryQueue(root) as again:
        while feed.take_in(again, Archive(root), wanted, at(0)):
            pass
        assert len(again.listed(99)) == 12


def test_other_enterprises_and_what_was_erased_are_not_delivered(tmp_path: Path) -> None:
    from tests.appliance.test_archivist import erase

    root = tmp_path / "archive"
    wanted = plan(directory(tmp_path / "there"))
    make(root, 3, parts=1)
    with owned(root) as archivist:
        carried_out(archivist, erase(1))
    with DeliveryQueue(root) as queue:
        while feed.take_in(queue, Archive(root), wanted, at(0)):
            pass
        assert {row.call_id for row, _, _ in queue.listed(9)} == {call_id(0), call_id(2)}
        with owned(root) as archivist:
            carried_out(archivist, erase(0))
        feed.take_in(queue, Archive(root), wanted, at(0))
        assert {row.call_id for row, _, _ in queue.listed(9)} == {call_id(2)}
    others = replace(wanted, policies={"OTHER": wanted.policies[ENTERPRISE]})
    with DeliveryQueue(tmp_path / "other") as queue:
        while feed.take_in(queue, Archive(root), others, at(0)):
            pass
        assert queue.listed(9) == []
