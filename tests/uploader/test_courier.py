"""One target's deliveries: so many at once, over one connection, and never without end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from storage.archive import Archive
from tests.storage.ledger.books import TOKYO
from tests.uploader.deliveries import at, directory, plan, taken_in
from uploader.courier import Courier
from uploader.deliveryqueue import DeliveryQueue
from uploader.dispatch import Dispatcher
from uploader.errors import TargetError
from uploader.parcel import Parcel
from uploader.proof import Proof, ProofKind
from uploader.survey import survey
from uploader.targets.contract import Patience

QUICK = Patience(connect_s=0.2, answer_s=0.05, slowest_bytes_s=1e9)


class Fake:
    """A target whose deliveries a test makes."""

    def __init__(self, make: Callable) -> None:
        self.make = make
        self.sessions = 0
        self.at_once = self.most_at_once = 0
        self.delivered: list[str] = []

    @asynccontextmanager
    async def session(self) -> AsyncIterator["Fake"]:
        self.sessions += 1
        yield self

    async def deliver(self, parcel: Parcel) -> Proof:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.make(parcel)
        finally:
            self.at_once -= 1
        self.delivered.append(parcel.path)
        return Proof(kind=ProofKind.READ_BACK, sha256=parcel.sha256, size_bytes=parcel.size_bytes)


def run(tmp_path: Path, fake: Fake, until: Callable[[DeliveryQueue], bool], *, calls: int = 12, parallel: int = 3):
    """Let a courier work until something is so; how delivery stands then."""
    wanted = plan(replace(directory(tmp_path / "unused"), parallel=parallel))
    with taken_in(tmp_path / "archive", wanted, calls) as queue:
        dispatcher = Dispatcher(queue, wanted, TOKYO, lambda: 0.5)
        courier = Courier(
            wanted.targets["hq"], fake, QUICK, Archive(tmp_path / "archive"), dispatcher, wanted, lambda: at(0)
        )

        async def work() -> None:
            task = asyncio.create_task(courier.run())
            async with asyncio.timeout(30):
                while not until(queue):
                    courier.wake()
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(work())
        return survey(queue, wanted, at(0)).targets[0]


def test_so_many_at_once_over_one_connection(tmp_path: Path) -> None:
    async def slowly(_parcel: Parcel) -> None:
        await asyncio.sleep(0.02)

    fake = Fake(slowly)
    found = run(tmp_path, fake, lambda queue: queue.next_due_s() is None)
    assert (found.delivered, found.waiting) == (12, 0)
    assert (fake.most_at_once, fake.sessions, len(set(fake.delivered))) == (3, 1, 12)


def test_a_target_that_hangs_is_left_after_a_while(tmp_path: Path) -> None:
    async def never(_parcel: Parcel) -> None:
        await asyncio.sleep(3600)

    fake = Fake(never)
    found = run(tmp_path, fake, lambda queue: bool(queue.target_states()))
    assert (found.failures, found.waiting, found.error) == (1, 12, "the target has stopped to take or to give data")
    assert fake.at_once == 0


def test_a_connection_that_broke_is_made_anew_when_its_time_has_come(tmp_path: Path) -> None:
    async def breaks(_parcel: Parcel) -> None:
        raise TargetError("the connection was lost")

    fake = Fake(breaks)
    found = run(tmp_path, fake, lambda queue: bool(queue.target_states()), parallel=4)
    assert (found.failures, fake.sessions, found.delivered) == (1, 1, 0)
    assert found.error == "the connection was lost"


def test_an_end_in_the_middle_leaves_everything_waiting(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def long(_parcel: Parcel) -> None:
        begun.set()
        await asyncio.sleep(0.1)

    fake = Fake(long)
    found = run(tmp_path, fake, lambda _queue: begun.is_set())
    assert found.waiting + found.delivered == 12
    assert fake.at_once == 0
