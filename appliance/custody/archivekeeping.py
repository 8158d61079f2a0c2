"""What the archive's owner does besides recording: requests, the clock, retention, room on the disk, backups.

Retention looks at everything there is, which takes time and memory: a process of its own does that (`rokubox retention
--automatic`), at low priority, and asks for erasures over the socket like anybody else. It is started every
`RETENTION_S`, and at once when room runs short: no new recording has to be given up while old ones may go. The nightly
backup is a process of its own too. The scrub goes on beside them: it may take hours. What the disk says of itself is
asked every `OBSERVE_S`. Who starts these processes: `errand`. What is wrong stands on the board.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance import clocks
from appliance.assembling import setaside
from appliance.condition import judging, observed
from appliance.condition.board import Board
from appliance.condition.concerns import Concern
from appliance.condition.seen import DiskSeen, Figures, RetentionSeen, ScrubSeen
from appliance.custody.archivesocket import ArchiveSocket
from appliance.custody.archivist import Archivist, Surroundings
from appliance.custody.diskroom import room_of
from appliance.custody.errand import Errand, OwnErrand, UnitErrand
from appliance.custody.takein import DeliveredSettings, TakerIn
from storage.archive import Archive
from storage.backup import keeping
from storage.backup.settings import BackupSettings
from storage.errors import ArchiveError, DiskFullError, StorageError
from storage.retention import clockguard, room
from storage.verify import scrub
from storage.verify.defects import EXIT_CODES, SEVERAL
from storage.writer import ArchiveWriter

LOOK_S = 10.0
"""How often room and clock are looked at."""
FIRST_S = 300.0
"""When retention is carried out first after a start: a time server needs a moment."""
RETENTION_S = 6 * 3600.0
"""How often it is carried out from then on."""
AGAIN_S = 60.0
"""How soon room is made again when that was not enough."""
SUM_S = 3600.0
"""How often the index's sums are worked out; until then its readers do that themselves."""
PURGE_S = 3600.0
"""How often at most the index's file is written anew, so that it holds no trace of what was erased."""
BACKUP_AGAIN_S = 3600.0
"""How soon a backup that failed is tried again."""
SCRUB_FIRST_S = 2 * 3600.0
"""When the scrub is begun first after a start, if it is due."""
SCRUB_AGAIN_S = 6 * 3600.0
"""How soon one that failed is tried again."""
OBSERVE_S = 3600.0
"""How often the disk is asked how it is."""
OBSERVE_FIRST_S = 60.0
"""When it is asked first after a start."""
_PAUSE_S = 0.005
_UNPURGED = "the index may hold traces of what was erased; this is tried again in an hour"
_SCRUBBED = frozenset({0, *EXIT_CODES.values(), SEVERAL})
"""Exit codes of a scrub that has read what was due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepingSettings:
    """How an archive is kept."""

    reserve_bytes: int
    """Room that is to stay free."""
    command: tuple[str, ...] = ()
    """Carries out retention when it is started; none is when empty."""
    backup_command: tuple[str, ...] = ()
    """Makes a backup when it is started."""
    backup: BackupSettings = field(default_factory=BackupSettings)
    """When."""
    scrub_command: tuple[str, ...] = ()
    """Reads what is due of the archive again when it is started."""
    scrub_first_s: float = SCRUB_FIRST_S
    """How long after the start the first time, at least."""
    swap_command: tuple[str, ...] = ()
    """Puts the index that was made anew in its place when it is started."""
    purge_command: tuple[str, ...] = ()
    """Leaves no trace of what was erased in the index when it is started."""
    pending: Callable[[str], bool] = field(default=lambda _call_id: False)
    """Whether an upload still needs a call."""
    delivered: DeliveredSettings | None = None
    """How calls are taken in that the carrier delivers; None: they are not."""
    observe_command: tuple[str, ...] = ()
    """Asks the disk how it is when it is started."""
    observe_first_s: float = OBSERVE_FIRST_S
    """How long after the start the first time."""
    errands: Path | None = None
    """Folder in which the service manager is asked to do all that; None: it is done by processes of our own."""


class ArchiveKeeping:
    """The owner's other half. A context, within the writer's."""

    def __init__(
        self,
        archive: Archive,
        writer: ArchiveWriter,
        settings: KeepingSettings,
        board: Board,
        erased: Callable[[], None],
    ) -> None:
        """`erased` is told when calls are gone.

        Raises StorageError when an erasure that was begun cannot be finished, OSError without a socket.
        """
        assert writer.register is not None
        assert writer.register.ledger is not None
        self._archive = archive
        self._settings = settings
        self._board = board
        self._register = writer.register
        self._ledger = writer.register.ledger
        now_s = time.monotonic()
        self._purge_from_s = 0.0
        self._sum_from_s = now_s + SUM_S
        self._retention = self._errand("rokubox-retention", settings.command)
        self._backup = self._errand("rokubox-backup", settings.backup_command)
        self._scrub = self._errand("rokubox-scrub", settings.scrub_command)
        self._observation = self._errand("rokubox-disk", settings.observe_command)
        # A moment's work on a file that is the owner's own.
        self._purge = OwnErrand(settings.purge_command)
        self._swap = OwnErrand(settings.swap_command)
        self._begun_s = now_s
        self._scrub_from_s = now_s + settings.scrub_first_s
        self._observe_from_s = now_s + settings.observe_first_s
        self._next_s = now_s + FIRST_S
        self._room_from_s = 0.0
        self._looked_s = -LOOK_S
        self._backup_from_s = 0.0
        around = Surroundings(
            zone=self._ledger.zone,
            pending=settings.pending,
            settle=writer.sync,
            take_in=None if settings.delivered is None else TakerIn(archive.root, writer, settings.delivered).take_in,
            take_index=self._take_index,
            changed=erased,
        )
        self._archivist = Archivist(archive, self._ledger, around)
        self._archivist.begin(time.time_ns())
        self._socket = ArchiveSocket(archive.run, self._archivist, clocks.sighting)

    def _errand(self, unit: str, command: tuple[str, ...]) -> Errand:
        folder = self._settings.errands
        return OwnErrand(command) if folder is None else UnitErrand(folder, unit)

    def poll(self) -> bool:
        """Do what is due, for a moment; True when there is more to do at once."""
        has_news = self._look_at_errands()
        if has_news or time.monotonic() >= self._looked_s + LOOK_S:
            self._looked_s = time.monotonic()
            self._look()
        return self._socket.poll()

    def refused(self, error: StorageError) -> None:
        """The disk has not taken something: make room if that is what is missing."""
        if isinstance(error, DiskFullError):
            self._make_room(refused=True)

    def _look(self) -> None:
        try:
            self._archivist.look_at_clock(clocks.sighting())
            self._make_room(refused=False)
            self._look_at_index()
            self._show()
        except (StorageError, OSError) as error:
            self._board.say(Concern.RETENTION_FAILED, str(error), part="keeping")
        else:
            self._board.say(Concern.RETENTION_FAILED, "", part="keeping")
        now_s = time.monotonic()
        if self._is_quiet() and now_s >= self._next_s:
            self._begin_retention()
        if self._is_quiet() and self._backup_is_due():
            self._backup_from_s = now_s + BACKUP_AGAIN_S
            self._backup.begin()
        if now_s >= self._scrub_from_s and scrub.is_due(scrub.read_state(self._archive.run), time.time_ns()):
            self._scrub_from_s = now_s + SCRUB_AGAIN_S
            self._scrub.begin()
        if now_s >= self._observe_from_s:
            self._observe_from_s = now_s + OBSERVE_S
            self._observation.begin()

    def _look_at_errands(self) -> bool:
        """Say of each process that has ended how it went; whether one has."""
        has_news = self._observation.ended() is not None
        if (code := self._purge.ended()) is not None:
            self._register.index_rests = False
            self._board.say(Concern.INDEX_FAULT, _UNPURGED if code else "", part="purge")
        for errand, concern, name, good in (
            (self._retention, Concern.RETENTION_FAILED, "retention", {0}),
            (self._backup, Concern.BACKUP_FAILED, "the backup", {0}),
            (self._scrub, Concern.SCRUB_FAILED, "the scrub", _SCRUBBED),
        ):
            if (code := errand.ended()) is not None:
                has_news = True
                self._board.say(concern, "" if code in good else f"{name} ended with exit code {code}")
        return has_news

    def _show(self) -> None:
        """Show what is known, and say what of it is a concern."""
        figures = self._figures()
        self._board.show(figures)
        defects = [one for those in scrub.read_state(self._archive.run).defects.values() for one in those]
        judging.say(self._board, figures, defects, time_is_known=time.monotonic() >= self._begun_s + FIRST_S)
        trouble = self._register.index_trouble
        self._board.say(Concern.INDEX_FAULT, "" if trouble is None else f"nothing is entered in the index: {trouble}")

    def _figures(self) -> Figures:
        run, clock, free = self._archive.run, self._archivist.clock, room_of(self._archive.root)
        state = scrub.read_state(run)
        made = keeping.newest(self._backups())
        return Figures(
            free_bytes=free.free_bytes,
            free_inodes=free.free_inodes,
            reserve_bytes=self._settings.reserve_bytes,
            clock_confirmed=clockguard.is_confirmed(clock),
            clock_ahead_s=None if clock.ahead_ns is None else clock.ahead_ns / clockguard.NS,
            ledger_entries=self._ledger.size,
            backup_at_ns=None if made is None else round(made.timestamp()) * clockguard.NS,
            scrub=ScrubSeen(
                last_run_ns=state.last_run_ns,
                last_whole_round_ns=state.last_whole_round_ns,
                defects=sum(map(len, state.defects.values())),
            ),
            disk=observed.read(run, observed.DISK, DiskSeen),
            retention=observed.read(run, observed.RETENTION, RetentionSeen),
        )

    def _look_at_index(self) -> None:
        """Sum it up, and have it written anew after an erasure: the ledger goes on meanwhile, the index waits."""
        now_s = time.monotonic()
        if self._purge.is_going_on:
            return
        if now_s >= self._sum_from_s:
            self._sum_from_s = now_s + SUM_S
            setaside.empty_old(self._archive.quarantine, time.time())
            self._register.sum_up_index()
        if now_s >= self._purge_from_s and self._register.index_has_traces:
            self._purge_from_s = now_s + PURGE_S
            self._purge.begin()
            self._register.index_rests = self._purge.is_going_on

    def _take_index(self) -> Iterator[None]:
        """Let a process put the new index in its place: the ledger goes on meanwhile."""
        if self._purge.is_going_on:
            raise ArchiveError("the index in use is being written anew; try again in a minute")
        self._register.give_index_away()
        try:
            self._swap.begin()
            while (code := self._swap.ended()) is None:
                time.sleep(_PAUSE_S)
                yield
        finally:
            self._register.take_index_back()
        if code:
            raise ArchiveError("the new index could not be put in its place; the old one stays in use")

    def _make_room(self, *, refused: bool) -> None:
        wanted = room.wanted_bytes(room_of(self._archive.root), self._settings.reserve_bytes, refused=refused)
        if wanted and self._is_quiet() and time.monotonic() >= self._room_from_s:
            self._room_from_s = time.monotonic() + AGAIN_S
            self._begin_retention("--room", str(wanted))

    def _begin_retention(self, *more: str) -> None:
        self._next_s = time.monotonic() + RETENTION_S
        self._retention.begin(*more)

    def _backup_is_due(self) -> bool:
        """Whether a night has begun without one; one that failed is tried again in an hour."""
        settings = self._settings
        if not settings.backup.directory or not settings.backup_command or time.monotonic() < self._backup_from_s:
            return False
        return keeping.is_due(self._backups(), datetime.now(self._ledger.zone), settings.backup.hour)

    def _backups(self) -> list[str]:
        """Names of what lies where backups go."""
        try:
            return os.listdir(self._settings.backup.directory) if self._settings.backup.directory else []
        except OSError:
            return []

    def _is_quiet(self) -> bool:
        """Whether neither retention nor a backup is going on."""
        return not (self._retention.is_going_on or self._backup.is_going_on)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        errands = (self._retention, self._backup, self._scrub, self._observation, self._purge)
        for errand in errands:
            errand.ask_to_end()
        for errand in errands:
            errand.wait(self._is_answered)
        self._register.index_rests = False
        self._socket.close()

    def _is_answered(self) -> bool:
        """Answer whoever is to end: it may be waiting for us."""
        try:
            self._socket.poll()
        except ArchiveError:
            return False
        return True
