"""`rokubox-capture`: the mirror ports into the journal. Decodes nothing, opens no network, waits for the disk alone.

    every `CYCLE_S`   ring blocks -> journal, then a tick: everything before it has been read
    every second      counters, state of the ports, what may be forgotten, room on the disk
    at once           SIGTERM, changes of the mirror ports
    its own thread    fdatasync, once a second

The rings outlive this process: their sockets are kept by whoever started it (systemd's descriptor store, or `rokubox
record`), and the next process goes on at the oldest block that was not handed back.
"""

import contextlib
import ctypes
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from appliance import clocks, configtexts, journalneeds, orphan, servicenotify, setaside
from appliance.orphan import Parent
from capture import kernelfilter
from capture.bootline import BootLine, ReadClocks
from capture.errors import CaptureError, JournalWriteError, RingError
from capture.events import Counted, EventKind
from capture.intake import Intake
from capture.journal import Event
from capture.journalstore import JournalStore
from capture.journalsync import SyncThread
from capture.linkstate import LinkEvent, LinkEventKind
from capture.linkwatch import LinkWatch
from capture.livejournal import LiveJournal
from capture.mirrorport import MirrorPort
from capture.ring import RingSettings

NS = 1_000_000_000
CYCLE_S = 0.5
"""How long packets are gathered before they are written: fewer, larger blocks are cheaper to read back."""
EARLY_BLOCKS = 32
"""Ring blocks that are not left waiting for the cycle's end."""
LOOK_S = 0.1
"""How often the rings are looked at for that."""
SETTLED_NS = 250_000_000
"""After this long every packet is in a block that was handed over, or was dropped: block timeout and some."""
ORPHAN_S = 60.0
"""How long recording goes on for a supervisor that is gone; a new one takes over in this time."""
TAKE_OVER_S = 30.0
"""How long a previous owner of the journal may take to end."""
MAX_EVENTS = 10_000
"""Events kept while the disk takes none; the oldest go."""
PRIORITY = 20
"""`SCHED_FIFO`: above everything that can wait, below the kernel's own threads."""
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_RING_NAME = "ring-"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSettings:
    """Everything capture is told."""

    interfaces: tuple[str, ...]
    """Names of the mirror ports."""
    journal: Path
    """Directory of the journal."""
    run: Path
    """Where assembly says what it needs."""
    volume: Path
    """The archive, whose free room is watched."""
    sip_ports: frozenset[int]
    tunnels: frozenset[str] = frozenset()
    ring: RingSettings = field(default_factory=RingSettings)
    journal_bytes: int = 64 << 30
    """Beyond, the oldest is forgotten even if it is needed."""
    journal_max_age_s: float = 24 * 3600.0
    """Likewise of files that were written last so long ago."""
    reserve_bytes: int = 1 << 30
    """Free room below which no new call is begun."""
    configuration: bytes | None = None
    """Text of the configuration that all this was read from; None without one."""
    quarantine: Path | None = None
    """Where assembly puts what it cannot get past."""
    take_over: int = 0
    """Process that records without a supervisor, asked to end once our rings are open; 0 for none."""
    supervisor: int = 0
    """Process that started this one; 0: whichever is the parent."""


class CaptureDaemon:
    """The loop of the daemon, with everything it holds."""

    def __init__(self, settings: CaptureSettings, read_clocks: ReadClocks = clocks.read) -> None:
        self._settings = settings
        program = kernelfilter.program(settings.sip_ports, tunnels=settings.tunnels)
        self._ports = [
            MirrorPort(number, name, program, settings.ring) for number, name in enumerate(settings.interfaces)
        ]
        self._served_by = {name: name for name in settings.interfaces}
        """The name that each port's interface has now."""
        self._watch = LinkWatch(settings.interfaces)
        self._events: list[Event] = []
        self._stopping = False
        self._set_aside: set[str] = set()
        """What of the quarantine is told; all of it again after a start."""
        self._full: bool | None = None
        """Whether room is short; None until looked at: the first look is always told."""
        self._configuration_told = False
        self._parent = Parent(settings.supervisor)
        self._line = BootLine(read_clocks)

    def stop(self) -> None:
        """Ask the loop to end."""
        self._stopping = True

    def run(self, woken: socket.socket) -> None:
        """Record until stopped; `woken` is readable when a signal came.

        Raises:
            CaptureError: no port can be captured from, or another capture owns the journal.
        """
        continued = self._open_ports()
        opened_ns = self._line.now_ns()
        if orphan.is_daemon(self._settings.take_over, "capture"):
            # Our rings fill while it ends; what both of them saw, assembly takes once.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._settings.take_over, signal.SIGTERM)
        with JournalStore(self._settings.journal, wait_s=TAKE_OVER_S) as store, SyncThread(store) as sync:
            journal = LiveJournal(self._ports, Intake(self._settings.sip_ports), store, self._line)
            # Before anything that new rings hold: what is missing until now, nobody watched. But behind what is left in
            # rings that went on: assembly must not pass over it.
            start = Event(ts_ns=opened_ns, kind=EventKind.START, detail={"continued": int(continued)})
            if continued:
                self._events.append(start)
            else:
                journal.tell([start])
            self._tell_configuration(opened_ns)
            if not continued:
                journal.tell(self._take_events())
            if store.torn is not None:
                torn = store.torn
                self._note(EventKind.TORN_TAIL, file=torn.file, offset=torn.offset, bytes=torn.bytes)
                _tell(f"journal file {torn.file} ended within a block: {torn.bytes} bytes cut off")
            servicenotify.ready("recording")
            self._loop(journal, store, sync, woken)
            self._drain(journal)
            self._note(EventKind.STOP)
            journal.tell(self._take_events())
        for port in self._ports:
            port.close()
        self._watch.close()

    def _open_ports(self) -> bool:
        """Take over or open every port; True when all rings outlived their last owner."""
        stored = servicenotify.stored()
        continued = True
        failures: list[str] = []
        present = self._watch.read()
        self._follow(present, opening=False)
        up = {event.interface for event in present if event.kind is LinkEventKind.UP}
        for port in self._ports:
            if port.name not in up:
                self._note_port(port, change="down", up=0)
        for port in self._ports:
            kept = stored.pop(f"{_RING_NAME}{port.name}", None)
            try:
                if kept is not None:
                    port.adopt(kept)
                    continue
            except RingError as error:
                _tell(str(error))
            continued = False
            failures += self._open(port)
        for fileno in stored.values():
            os.close(fileno)
        if failures and all(port.ring is None for port in self._ports):
            raise RingError("\n".join(failures))
        for failure in failures:
            _tell(failure)
        return continued

    def _open(self, port: MirrorPort) -> list[str]:
        """Open a port's ring and have it kept; return what is wrong."""
        try:
            port.open(self._served_by[port.name])
        except CaptureError as error:
            return [str(error)]
        assert port.ring is not None
        servicenotify.forget(f"{_RING_NAME}{port.name}")
        servicenotify.store(f"{_RING_NAME}{port.name}", port.ring.fileno())
        return []

    def _loop(self, journal: LiveJournal, store: JournalStore, sync: SyncThread, woken: socket.socket) -> None:
        cycle = second = time.monotonic()
        while not self._stopping:
            now_s = time.monotonic()
            cycle = min(
                max(cycle + CYCLE_S, now_s), now_s + CYCLE_S
            )  # a cycle that ended early does not lengthen the next
            self._wait(cycle, woken)
            while journal.step():
                pass
            if journal.trouble is not None:
                servicenotify.status(f"the disk does not take the journal: {journal.trouble}")
            else:
                self._note(EventKind.TICK, boot_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME))
            if time.monotonic() >= second:
                second = max(second + 1.0, time.monotonic())
                self._each_second(store, sync)
            if journal.trouble is None:
                journal.tell(self._take_events())
            if self._parent.gone_for_s() > ORPHAN_S:
                self._stopping = True

    def _wait(self, until_s: float, woken: socket.socket) -> None:
        """Wait for the cycle's end, a signal, much to read; ports that change are seen to meanwhile."""
        while not self._stopping and (left_s := until_s - time.monotonic()) > 0:
            with selectors.DefaultSelector() as selector:
                for fileno in (woken.fileno(), *self._watch.filenos()):
                    selector.register(fileno, selectors.EVENT_READ)
                ready = {key.fd for key, _ in selector.select(min(left_s, LOOK_S))}
            if woken.fileno() in ready:
                woken.recv(64)
                return
            if ready:
                self._follow(self._watch.read(), opening=True)
            if sum(port.ready() for port in self._ports) >= EARLY_BLOCKS:
                return

    def _follow(self, events: Sequence[LinkEvent], *, opening: bool) -> None:
        """See to mirror ports that changed."""
        for event in events:
            port = next(port for port in self._ports if port.name == event.interface)
            self._served_by[port.name] = event.name
            facts: dict[str, str | int] = {"change": event.kind.value}
            match event.kind:
                case LinkEventKind.UP:
                    facts["up"] = 1
                case LinkEventKind.DOWN | LinkEventKind.REMOVED:
                    facts["up"] = 0
                case LinkEventKind.ADDED if opening:
                    self._reopen(port)
            if opening:
                self._note_port(port, **facts)

    def _note_port(self, port: MirrorPort, **facts: str | int) -> None:
        name, at_ns = self._served_by[port.name], self._line.now_ns()
        self._note(EventKind.INTERFACE, interface=port.number, name=name, at_ns=at_ns, **facts)

    def _reopen(self, port: MirrorPort) -> None:
        """Give a port that is back a new ring; what the old one still holds is read first by the cycle before."""
        for failure in self._open(port):
            _tell(failure)

    def _each_second(self, store: JournalStore, sync: SyncThread) -> None:
        servicenotify.watchdog()
        for port in self._ports:
            if port.ring is None:
                self._reopen(port)
            counted = port.counted(self._served_by[port.name])
            self._note(EventKind.COUNTERS, interface=port.number, at_ns=self._line.now_ns(), **counted)
            if counted[Counted.SENT]:
                _tell(f"{port.name}: {counted[Counted.SENT]} frames were sent by a mirror port")
        if not self._configuration_told:
            self._tell_configuration(self._line.now_ns() - SETTLED_NS)
        self._forget(store)
        if sync.error is not None:
            _tell(str(sync.error))
            sync.error = None
        self._tell_quarantine()
        free = _free_bytes(self._settings.volume)
        full = free < self._settings.reserve_bytes
        if full != self._full:
            self._full = full
            self._note(EventKind.STORAGE, full=int(full), free_bytes=free)

    def _tell_configuration(self, at_ns: int) -> None:
        """Say which configuration is in force once its text is kept: who reads the one looks for the other."""
        text = self._settings.configuration
        try:
            digest = "" if text is None else configtexts.keep(self._settings.journal, text)
        except JournalWriteError as error:
            _tell(str(error))  # a full disk must not keep capture from making room; tried again each second
            return
        self._configuration_told = True
        self._events.append(Event(ts_ns=at_ns, kind=EventKind.CONFIGURATION, detail={"digest": digest}))

    def _tell_quarantine(self) -> None:
        found = set() if self._settings.quarantine is None else set(setaside.names(self._settings.quarantine))
        for name in sorted(found - self._set_aside):
            self._note(EventKind.QUARANTINE, **setaside.facts(name))
        self._set_aside = found

    def _forget(self, store: JournalStore) -> None:
        """Drop what assembly is done with, and beyond the journal's bounds whatever is oldest."""
        settings = self._settings
        try:
            store.forget_before(journalneeds.read(settings.run))
            oldest_ns = self._line.now_ns() - int(settings.journal_max_age_s * NS)
            while store.bytes_held > settings.journal_bytes or any(
                file.last_ns < oldest_ns for file in store.files()[:-1]
            ):
                if store.forget_oldest() is None:
                    break
        except JournalWriteError as error:
            _tell(str(error))

    def _drain(self, journal: LiveJournal) -> None:
        """Read what came until now: the kernel closes its blocks after their timeout."""
        time.sleep(2 * self._settings.ring.timeout_ms / 1000)
        while journal.step():
            pass

    def _note(self, kind: EventKind, **detail: str | int) -> None:
        # Behind everything that is read for certain: assembly must not pass over a packet that comes with the next
        # block.
        ts_ns = self._line.now_ns() - SETTLED_NS
        self._events.append(Event(ts_ns=ts_ns, kind=kind, detail=detail))
        del self._events[:-MAX_EVENTS]

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def main(settings: CaptureSettings) -> int:
    """Run the daemon in this process.

    Raises:
        CaptureError: it cannot record.
    """
    _take_precedence()
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    daemon = CaptureDaemon(settings)

    def stop(_number: int, _frame: FrameType | None) -> None:
        daemon.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    daemon.run(reader)
    servicenotify.stopping()
    return 0


def _take_precedence() -> None:
    """Run before everything else and stay in memory, as far as this process is permitted."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    # On fault: locking what libraries only reserve would cost a hundred megabytes.
    ctypes.CDLL(None).mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)


def _free_bytes(volume: Path) -> int:
    try:
        status = os.statvfs(volume)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize


def _tell(line: str) -> None:
    with contextlib.suppress(OSError):  # whoever reads it may be gone, its disk full
        print(f"rokubox-capture: {line}", file=sys.stderr, flush=True)
