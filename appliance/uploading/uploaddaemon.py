"""`rokubox-upload`: follows the ledger, delivers what the policies want, asks the archive's owner for the rest.

    ledger --feed--> queue --courier, one a target--> targets
                       |
                       +--clerk--> rokubox-assemble: receipts into the ledger, erasure of what was delivered
                       +--> run/upload.json, for whoever watches

It reads recordings and changes nothing in the archive but its own folder. It can be killed at any instant.
"""

import asyncio
import fcntl
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from appliance.condition import observed
from appliance.supervision import servicelog, servicenotify
from appliance.supervision.orphan import Parent
from appliance.uploading.clerk import AT_ONCE, FAILURES, Clerk
from appliance.uploading.inboxclerk import InboxClerk
from storage.archive import Archive
from storage.disk import FILE_MODE
from storage.errors import StorageError
from storage.volume import volume
from uploader import feed, status
from uploader.clock import Now
from uploader.courier import Courier
from uploader.deliveryqueue import DeliveryQueue
from uploader.dispatch import Dispatcher
from uploader.errors import QueueError
from uploader.inbox.settings import InboxSettings
from uploader.policy import Plan
from uploader.queueview import DIRECTORY
from uploader.survey import survey
from uploader.targets import choice
from uploader.targets.contract import Patience

TICK_S = 0.5
"""How often ledger and queue are looked at."""
GIVE_UP_S = 60.0
"""How often it is looked whether something has been tried for long enough."""
STATUS_S = 30.0
"""How often the status is written when nothing has changed."""
KEEP_S = 20.0
"""How often the running time is kept: what a kill takes from it at most."""
ASK_AGAIN_S = 5.0
"""How soon the archive's owner is asked again when it did not answer."""
INBOX_S = 1.0
"""How often the inbox is looked into."""
ABLE_S = 30.0
"""How often it is kept that something could be received."""
LOOK_S = 2.0
"""How often it is looked how delivery stands."""
LOCK_S = 30.0
"""How long an uploader that is to be replaced may take to end."""
LOCK = "lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSettings:
    """Everything the daemon is told."""

    archive: Path
    """Directory of the archive."""
    plan: Plan
    """What is delivered where."""
    zone: ZoneInfo
    """The site's time zone, for windows of the day."""
    inbox: InboxSettings = field(default_factory=InboxSettings)
    """The carrier's file delivery."""
    proxy: str = ""
    """URL of an HTTP proxy; none when empty."""
    volume_uuid: str = ""
    """File system that the archive has to lie on; any when empty."""
    supervisor: int = 0
    """Process that started this one; 0: whichever is the parent."""
    patience: Patience = field(default_factory=Patience)
    """How long targets may take."""


class UploadDaemon:
    """Delivers until it is stopped."""

    def __init__(self, settings: UploadSettings, queue: DeliveryQueue) -> None:
        self._settings = settings
        self._archive = Archive(settings.archive)
        self._queue = queue
        self._plan = settings.plan
        self._parent = Parent(settings.supervisor)
        self._began_s = queue.running_s - _boot_s()
        self._dispatcher = Dispatcher(queue, settings.plan, settings.zone, random.random)
        self._clerk = Clerk(self._archive, settings.plan)
        self._couriers = [self._courier(name) for name in settings.plan.targets]
        self._inbox: InboxClerk | None = None
        if settings.inbox.directory:
            folder = settings.archive / DIRECTORY
            self._inbox = InboxClerk(settings.inbox, self._archive, folder, settings.zone, _tell)
        self._asked_again = queue.asked_again
        self._trouble: dict[str, str] = {}
        self._due_s: dict[str, float] = {}
        self._shown: object = None

    def now(self) -> Now:
        """This moment."""
        return Now(running_s=self._began_s + _boot_s(), wall_ns=time.time_ns())

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until `stopping` is set or the supervisor is gone. Raises QueueError."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(courier.run()) for courier in self._couriers]
            tasks.append(group.create_task(self._clerks_work()))
            if self._inbox is not None:
                tasks.append(group.create_task(self._inbox_work(self._inbox)))
            while not stopping.is_set() and not self._parent.gone_for_s():
                self._tick()
                servicenotify.watchdog()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), TICK_S)
            for task in tasks:
                task.cancel()
        self._queue.keep_running_s(self.now().running_s)
        self._show()

    def _courier(self, name: str) -> Courier:
        settings = self._plan.targets[name]
        target = choice.target(settings, self._settings.patience, self._settings.proxy)
        return Courier(settings, target, self._settings.patience, self._archive, self._dispatcher, self._plan, self.now)

    def _tick(self) -> None:
        now = self.now()
        try:
            # What is in the archive before there is a first target is delivered when there is one.
            while self._plan.policies and feed.take_in(self._queue, self._archive, self._plan, now) == feed.AT_ONCE:
                servicenotify.watchdog()
        except (StorageError, OSError) as error:
            self._say("feed", f"the archive cannot be read: {error}")
        else:
            self._say("feed", "")
        if self._is_time("give up", GIVE_UP_S) and (count := self._dispatcher.give_up(now)):
            _tell(f"alarm: {count} deliveries were given up; `rokubox uploads` shows them")
        if self._queue.asked_again != self._asked_again:
            self._asked_again = self._queue.asked_again
            self._dispatcher.asked_again()
        if self._is_time("keep", KEEP_S):
            self._queue.keep_running_s(now.running_s)
        if self._is_time("look", LOOK_S):
            self._show()
        for courier in self._couriers:
            courier.wake()

    def _is_time(self, what: str, every_s: float) -> bool:
        if time.monotonic() < self._due_s.get(what, 0.0):
            return False
        self._due_s[what] = time.monotonic() + every_s
        return True

    def _show(self) -> None:
        now = self.now()
        inbox = None if self._inbox is None else self._inbox.status(self._queue.able_ns, now.wall_ns)
        found = survey(self._queue, self._plan, now, "; ".join(filter(None, self._trouble.values())), inbox)
        essence = (
            [(one.name, one.waiting, one.overdue, one.given_up, one.lost, one.error) for one in found.targets],
            found.trouble,
            inbox and (inbox.able, inbox.trouble, inbox.waiting, inbox.set_aside, inbox.stored),
        )
        if essence != self._shown or self._is_time("status", STATUS_S):
            self._shown = essence
            observed.write(self._archive.run, status.NAME, found)

    async def _clerks_work(self) -> None:
        while True:
            await asyncio.sleep(ASK_AGAIN_S if not await self._ask() else TICK_S)

    async def _inbox_work(self, inbox: InboxClerk) -> None:
        if not self._queue.able_ns:
            self._queue.keep_able_ns(time.time_ns())  # nothing was promised to the carrier before
        while True:
            if inbox.is_able() and self._is_time("able", ABLE_S):
                self._queue.keep_able_ns(time.time_ns())
            await asyncio.to_thread(inbox.look)
            await asyncio.sleep(INBOX_S)

    async def _ask(self) -> bool:
        """Have the archive's owner do what there is for it; False when it could not be asked."""
        try:
            while ended := self._queue.unsettled(AT_ONCE):
                self._queue.settled(await asyncio.to_thread(self._clerk.receipts, ended))
            while done := self._queue.done_calls(self.now(), AT_ONCE):
                (await asyncio.to_thread(self._clerk.erase, done)).note(self._queue, self.now())
        except FAILURES as error:
            self._say("clerk", f"receipts and erasures wait: {error}")
            return False
        self._say("clerk", "")
        return True

    def _say(self, what: str, trouble: str) -> None:
        before = self._trouble.get(what, "")
        self._trouble[what] = trouble
        if trouble != before:
            _tell(f"alarm: {trouble}" if trouble else f"over: {before}")


def main(settings: UploadSettings) -> int:
    """Run the daemon in this process.

    Raises:
        StorageError: the archive is not there.
        QueueError: the queue cannot be used, or another uploader has it.
    """
    servicenotify.ready("delivering")  # recording does not wait for it
    volume.require(settings.archive, settings.volume_uuid)
    with DeliveryQueue(settings.archive) as queue, _owned(settings.archive / DIRECTORY / LOCK):
        asyncio.run(_until_stopped(UploadDaemon(settings, queue)))
    servicenotify.stopping()
    return 0


async def _until_stopped(daemon: UploadDaemon) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await daemon.run(stopping)


@contextmanager
def _owned(path: Path) -> Iterator[None]:
    """Be the only one; the one before may need a moment to end."""
    deadline = time.monotonic() + LOCK_S
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise QueueError("another rokubox-upload delivers from this archive") from None
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _tell(line: str) -> None:
    servicelog.say("rokubox-upload", line)
