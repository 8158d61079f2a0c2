"""`rokubox-assemble`: the journal into recordings and call records; the only writer of the archive.

    journal --follow--> fold --> parts, call records
                          |
                          +--> snapshot, every `SNAPSHOT_S`: state and position, so that the journal may forget

It can be killed at any instant: the next one begins at the snapshot, and what it writes again is the same, byte for
byte. While the disk does not take a recording it waits; the journal holds what comes meanwhile.
"""

import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from appliance.assembling import journalneeds
from appliance.assembling.journalneeds import Needs
from appliance.assembling.quarantine import Quarantine
from appliance.assembling.wirereport import WireReport
from appliance.assembly import snapshot
from appliance.assembly.fold import Assembly
from appliance.assembly.isolation import cause_of
from appliance.assembly.publish import Publisher
from appliance.assembly.settings import AssemblySettings
from appliance.assembly.state import AssemblyState
from appliance.condition.board import Board
from appliance.condition.concerns import Concern
from appliance.custody.archivekeeping import ArchiveKeeping, KeepingSettings
from appliance.diagnosis.wire.placement import Sides
from appliance.errors import SnapshotError
from appliance.supervision import servicelog, servicenotify
from appliance.supervision.orphan import Parent
from capture import journalscan
from capture.journalfile import OFFSET_BITS
from capture.journalreader import JournalReader
from storage.archive import Archive
from storage.errors import ArchiveBusyError, StorageError, VolumeError, from_os_error
from storage.ledger.entries import MAX_ENTRY_BYTES
from storage.ledger.ledgerfile import ENTRIES
from storage.register import RegisterSettings
from storage.volume import volume
from storage.writer import ArchiveWriter

SNAPSHOT_S = 10.0
"""How often the state is kept: what a restart reads again."""
WAIT_S = 0.05
"""How often the journal is asked for news."""
SETTLE_S = 1.0
"""How often what was recorded is entered in the books."""
RETRY_S = 1.0
"""How often a disk that did not take something is tried again."""
LOCK_S = 30.0
"""How long a previous owner of the archive may take to end."""
SNAPSHOT_NAME = "assembly.snapshot"
_POSITION = struct.Struct("<Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleSettings:
    """Everything the daemon is told."""

    archive: Path
    """Directory of the archive, with the journal in it."""
    assembly: AssemblySettings
    find_settings: Callable[[str], AssemblySettings | None] = field(default=lambda _digest: None)
    """Looks up those of an earlier configuration by its digest; None when its text is not kept."""
    books: RegisterSettings | None = None
    """How ledger and index are kept; None: not at all."""
    keeping: KeepingSettings = field(default_factory=lambda: KeepingSettings(reserve_bytes=0))
    """What else is done with the archive."""
    sides: Sides = field(default_factory=Sides)
    """What tells the sides of the mirror apart."""
    volume_uuid: str = ""
    """File system that the archive has to lie on; any when empty."""
    supervisor: int = 0
    """Process that started this one; 0: whichever is the parent."""


class AssembleDaemon:
    """Follows the journal until it is stopped and has read it to its end."""

    def __init__(self, settings: AssembleSettings) -> None:
        self._archive = Archive(settings.archive)
        self._settings = settings
        self._stopping = False
        self._parent = Parent(settings.supervisor)
        self._keeping: ArchiveKeeping | None = None
        self._board = Board(self._archive.run, _tell)
        self._turned = -1
        """The last file of the journal that may hold what was erased."""
        self._log = b""
        self._erased = False
        """Calls were erased: state and journal are to forget them."""
        self._settled_s = 0.0
        self._told_s = 0.0
        self._snapshot = self._archive.spool / SNAPSHOT_NAME

    def stop(self) -> None:
        """Ask to end: everything that is in the journal is read first."""
        self._stopping = True

    def run(self) -> None:
        """Assemble until stopped.

        Raises:
            StorageError: the archive cannot be opened.
        """
        volume.require(self._archive.root, self._settings.volume_uuid)
        with self._owned() as writer:
            self._log = self._first_line()
            self._board.begin(writer.check_place)
            state, position = self._restore()
            quarantine = Quarantine(directory=self._archive.quarantine, spool=self._archive.spool, say=_tell)
            with quarantine, JournalReader(self._archive.journal, position) as reader:
                publisher = self._publisher(writer, reader)
                wire = self._wire_report(reader)
                assembly = Assembly(self._settings.assembly, publisher, reader.read_into, state, quarantine, wire)
                self._say_troubles(writer)
                self._board.poll()
                servicenotify.ready("assembling")
                servicenotify.watchdog()  # from now on: what hangs may be the first thing to come
                with self._kept(writer):
                    self._loop(reader, assembly, writer, quarantine, wire)
                self._keep(reader, assembly, writer)

    @contextmanager
    def _kept(self, writer: ArchiveWriter) -> Iterator[None]:
        """Take requests and keep the archive in order, if it can be; recording goes on in any case."""
        with ExitStack() as stack:
            if writer.register is not None and writer.register.ledger is not None:
                self._keeping = self._archive_keeping(stack, writer)
            yield
            self._keeping = None

    def _archive_keeping(self, stack: ExitStack, writer: ArchiveWriter) -> ArchiveKeeping | None:
        def erased() -> None:
            self._erased = True
            with suppress(StorageError):  # tried again within a second
                writer.sync()

        try:
            keeping = ArchiveKeeping(self._archive, writer, self._settings.keeping, self._board, erased)
        except (StorageError, OSError) as error:
            what = f"recording goes on, but nothing is erased and no request taken: {error}"
            self._board.say(Concern.RETENTION_FAILED, what, part="keeping")
            return None
        return stack.enter_context(keeping)

    def _wire_report(self, reader: JournalReader) -> WireReport:
        told = self._settings.assembly
        return WireReport(
            self._settings.sides, told.sip_ports, told.enterprises, reader.read_into, self._archive.run, _tell
        )

    def _publisher(self, writer: ArchiveWriter, reader: JournalReader) -> Publisher:
        settings = self._settings.assembly

        def secure() -> None:
            try:
                reader.secure()
            except OSError as error:
                writer.check_place()  # of a disk that went and came back, what is open here is the old one's
                raise from_os_error(error, "bring the journal to the disk") from error

        return Publisher(
            settings=settings,
            writer=writer,
            find_settings=self._find_settings,
            secure=secure,
            wait=self._wait_for_disk,
            progress=self._alive,
        )

    def _find_settings(self, digest: str) -> AssemblySettings | None:
        """Look up what an earlier configuration said; it is told when that cannot be known any more."""
        found = self._settings.find_settings(digest)
        if found is None:
            _tell(f"alarm: the configuration {digest[:16]} is not kept; the present one stands for it")
        return found

    @contextmanager
    def _owned(self) -> Iterator[ArchiveWriter]:
        """Own the archive; a previous owner may need a moment to end."""
        deadline = time.monotonic() + LOCK_S
        while True:
            with ExitStack() as stack:
                try:
                    writer = stack.enter_context(ArchiveWriter(self._archive, books=self._settings.books))
                except ArchiveBusyError:
                    if time.monotonic() > deadline or self._stopping:
                        raise
                else:
                    yield writer
                    return
            time.sleep(WAIT_S)

    def _restore(self) -> tuple[AssemblyState | None, int]:
        """Read where an earlier process was; without that the journal is read from its beginning."""
        try:
            kept = self._snapshot.read_bytes()
            position = _POSITION.unpack_from(kept)[0]
            if journalscan.is_beyond(self._archive.journal, position):
                raise SnapshotError("the journal it belongs to is gone")
            return snapshot.load(kept[_POSITION.size :]), position
        except FileNotFoundError:
            return None, 0
        except (OSError, SnapshotError, struct.error) as error:
            _tell(f"the snapshot cannot be used, the journal is read from its beginning: {error}")
            return None, 0

    def _loop(
        self,
        reader: JournalReader,
        assembly: Assembly,
        writer: ArchiveWriter,
        quarantine: Quarantine,
        wire: WireReport,
    ) -> None:
        kept = time.monotonic()
        while True:
            item = reader.next()
            for skipped in reader.skipped:
                what = "is gone" if skipped.bytes is None else f"cannot be read: {skipped.bytes} bytes"
                _tell(f"alarm: journal file {skipped.file} from {skipped.offset} on {what}")
                assembly.skip(forgotten=skipped.bytes is None)
            reader.skipped.clear()
            if item is None and (self._stopping or self._parent.gone_for_s()):
                return
            if item is None:
                wire.report(assembly.state)
                time.sleep(WAIT_S)
            elif quarantine.is_held_block(item[0], reader):
                assembly.leave_out(item[1])
            else:
                with quarantine.watching(item[0], reader):
                    assembly.step(item[1])
                self._board.say(Concern.DISK_REFUSES, "")
            self._alive()
            self._settle(writer)
            if self._keeping is not None:
                self._keeping.poll()
            if self._erased or time.monotonic() >= kept + SNAPSHOT_S:
                self._keep(reader, assembly, writer)
                kept = time.monotonic()

    def _say_troubles(self, writer: ArchiveWriter) -> None:
        """Say what of the books cannot be kept."""
        if (register := writer.register) is None:
            return
        self._board.say(Concern.LEDGER_FAULT, register.alarm, part="checkpoint")
        for name, concern, trouble in (
            ("ledger", Concern.LEDGER_FAULT, register.trouble),
            ("index", Concern.INDEX_FAULT, register.index_trouble),
        ):
            told = f"recording goes on, but nothing is entered in the {name}: {trouble}"
            self._board.say(concern, "" if trouble is None else told)

    def _settle(self, writer: ArchiveWriter) -> None:
        """Bring the books up to date, for everything of a second at once."""
        if time.monotonic() < self._settled_s + SETTLE_S:
            return
        if writer.has_news:
            try:
                writer.sync()
            except StorageError as error:  # another second, another try; nothing is lost meanwhile
                if self._is_back(error):
                    raise
                self._board.say(Concern.LEDGER_FAULT, f"ledger and index are not up to date: {error}", part="writing")
            else:
                self._board.say(Concern.LEDGER_FAULT, "", part="writing")
        self._settled_s = time.monotonic()

    def _keep(self, reader: JournalReader, assembly: Assembly, writer: ArchiveWriter) -> None:
        """Keep the state, then let the journal forget what only earlier states needed."""
        position = reader.position
        try:
            reader.sync()  # A power cut must not leave a state that knows of packets which the journal has lost.
            writer.sync()
            writer.replace(self._snapshot, _POSITION.pack(position) + snapshot.dump(assembly.state))
            # Once more: a power cut must not bring back a snapshot that needs what is forgotten.
            writer.sync()
            if self._erased:
                self._turned = position >> OFFSET_BITS
                self._erased = False
            journalneeds.write(self._archive.run, _needs(assembly, position, self._turned))
        except (StorageError, OSError) as error:
            if self._is_back(error):
                raise
            _tell(f"state not kept: {error}")
        except Exception as error:  # assembly itself may well go on; the journal holds what the state would
            _tell(f"alarm: state not kept: {cause_of(error)}")

    def _alive(self) -> None:
        """Something was done. Told from within a step too: a thousand calls may end in one."""
        if time.monotonic() >= self._told_s + 1:
            servicenotify.watchdog()
            self._board.poll()
            self._told_s = time.monotonic()

    def _wait_for_disk(self, error: StorageError) -> bool:
        """Wait until what failed is worth another try; False when there is no time left for it."""
        servicenotify.status(str(error))
        servicenotify.watchdog()
        self._board.say(Concern.DISK_REFUSES, f"a recording waits for the disk, and is tried again: {error}")
        if self._stopping or self._parent.gone_for_s() or self._is_back(error):
            return False
        again_s = time.monotonic() + RETRY_S
        if self._keeping is not None:
            self._keeping.refused(error)
        while time.monotonic() < again_s:
            self._alive()
            if self._keeping is None or not self._keeping.poll():
                time.sleep(WAIT_S)
        return True

    def _is_back(self, error: Exception) -> bool:
        """Whether the archive's disk, which was gone, is mounted anew: what is open here is of the old mount.

        The next process opens it; until then nothing is written, and nothing ever to a disk with another ledger.
        """
        return isinstance(error, VolumeError) and self._first_line() == self._log != b""

    def _first_line(self) -> bytes:
        """How the ledger begins: no two archives have that in common."""
        try:
            with (self._archive.ledger / ENTRIES).open("rb") as lines:
                return lines.readline(MAX_ENTRY_BYTES)
        except OSError:
            return b""


def main(settings: AssembleSettings) -> int:
    """Run the daemon in this process.

    Raises:
        StorageError: the archive cannot be opened.
    """
    daemon = AssembleDaemon(settings)

    def stop(_number: int, _frame: FrameType | None) -> None:
        daemon.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    daemon.run()
    servicenotify.stopping()
    return 0


def _needs(assembly: Assembly, position: int, turned: int) -> Needs:
    """What is needed of the journal when everything before a position was read."""
    oldest, wanted = assembly.oldest_needed(), assembly.oldest_wanted()
    return Needs(
        needed=position if oldest is None else min(oldest, position),
        wanted=position if wanted is None else min(wanted, position),
        turned=turned,
    )


def _tell(line: str, **fields: str) -> None:
    servicelog.say("rokubox-assemble", line, **fields)
