"""One target's deliveries: so many at once, over one connection that is kept while there is something to do."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from storage.archive import Archive
from uploader import parcel
from uploader.clock import Now
from uploader.delivery import Delivery
from uploader.dispatch import Dispatcher
from uploader.errors import ParcelError, SourceError, TargetError
from uploader.parcel import Parcel, Source
from uploader.policy import Plan
from uploader.queueview import DIRECTORY
from uploader.settings import TargetSettings
from uploader.targets.contract import Patience, Session, Target
from uploader.throttle import Throttle

IDLE_S = 20.0
"""How long a connection is kept that nobody needs."""
_MBIT_BYTES = 1_000_000 / 8


class Courier:
    """Delivers to one target until it is told to end."""

    def __init__(
        self,
        settings: TargetSettings,
        target: Target,
        patience: Patience,
        archive: Archive,
        dispatcher: Dispatcher,
        plan: Plan,
        now: Callable[[], Now],
    ) -> None:
        self._name = settings.name
        self._settings = settings
        self._target = target
        self._patience = patience
        self._archive = archive
        self._dispatcher = dispatcher
        self._plan = plan
        self._now = now
        self._limit_bytes_s = settings.max_mbit_s * _MBIT_BYTES
        self._sent, self._received = Throttle(self._limit_bytes_s), Throttle(self._limit_bytes_s)
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._broken = False

    def wake(self) -> None:
        """There may be something to do."""
        self._news.set()

    async def run(self) -> None:
        """Deliver what is due, whenever it is; ends by being cancelled. Raises QueueError."""
        while True:
            self._news.clear()
            if self._dispatcher.due(self._name, self._now()):
                await self._deliver_all()
            await self._news.wait()

    async def _deliver_all(self) -> None:
        """Connect, and go on until nothing is due and the connection was idle for a while."""
        try:
            async with AsyncExitStack() as stack:
                session = await stack.enter_async_context(self._connected())
                self._broken = False
                try:
                    await self._work(session)
                finally:
                    await self._end()
        except TargetError as error:
            self._dispatcher.target_failed(self._name, error, self._now())

    async def _work(self, session: Session) -> None:
        idle_s = time.monotonic()
        while not self._broken:
            self._news.clear()
            for delivery in self._dispatcher.due(self._name, self._now(), self._under_way.keys()):
                self._under_way[delivery.n] = asyncio.create_task(self._deliver(session, delivery))
            if self._under_way:
                news = asyncio.create_task(self._news.wait())
                await asyncio.wait((news, *self._under_way.values()), return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                self._collect()
                idle_s = time.monotonic()
                continue
            left_s = idle_s + IDLE_S - time.monotonic()
            if left_s <= 0:
                return
            try:
                await asyncio.wait_for(self._news.wait(), left_s)
            except TimeoutError:
                return

    def _collect(self) -> None:
        """Take what has ended; an error of the queue goes on to the daemon."""
        for number, task in list(self._under_way.items()):
            if task.done():
                del self._under_way[number]
                task.result()

    async def _end(self) -> None:
        """Wait for what is under way, or end it when we are to end."""
        if asyncio.current_task().cancelling():  # type: ignore[union-attr]
            for task in self._under_way.values():
                task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        self._under_way.clear()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Session]:
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._patience.connect_s):
                    session = await stack.enter_async_context(self._target.session())
            except TimeoutError:
                raise TargetError("the target does not answer") from None
            except OSError as error:
                raise TargetError(f"the target cannot be reached: {error.strerror or error}") from error
            yield session

    async def _deliver(self, session: Session, delivery: Delivery) -> None:
        read_back = self._plan.must_read_back(self._name, delivery.enterprise)
        source = Source(
            recordings=self._archive.recordings,
            spool=self._archive.root / DIRECTORY,
            file=delivery.file,
            call_json_sha256=delivery.call_json_sha256,
            wav_sha256=delivery.wav_sha256,
        )
        try:
            opened = await self._opened(source, read_back=read_back)
            with opened.file:
                limit_s = self._patience.transfer_s(opened.size_bytes, self._limit_bytes_s, self._settings.parallel)
                async with asyncio.timeout(limit_s):
                    proof = await session.deliver(opened)
        except (ParcelError, SourceError) as error:
            self._dispatcher.failed(delivery, error, self._now())
        except TargetError as error:
            self._break(delivery, error)
        except TimeoutError:
            self._break(delivery, TargetError("the target has stopped to take or to give data"))
        except OSError as error:
            self._break(delivery, TargetError(f"the target: {error.strerror or error}"))
        else:
            self._dispatcher.proven(delivery, proof, self._now())

    async def _opened(self, source: Source, *, read_back: bool) -> Parcel:
        """Open a parcel in a thread: it is hashed."""
        opening = asyncio.ensure_future(
            asyncio.to_thread(parcel.open_parcel, source, sent=self._sent, received=self._received, read_back=read_back)
        )
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unused)
            raise

    def _break(self, delivery: Delivery, error: TargetError) -> None:
        """The connection is of no more use."""
        self._broken = True
        self._dispatcher.failed(delivery, error, self._now())


def _close_unused(opening: asyncio.Future[Parcel]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().file.close()
