"""The books of an archive: its ledger, and its index behind it. For the one writer, which holds the archive's lock.

    promise   noted in the spool, before a file gets its name
    settle    promises and folders to the disk -> ledger lines, one fsync for all -> signed checkpoint -> index
              -> promises dropped

Killed anywhere in between, the next writer goes on from the promises: what has a name in the archive is in the ledger.
While the ledger cannot be used, because it is broken or its key is gone, recording goes on and promises wait.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from storage.archive import Archive
from storage.disk import Disk
from storage.errors import (
    ConflictError,
    DeviceKeyError,
    IndexDamagedError,
    IndexMissingError,
    LedgerBrokenError,
    StorageError,
)
from storage.index import purging, rebuild, swap
from storage.index.following import follow
from storage.index.writer import IndexWriter
from storage.ledger.entries import Configuration, Entry, Filed
from storage.ledger.ledger import Ledger
from storage.ledger.settings import InForce, LedgerSettings
from storage.promises import Promise, Promises
from storage.timestamps import rfc3339

MOST_LINES = 4000
"""Brought into the index at once, a second's work: an index that is far behind does not keep recordings waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterSettings:
    """How the books are kept."""

    ledger: LedgerSettings
    """Where the ledger is, and its name."""
    now_ns: Callable[[], int]
    """The time that is written into them."""
    go_on_without: bool = False
    """Whether a ledger that cannot be used stops recording: an import can be repeated, live traffic cannot."""
    in_force: InForce | None = None
    """Entered when it is another configuration than the one entered last; None for who changes none."""


class Register:
    """The open books. A context."""

    def __init__(self, archive: Archive, settings: RegisterSettings, disk: Disk) -> None:
        """Open them and find what a killed writer had promised.

        Raises LedgerBrokenError or DeviceKeyError when the ledger cannot be used and may not be done without,
        DiskFullError or ArchiveError when the disk fails.
        """
        self._archive = archive
        self._now_ns = settings.now_ns
        self._zone = settings.ledger.zone
        self.trouble: LedgerBrokenError | DeviceKeyError | None = None
        """Why there is no ledger at present."""
        self.ledger: Ledger | None = None
        """The ledger, unless there is trouble with it."""
        self.index: IndexWriter | None = None
        """The index, unless there is trouble with it; it can be made anew from the rest (`rokubox reindex`)."""
        self.index_trouble: StorageError | None = None
        """Why there is no index at present."""
        self.index_rests = False
        """Another process writes the index anew: the ledger goes on without it, and the index follows afterwards."""
        self._waiting: list[Entry] = []
        self._promises = Promises(archive.spool, disk)
        try:
            self.ledger = Ledger(settings.ledger, settings.now_ns(), disk=disk)
        except (LedgerBrokenError, DeviceKeyError) as error:
            self.trouble = error
            if not settings.go_on_without:
                self.__exit__(None, None, None)
                raise
        try:
            self.index = self._open_index()
        except StorageError as error:
            self.index_trouble = error
            if not (settings.go_on_without or isinstance(error, IndexDamagedError)):
                self.__exit__(None, None, None)
                raise
        self._waiting += self._changed_configuration(settings.in_force)
        kept = [promise for promise in self._promises.read() if promise.is_kept(archive.root)]
        self._waiting += [promise.entry for promise in kept]
        self.found_in = {(archive.root / promise.path).parent for promise in kept}
        """Folders of what a killed writer had promised."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._promises.close()
        if self.index is not None:
            if kind is None:
                with suppress(StorageError):  # the next owner does it
                    self.tidy_index()
            self.index.close()
        if self.ledger is not None:
            self.ledger.__exit__(kind, error, traceback)

    def _changed_configuration(self, now: InForce | None) -> list[Configuration]:
        """The entry about a change, unless nothing has changed."""
        if self.ledger is None or now is None:
            return []
        last = self.ledger.configuration()
        if now.digest == (last.digest if last else None):
            return []
        return [Configuration(digest=now.digest, who=now.by.who, why=now.by.why, at=self.now())]

    def _open_index(self) -> IndexWriter:
        index = IndexWriter(self._archive.index)
        if self.ledger is not None and index.ledger_size > self.ledger.size:
            index.close()
            raise IndexDamagedError("the index belongs to another ledger")
        return index

    def take_index(self) -> None:
        """Put the index that was made anew (`storage.index.rebuild`) in the place of the one in use.

        Raises IndexMissingError when none was made, IndexDamagedError when it cannot be used, ArchiveError or
        DiskFullError when the disk fails; the old one stays in use then, if it can be.
        """
        self.give_index_away()
        try:
            swap.put_in_place(rebuild.path_of(self._archive), self._archive.index)
        finally:
            self.take_index_back()

    def give_index_away(self) -> None:
        """Let somebody put the new index in the place of the one in use, which is closed until it is taken back.

        Raises as `take_index`; the index is not given away then.
        """
        made = rebuild.path_of(self._archive)
        if not made.exists():
            raise IndexMissingError("no index was made anew, or something was erased since")
        with IndexWriter(made) as new:
            if self.ledger is not None:
                follow(new, self._archive, self.ledger.lines(new.ledger_size))
        if self.index is not None:
            self.index.close()
            self.index = None

    def take_index_back(self) -> None:
        """Open the index that is in its place. Raises IndexDamagedError, ArchiveError or DiskFullError."""
        self.index = self._open_index()
        self.index_trouble = None

    def is_erased(self, call_id: str, part: int = 0) -> bool:
        """Whether the part (0: the whole call) was erased, and must not come back."""
        if self.ledger is None:
            return False
        return self.ledger.is_erased(call_id) or (part > 0 and self.ledger.is_erased(call_id, part))

    @contextmanager
    def promised(self, path: Path, entry: Filed) -> Iterator[None]:
        """Promise a file before it gets its name; inside, it gets it. Then the entry waits for `settle`."""
        self._promises.note(Promise(path=str(path.relative_to(self._archive.root)), entry=entry))
        yield
        self._waiting.append(entry)

    def now(self) -> str:
        """The time for entries."""
        return rfc3339(self._now_ns(), self._zone)

    @property
    def alarm(self) -> str:
        """What people should know about how the ledger was found; empty when all was well."""
        return self.ledger.alarm if self.ledger is not None else ""

    @property
    def has_news(self) -> bool:
        """Whether `settle` has something to do."""
        if self.ledger is None:
            return False
        return bool(self._waiting) or self._is_behind(self.ledger)

    def secure(self) -> None:
        """Bring the promises to the disk, before folders are."""
        self._promises.secure()

    def settle(self) -> None:
        """Enter what is new, in the index `MOST_LINES` at a time. Raises DiskFullError or ArchiveError.

        Another call does the rest.
        """
        if self.ledger is None:
            return
        for entry in self._waiting:
            with suppress(ConflictError):  # stands with other hashes; `verify` tells which of them the file has
                self.ledger.append([entry])
        self._waiting.clear()
        self.ledger.commit(self._now_ns())
        self._promises.forget()
        if self.index is not None and self._is_behind(self.ledger):
            try:
                follow(self.index, self._archive, islice(self.ledger.lines(self.index.ledger_size), MOST_LINES))
            except IndexDamagedError as error:
                self.index_trouble = error
                self.index.close()
                self.index = None

    def _is_behind(self, ledger: Ledger) -> bool:
        """Whether the index is to be brought up to date now."""
        return self.index is not None and not self.index_rests and self.index.ledger_size < ledger.size

    @property
    def index_has_traces(self) -> bool:
        """Whether there are traces of what was erased in it."""
        return self.index is not None and not self.index_rests and self.index.has_traces

    def sum_up_index(self) -> None:
        """Sum up what has changed; now and then, when nothing else is going on. Raises DiskFullError, ArchiveError."""
        if self.index is not None and not self.index_rests:
            self.index.settle()

    def tidy_index(self) -> None:
        """Sum up what has changed, and leave no trace of what was erased: that writes the file anew.

        For when nobody waits for us: while recording, another process does it (`index.purging`). Raises DiskFullError
        or ArchiveError.
        """
        self.sum_up_index()
        if self.index is not None and self.index_has_traces:
            purging.purge(self._archive, self.index)
