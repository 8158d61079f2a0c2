"""`rokubox-capture`: the mirror ports into the journal. Decodes nothing, opens no network.

    every `CYCLE_S`   ring blocks -> writer, then a tick: everything before it has been read
    every second      watchdog, counters, ports that are not open
    at once           SIGTERM, changes of the mirror ports

    its own thread    waits for the disk with
    writer            what was read; more is read when it is written
    upkeep            what may be forgotten, room, the configuration's text
    sync              fdatasync, once a second

The rings outlive this process: their sockets are kept by whoever started it (systemd's descriptor store, or `rokubox
record`), and the next process goes on at the oldest block that was not handed back.
"""

import contextlib
import dataclasses
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

from appliance import clocks
from appliance.assembling import setaside
from appliance.capturing.mirrorports import Detail, MirrorPorts
from appliance.capturing.settings import CaptureSettings
from appliance.capturing.telling import Teller
from appliance.capturing.upkeep import Found, Upkeep
from appliance.supervision import orphan, servicenotify
from appliance.supervision.orphan import Parent
from capture import journalend, kernelfilter
from capture.background import Background
from capture.bootline import BootLine, ReadClocks
from capture.discipline import Discipline
from capture.events import EventKind
from capture.intake import Intake
from capture.journal import Event
from capture.journalstore import JournalStore
from capture.journalsync import SyncThread
from capture.livejournal import LiveJournal

CYCLE_S = 0.5
"""How long packets are gathered before they are written: fewer, larger blocks are cheaper to read back."""
COUNT_S = 1.0
"""How often counters are read."""
SLOW_S = 2.0
"""A disk that takes longer for its answer is worth a word."""
LOOK_S = 0.1
"""How often the rings are looked at for that."""
SETTLED_NS = 250_000_000
"""After this long every packet is in a block that was handed over, or was dropped: block timeout and some."""
TAKE_OVER_S = 30.0
"""How long a previous owner of the journal may take to end."""
MISSING_NS = 1_000_000_000
"""The journal ends so long before what a ring still holds only when its end is gone: ticks come twice as often."""
MAX_EVENTS = 10_000
"""Events kept while the disk takes none; the oldest go."""


class CaptureDaemon:
    """The loop of the daemon, with everything it holds. It never waits for the disk: that is its threads' to do."""

    def __init__(
        self,
        settings: CaptureSettings,
        read_clocks: ReadClocks = clocks.read,
        read_discipline: Callable[[], Discipline] = clocks.clock_discipline,
    ) -> None:
        self._settings = settings
        self._line = BootLine(read_clocks)
        self._read_discipline = read_discipline
        self._last_ns = 0
        """Latest time in the journal before this process; 0: there is none."""
        self._teller = Teller("rokubox-capture")
        self._ports = MirrorPorts(
            settings.interfaces,
            kernelfilter.program(settings.sip_ports, tunnels=settings.tunnels),
            settings.ring.shared_among(len(settings.interfaces)),
            self._line,
            note=lambda detail: self._note(EventKind.INTERFACE, **detail),
            tell=self._teller.tell,
        )
        self._events: list[Event] = []
        self._stopping = False
        self._behind = False
        """Whether more is ready than was read last."""
        self._full: bool | None = None
        """Whether room is short; None until looked at: the first look is always told."""
        self._set_aside: frozenset[str] = frozenset()
        """What of the quarantine is told; all of it again after a start."""
        self._configured = False
        """Whether the configuration was told of."""
        self._count_s = time.monotonic()
        """When it is time to count again."""
        self._settled_s = time.monotonic()
        """When the disk had taken all that it was given."""
        self._status = "recording"
        """What was told last of the disk."""
        self._parent = Parent(settings.supervisor)

    def stop(self) -> None:
        """Ask the loop to end."""
        self._stopping = True

    def run(self, woken: socket.socket) -> None:
        """Record until stopped; `woken` is readable when a signal came.

        Raises:
            CaptureError: no port can be captured from, or another capture owns the journal.
        """
        try:
            left = journalend.read(self._settings.journal)
            self._line.go_on(left)
            self._last_ns = left.last_ns
            opened_ns = self._ports.begin()
            if orphan.is_daemon(self._settings.take_over, "capture"):
                # Our rings fill while it ends; what both of them saw, assembly takes once.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._settings.take_over, signal.SIGTERM)
            with JournalStore(self._settings.journal, wait_s=TAKE_OVER_S) as store, SyncThread(store) as sync:
                self._record(store, sync, woken, opened_ns)
        finally:
            self._ports.close()
            self._teller.close()

    def _record(self, store: JournalStore, sync: SyncThread, woken: socket.socket, opened_ns: int | None) -> None:
        journal = LiveJournal(self._ports.ports, Intake(self._settings.sip_ports), store, self._line)
        upkeep = Upkeep(self._settings, store, self._line)
        self._begin(journal, store, upkeep, opened_ns)
        servicenotify.ready(self._status)
        with Background[Found]("journal-upkeep") as beside:
            self._loop(journal, sync, upkeep, beside, woken)
        self._drain(journal)
        self._note(EventKind.STOP)
        journal.tell(self._take_events(journal))
        self._write_out(journal)
        journal.close()

    def _begin(self, journal: LiveJournal, store: JournalStore, upkeep: Upkeep, opened_ns: int | None) -> None:
        """Tell of the start: what is missing until now, nobody watched.

        Before anything that new rings hold, but behind what is left in rings that went on (`opened_ns` is None):
        assembly must not pass over it.
        """
        start_ns = self._line.now_ns() if opened_ns is None else opened_ns
        detail: Detail = {"continued": int(opened_ns is None), "at_ns": start_ns}
        detail |= {"waiting": self._ports.unread(), "room": self._ports.room()}
        mark = self._line.mark()  # from before there were rings
        detail |= {**mark.facts(), "since_ns": mark.at_ns, **self._read_discipline().facts()}
        read_ns = start_ns - SETTLED_NS if opened_ns is None else start_ns
        self._events.append(Event(ts_ns=read_ns, kind=EventKind.START, detail=detail))
        self._ports.tell_standing(min(self._last_ns or start_ns, start_ns) if opened_ns is None else start_ns)
        self._take_in(upkeep.go_round())
        if opened_ns is None:
            self._tell_missing(start_ns)
        if store.torn is not None:
            torn = store.torn
            self._note(EventKind.TORN_TAIL, file=torn.file, offset=torn.offset, bytes=torn.bytes)
            self._teller.tell(f"journal file {torn.file} ended within a block: {torn.bytes} bytes cut off")
        if opened_ns is not None:
            events = [dataclasses.replace(event, ts_ns=min(event.ts_ns, opened_ns)) for event in self._events]
            self._events.clear()
            journal.tell(events)
            self._ports.told()

    def _tell_missing(self, start_ns: int) -> None:
        """Tell what lies between the journal's end and rings that go on: it was written, and the disk has lost it."""
        waiting_ns = self._ports.waiting_since_ns()
        if waiting_ns is None or not self._last_ns:
            return
        until_ns = min(waiting_ns - self._line.mark().shift_ns, start_ns)
        if until_ns - self._last_ns > MISSING_NS:
            detail: Detail = {"since_ns": self._last_ns, "until_ns": until_ns}
            self._events.append(Event(ts_ns=self._last_ns, kind=EventKind.UNSYNCED, detail=detail))

    def _loop(
        self,
        journal: LiveJournal,
        sync: SyncThread,
        upkeep: Upkeep,
        beside: Background[Found],
        woken: socket.socket,
    ) -> None:
        second = time.monotonic()
        cycle = second - CYCLE_S  # rings that went on may be nearly full: they are read at once
        while not self._stopping:
            now_s = time.monotonic()
            cycle = min(
                max(cycle + CYCLE_S, now_s), now_s + CYCLE_S
            )  # a cycle that ended early does not lengthen the next
            self._wait(cycle, journal, woken)
            self._turn(journal)
            if time.monotonic() >= second:
                second = max(second + 1.0, time.monotonic())
                self._each_second(journal, sync, upkeep, beside)
            if self._parent.gone_for_s() > orphan.ORPHAN_S:
                self._stopping = True

    def _turn(self, journal: LiveJournal) -> None:
        """Read what is ready and give it to the disk, if that took what it got before."""
        if journal.settle():
            self._settled_s = time.monotonic()
            self._behind = journal.read()
            self._note(EventKind.TICK, **self._line.mark().facts(), **self._read_discipline().facts())
            self._count()
            journal.tell(self._take_events(journal))
            self._ports.told()
        if not journal.writing:
            journal.write()

    def _count(self) -> None:
        """Tell what was counted, once a second, and only when it can be written.

        The kernel forgets what it has told; what it has not it keeps, even if this process is killed.
        """
        now_s = time.monotonic()
        if now_s >= self._count_s:
            self._count_s = max(self._count_s + COUNT_S, now_s)
            for detail in self._ports.counted():
                self._note(EventKind.COUNTERS, **detail)

    def _wait(self, until_s: float, journal: LiveJournal, woken: socket.socket) -> None:
        """Wait for the cycle's end, a signal, much to read; ports that change are seen to meanwhile."""
        while not self._stopping and (left_s := until_s - time.monotonic()) > 0:
            with selectors.DefaultSelector() as selector:
                for fileno in (woken.fileno(), journal.fileno(), *self._ports.filenos()):
                    selector.register(fileno, selectors.EVENT_READ)
                ready = {key.fd for key, _ in selector.select(min(left_s, LOOK_S))}
            if woken.fileno() in ready:
                woken.recv(64)
                return
            if ready - {journal.fileno()}:
                self._ports.follow()
            # A block or two are always ready when many packets come: read at once they would make blocks of the journal
            # that hold a few packets of each flow, and cost assembly several times as much.
            if journal.settle() and self._ports.are_filling():
                return

    def _each_second(self, journal: LiveJournal, sync: SyncThread, upkeep: Upkeep, beside: Background[Found]) -> None:
        # This loop alone shows that capture works: a disk that stalls is none of its faults.
        if not self._parent.gone_for_s():  # what nobody reads would fill the queue, and keep out a ring to be stored
            servicenotify.watchdog()
        self._ports.look()
        self._tell_of_disk(journal)
        if sync.error is not None:
            self._teller.tell(str(sync.error))
            sync.error = None
        if beside.is_over():
            self._take_in(beside.take())
        if not beside.busy:
            beside.begin(upkeep.go_round)

    def _tell_of_disk(self, journal: LiveJournal) -> None:
        state = "recording"
        if journal.trouble is not None:
            state = f"the disk does not take the journal: {journal.trouble}"
        elif time.monotonic() - self._settled_s > SLOW_S:
            state = "the disk does not answer; what finds no room in the rings is lost"
        if state != self._status:
            self._status = state
            servicenotify.status(state)
            self._teller.tell(state)

    def _take_in(self, found: Found) -> None:
        """Tell what a round of the upkeep came to."""
        for trouble in found.troubles:
            self._teller.tell(trouble)
        if found.digest is not None and not self._configured:
            self._configured = True
            self._note(EventKind.CONFIGURATION, digest=found.digest)
        for name in sorted(found.quarantined - self._set_aside):
            self._note(EventKind.QUARANTINE, **setaside.facts(name))
        self._set_aside = found.quarantined
        full = found.free_bytes < self._settings.reserve_bytes
        if full != self._full:
            self._tell_room(found.free_bytes, full=full)
            self._full = full
            self._note(EventKind.STORAGE, full=int(full), free_bytes=found.free_bytes)

    def _tell_room(self, free_bytes: int, *, full: bool) -> None:
        if full:
            free, reserve = free_bytes >> 20, self._settings.reserve_bytes >> 20
            self._teller.tell(f"alarm: {free} MiB free, {reserve} are to stay free: new calls are not recorded")
        elif self._full:
            self._teller.tell("there is room again: new calls are recorded")

    def _drain(self, journal: LiveJournal) -> None:
        """Read what came until now: the kernel closes its blocks after their timeout."""
        self._write_out(journal)
        time.sleep(2 * self._settings.ring.timeout_ms / 1000)
        while journal.settle():
            behind = journal.read()
            self._write_out(journal)
            if not behind:
                return

    def _write_out(self, journal: LiveJournal) -> None:
        """Wait for the disk, as long as whoever wants us to end has patience; one that refuses is asked once more."""
        for _ in range(2):
            if not journal.writing:
                journal.write()
            while journal.writing:
                if journal.wait(LOOK_S):
                    journal.settle()
            if journal.settle():
                return

    def _note(self, kind: EventKind, **detail: str | int) -> None:
        # Behind everything that is read for certain: assembly must not pass over a packet that comes with the next
        # block.
        ts_ns = self._line.now_ns() - SETTLED_NS
        self._events.append(Event(ts_ns=ts_ns, kind=kind, detail=detail))
        del self._events[:-MAX_EVENTS]

    def _take_events(self, journal: LiveJournal) -> list[Event]:
        events, self._events = self._events, []
        if not self._behind:
            return events
        # There are packets that are older than now.
        read_ns = journal.last_ns - SETTLED_NS
        return [dataclasses.replace(event, ts_ns=min(event.ts_ns, read_ns)) for event in events]


def main(settings: CaptureSettings) -> int:
    """Run the daemon in this process.

    Raises:
        CaptureError: it cannot record.
    """
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
