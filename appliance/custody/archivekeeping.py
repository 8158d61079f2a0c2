"""What the archive's owner does besides recording: requests, the clock, retention, room on the disk, backups.

Retention looks at everything there is, which takes time and memory: a process of its own does that (`rokubox retention
--automatic`), at low priority, and asks for erasures over the socket like anybody else. It is started every
`RETENTION_S`, and at once when room runs short: no new recording has to be given up while old ones may go. The nightly
backup is a process of its own too. The scrub goes on beside them: it may take hours.
"""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self

from appliance import clocks
from appliance.custody.archivesocket import ArchiveSocket
from appliance.custody.archivist import Archivist, Surroundings
from appliance.custody.diskroom import room_of
from storage.archive import Archive
from storage.backup import keeping
from storage.backup.settings import BackupSettings
from storage.errors import ArchiveError, DiskFullError, StorageError
from storage.retention import room
from storage.verify import scrub
from storage.writer import ArchiveWriter

LOOK_S = 10.0
"""How often room and clock are looked at."""
FIRST_S = 300.0
"""When retention is carried out first after a start: a time server needs a moment."""
RETENTION_S = 6 * 3600.0
"""How often it is carried out from then on."""
AGAIN_S = 60.0
"""How soon room is made again when that was not enough."""
PURGE_S = 3600.0
"""How long what was erased may leave traces in the index's file: it is written anew then, some seconds of work."""
BACKUP_AGAIN_S = 3600.0
"""How soon a backup that failed is tried again."""
SCRUB_FIRST_S = 2 * 3600.0
"""When the scrub is begun first after a start, if it is due."""
SCRUB_AGAIN_S = 6 * 3600.0
"""How soon one that failed is tried again."""
END_S = 10.0
"""How long the process may take to end when it is asked to."""


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


class ArchiveKeeping:
    """The owner's other half. A context, within the writer's."""

    def __init__(
        self,
        archive: Archive,
        writer: ArchiveWriter,
        settings: KeepingSettings,
        *,
        erased: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        """`erased` is told when calls are gone, `tell` what people should know.

        Raises StorageError when an erasure that was begun cannot be finished, OSError without a socket.
        """
        assert writer.register is not None
        assert writer.register.ledger is not None
        self._archive = archive
        self._settings = settings
        self._tell = tell
        self._register = writer.register
        self._purged_s = time.monotonic()
        self._child: subprocess.Popen[bytes] | None = None
        self._scrub: subprocess.Popen[bytes] | None = None
        self._scrub_from_s = time.monotonic() + settings.scrub_first_s
        self._next_s = time.monotonic() + FIRST_S
        self._room_from_s = 0.0
        self._looked_s = 0.0
        self._backed_up_s = -BACKUP_AGAIN_S
        self._told = ""
        self._zone = writer.register.ledger.zone
        around = Surroundings(zone=self._zone, settle=writer.sync, take_index=self._register.take_index, changed=erased)
        self._archivist = Archivist(archive, writer.register.ledger, around)
        self._archivist.begin(time.time_ns())
        self._socket = ArchiveSocket(archive.run, self._archivist, clocks.sighting)

    def poll(self) -> bool:
        """Do what is due, for a moment; True when there is more to do at once."""
        if time.monotonic() >= self._looked_s + LOOK_S:
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
            self._purge()
        except (StorageError, OSError) as error:
            self._say(str(error))
        else:
            self._told = ""
        if self._is_over() and time.monotonic() >= self._next_s:
            self._start()
        if self._is_over() and self._backup_is_due():
            self._backed_up_s = time.monotonic()
            self._child = subprocess.Popen(self._settings.backup_command, stdin=subprocess.DEVNULL)
        self._look_at_scrub()

    def _look_at_scrub(self) -> None:
        if self._scrub is not None and (code := self._scrub.poll()) is not None:
            self._scrub = None
            if code:
                where = f"run/{scrub.STATE_NAME}"
                self._tell(f"alarm: the scrub ended with exit code {code}: what is wrong is in {where}")
        if self._scrub is not None or not self._settings.scrub_command or time.monotonic() < self._scrub_from_s:
            return
        if scrub.is_due(scrub.read_state(self._archive.run), time.time_ns()):
            self._scrub_from_s = time.monotonic() + SCRUB_AGAIN_S
            self._scrub = subprocess.Popen(self._settings.scrub_command, stdin=subprocess.DEVNULL)

    def _purge(self) -> None:
        """Leave no trace of erased numbers in the index, when nothing else is going on."""
        if self._is_over() and time.monotonic() >= self._purged_s + PURGE_S:
            self._purged_s = time.monotonic()
            self._register.tidy_index()

    def _make_room(self, *, refused: bool) -> None:
        wanted = room.wanted_bytes(room_of(self._archive.root), self._settings.reserve_bytes, refused=refused)
        if wanted and self._is_over() and time.monotonic() >= self._room_from_s:
            self._room_from_s = time.monotonic() + AGAIN_S
            self._start("--room", str(wanted))

    def _start(self, *more: str) -> None:
        self._next_s = time.monotonic() + RETENTION_S
        if self._settings.command:
            self._child = subprocess.Popen([*self._settings.command, *more], stdin=subprocess.DEVNULL)

    def _backup_is_due(self) -> bool:
        """Whether a night has begun without one; one that failed is tried again in an hour."""
        settings = self._settings
        tried_s = time.monotonic() - self._backed_up_s
        if not settings.backup.directory or not settings.backup_command or tried_s < BACKUP_AGAIN_S:
            return False
        try:
            names = os.listdir(settings.backup.directory)
        except OSError:
            names = []
        return keeping.is_due(names, datetime.now(self._zone), settings.backup.hour)

    def _is_over(self) -> bool:
        """Whether neither retention nor a backup is going on."""
        if self._child is None:
            return True
        code = self._child.poll()
        if code is None:
            return False
        if code:
            self._tell(f"alarm: retention or backup ended with exit code {code}")
        self._child = None
        return True

    def _say(self, trouble: str) -> None:
        """Tell of a trouble once, as long as it lasts."""
        if trouble != self._told:
            self._tell(f"alarm: {trouble}")
            self._told = trouble

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (self._child, self._scrub):
            if process is not None:
                process.terminate()
                self._end(process)
        self._socket.close()

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait for it, and answer it meanwhile: it may be waiting for us."""
        deadline = time.monotonic() + END_S
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
            try:
                self._socket.poll()
            except ArchiveError:
                process.kill()
            time.sleep(0.01)
