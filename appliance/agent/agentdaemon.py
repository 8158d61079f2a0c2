"""`rokubox-agent`: looks, decides, tells. One loop; what the disk or the network may hold up has threads of its own.

    every turn        orders, requests of the NOC, what was seen, alarms that are due, the outbox to the disk
    every 2 s         a look at everything (`lookout`, its own thread)
    every interval    `health`

    its own threads   looking; the connection to the broker (`link`)

Alarms, the messages that tell of them and the place in the ledger are one transaction: killed at any instant it goes on
where it was, and tells of everything once.
"""

import fcntl
import os
import selectors
import signal
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from appliance import clocks
from appliance.agent import agentstatus, alarmbook, calltail, notifiable, updatewatch
from appliance.agent.agentsocket import AgentSocket
from appliance.agent.alarmbook import AlarmBook
from appliance.agent.daysums import DaySums
from appliance.agent.herald import Herald
from appliance.agent.judge import SOURCES, Judge, JudgeSettings
from appliance.agent.lookout import Lookout, Seen
from appliance.agent.orders import REPORTED_SOURCE, TEST_SOURCE, Order, Orders, Outcome
from appliance.agent.reports import Identity, Reports
from appliance.agent.selftestrun import SelfTest, SelfTestRun, SelfTestUnit
from appliance.agent.updatewatch import UpdateWatch
from appliance.alarms.alarm import Alarm, AlarmKey, AlarmState, Condition, Fact
from appliance.alarms.kind import AlarmName
from appliance.alarms.rules import box as box_rules
from appliance.alarms.rules.calls import Place
from appliance.alarms.settings import AlarmSettings
from appliance.assembly.isolation import cause_of
from appliance.capturing.telling import Teller
from appliance.condition import observed
from appliance.diagnosis.evidence import Evidence
from appliance.diagnosis.settings import ProbeSettings
from appliance.errors import AlreadyRunningError, StateFileError
from appliance.firmware.asking import UpdateDesk
from appliance.firmware.updatestatus import State
from appliance.outages.book import OutageBook
from appliance.supervision import servicenotify
from appliance.supervision.orphan import Parent
from appliance.supervision.signalqueue import SignalQueue
from appliance.telemetry import homeassistant, statefile
from appliance.telemetry.link import DELAYS_S, BrokerLink, LinkState
from appliance.telemetry.messages import CommandRequest, EventName
from appliance.telemetry.outbox import Outbox
from appliance.telemetry.session import Answer, Request
from appliance.telemetry.settings import MqttSettings
from appliance.telemetry.statefile import StateFile
from appliance.telemetry.topics import BoxTopics
from capture.background import Background
from capture.bootline import ClockReading
from storage.archive import Archive
from storage.timestamps import local_time
from storage.volume import volume
from uploader.settings import TargetSettings

TURN_S = 0.5
LOOK_S = 2.0
STATUS_S = 4.0
"""How often the status page is told, at most."""
SAVE_S = 2.0
"""How long what is no alarm may wait to be brought to the disk, which recordings need more."""
MAX_TOPIC = 256
"""Characters of a response topic."""
UPDATE_LOOK_S = 2.0
_PLACE, _DAY, _RUNNING, _NOTIFIED, _UPDATE = "ledger place", "day", "running", "notified", "update"
_FIRMWARE = AlarmKey(resource="firmware", name=AlarmName.UPDATE_FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Everything the agent is told."""

    archive: Path
    identity: Identity
    places: Mapping[str, Place]
    """Contracted lines by number."""
    alarms: AlarmSettings
    mqtt: MqttSettings
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    targets: tuple[TargetSettings, ...] = ()
    volume_uuid: str = ""
    observe: Callable[[], Evidence] | None = None
    """Asks the probes of the diagnosis; None: there are none."""
    selftest: tuple[str, ...] = ()
    """Command that runs a self-test; empty: none can be asked for."""
    errands: Path | None = None
    """Folder in which the service manager is asked for it; None: the agent runs it itself."""
    updates: UpdateDesk | None = None
    """Where updates are asked for; None: this machine does not run the appliance's image."""
    supervisor: int = 0
    delays_s: tuple[float, ...] = DELAYS_S
    """Pauses between connections."""


class AgentDaemon:
    """The loop, with everything it holds."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._archive = Archive(settings.archive)
        self._directory = settings.archive / statefile.DIRECTORY
        self._state = StateFile(self._directory, partial(volume.require, settings.archive, settings.volume_uuid))
        self._outbox = Outbox(self._state, max_bytes=settings.mqtt.outbox_max_bytes, confirmed=alarmbook.confirmed)
        self._book = AlarmBook(self._state)
        identity, mqtt = settings.identity, settings.mqtt
        self._topics = BoxTopics.of(identity.customer, identity.site, identity.serial)
        reports = Reports(identity, settings.places, numbers=mqtt.numbers)
        self._herald = Herald(reports, self._topics, self._outbox, has_broker=bool(mqtt.host))
        self._table = self._book.table(clocks.read())
        judging = JudgeSettings(
            alarms=settings.alarms,
            places=settings.places,
            call_summaries=mqtt.call_summaries,
        )
        self._judge = Judge(
            judging,
            self._table,
            self._herald,
            place=calltail.load(self._noted(_PLACE)),
            day=_day(self._noted(_DAY)),
        )
        self._selftest: SelfTest = (
            SelfTestRun(settings.selftest) if settings.errands is None else SelfTestUnit(settings.errands)
        )
        errands = {Order.HEALTH: self._hurry, Order.ALARMS: self._tell_standing}
        if settings.selftest:
            errands[Order.SELFTEST] = self._selftest.begin
        updates = settings.updates
        self._orders = Orders(
            table=self._table,
            noted=self._acknowledged,
            errands=errands,
            update=None if updates is None else updates.ask,
        )
        self._update = None if updates is None else UpdateWatch(updates.folder, self._noted(_UPDATE))
        self._lookout = Lookout(
            self._archive,
            mqtt,
            records=bool(identity.mirror_ports),
            next_hop=settings.probe.vpn_next_hop,
            observe=settings.observe,
        )
        self._link: BrokerLink | None = None
        self._teller = Teller("rokubox-agent")
        self._notified = notifiable.load(self._noted(_NOTIFIED))
        self._look_s = self._health_s = self._page_s = self._update_s = time.monotonic()
        """When the next one is due."""
        self._trouble = ""
        """Why the last look failed."""
        self._began_s = 0.0
        """When the last look began."""
        self._saved_s = 0.0
        """When something was brought to the disk last."""
        self._kept = ""
        """What was written of the notes last."""
        self._running = identity.boot_id

    def run(self) -> None:
        """Watch until stopped.

        Raises:
            AlreadyRunningError: another agent watches this archive.
        """
        with ExitStack() as stack:
            stack.callback(self._teller.close)
            stack.enter_context(self._state)
            stack.callback(_unlock, _locked(self._directory))
            stack.callback(self._selftest.close)
            signals = stack.enter_context(SignalQueue((signal.SIGTERM, signal.SIGINT)))
            looking = stack.enter_context(Background[Seen]("looking"))
            selector = stack.enter_context(selectors.DefaultSelector())
            selector.register(signals, selectors.EVENT_READ)
            selector.register(looking, selectors.EVENT_READ)
            asked = self._listen(stack)
            if asked is not None:
                selector.register(asked, selectors.EVENT_READ)
            self._begin()
            stack.callback(self._disconnect)
            self._connect()
            servicenotify.ready("watching")
            servicenotify.watchdog()
            self._loop(selector, signals, looking, asked)
            servicenotify.stopping()
            self._end()

    def _loop(
        self,
        selector: selectors.BaseSelector,
        signals: SignalQueue,
        looking: Background[Seen],
        asked: AgentSocket | None,
    ) -> None:
        parent = Parent(self._settings.supervisor)
        while not (self._settings.supervisor and parent.gone_for_s()):
            ready = [key.fileobj for key, _ in selector.select(TURN_S)]
            if signals in ready and signals.read():
                return
            now = clocks.read()
            self._judge.take_clock(now)
            self._look(looking, now)
            if asked is not None:
                asked.serve(self._ordered)
            self._turn(now)
            servicenotify.watchdog()

    def _look(self, looking: Background[Seen], now: ClockReading) -> None:
        """Take in what a look brought, and begin another when that is due."""
        now_s = time.monotonic()
        if looking.is_over():
            self._take_in(looking, now)
            self._look_s = now_s if self._judge.has_more_to_read else self._began_s + LOOK_S
        if not looking.busy and now_s >= self._look_s:
            self._began_s = now_s
            looking.begin(partial(self._lookout.look, self._judge.place))
        self._judge.take_own(now_s - self._began_s if looking.busy else 0.0, self._trouble, now)

    def _take_in(self, looking: Background[Seen], now: ClockReading) -> None:
        """What a look brought. One that failed is an alarm: the rest of the agent goes on."""
        try:
            seen = looking.take()
        except Exception as error:
            self._trouble = cause_of(error)
            return
        self._trouble = ""
        self._judge.take_in(seen, now)
        self._watch_notifiable(now)
        self._tell_page(now)

    def _tell_page(self, now: ClockReading) -> None:
        """What there is to say to whoever stands before the box."""
        if time.monotonic() < self._page_s:
            return
        self._page_s = time.monotonic() + STATUS_S
        today = local_time(now.real_ns, self._settings.identity.zone).date().isoformat()
        observed.write(self._directory, agentstatus.NAME, self._judge.status(now.real_ns, today))

    def _turn(self, now: ClockReading) -> None:
        """What is due, and all of it to the disk."""
        link = LinkState() if self._link is None else self._link.state
        self._judge.take_link(link, self._outbox.state, now)
        if self._link is not None:
            self._take_from_noc(self._link, now)
        tested = self._selftest.ended()
        if tested is not None:
            self._herald.test_result(now.real_ns, "selftest", tested)
        self._watch_update(now, is_told=link.is_connected)
        self._table.observe(TEST_SOURCE, self._orders.test_conditions(now), now)
        self._table.observe(REPORTED_SOURCE, self._orders.reported.values(), now)
        self._table.advance(now)
        self._tell_changes()
        if time.monotonic() >= self._health_s:
            self._health_s = time.monotonic() + self._settings.identity.interval_s
            today = local_time(now.real_ns, self._settings.identity.zone).date().isoformat()
            self._herald.health(now.real_ns, self._judge.health(self._outbox.state, today))
        self._save()

    def _watch_update(self, now: ClockReading, *, is_told: bool) -> None:
        """How an update stands: an event, an alarm when it came to nothing, and the restart in the outage ledger."""
        if self._update is None or time.monotonic() < self._update_s:
            return
        self._update_s = time.monotonic() + UPDATE_LOOK_S
        status = self._update.look()
        if status is None:
            return
        self._herald.event(now.real_ns, EventName.UPDATE, updatewatch.facts(status))
        if updatewatch.is_amiss(status):
            self._orders.reported[_FIRMWARE] = Condition(key=_FIRMWARE, facts=updatewatch.facts(status))
        elif status.state is not State.REFUSED:  # what nobody has to be called for changes nothing
            self._orders.reported.pop(_FIRMWARE, None)
        with suppress(OSError):  # it is in the journal of events all the same
            OutageBook(self._archive).add(updatewatch.outage(status, is_told=is_told))

    def _take_from_noc(self, link: BrokerLink, now: ClockReading) -> None:
        """Requests; and alarms that are kept there and do not stand here, as when this disk was replaced."""
        for request in link.take_requests():
            self._answer(link, request, now)
        standing = {alarm.key.id for alarm in self._table.raised}
        for id in link.take_retained():
            if id not in standing:
                self._herald.forget(id)

    def _begin(self) -> None:
        now = clocks.read()
        self._table.keep_sources((*SOURCES, TEST_SOURCE, REPORTED_SOURCE), now)
        if self._noted(_RUNNING) == now.boot_id:
            key = AlarmKey(resource="service:agent", name=AlarmName.SERVICE_RESTARTED)
            self._table.happened(box_rules.SERVICES, Condition(key=key), now)
        self._watch_notifiable(now)
        self._herald.event(now.real_ns, EventName.AGENT_STARTED, {"software": self._settings.identity.software})
        if self._settings.mqtt.home_assistant:
            self._herald.announce(*self._announcement())
        self._tell_standing()
        self._tell_changes()
        self._save(now=True)

    def _announcement(self) -> tuple[str, bytes]:
        identity, prefix = self._settings.identity, self._settings.mqtt.home_assistant_prefix
        return homeassistant.announcement(
            self._topics, prefix=prefix, software=identity.software, hardware=identity.hardware
        )

    def _end(self) -> None:
        """The last words, before the connection is closed in good order."""
        self._running = ""
        self._herald.event(clocks.read().real_ns, EventName.AGENT_STOPPED)
        self._save(now=True)

    def _connect(self) -> None:
        settings = self._settings
        if settings.mqtt.host:
            said = self._herald.said()
            self._link = BrokerLink(settings.mqtt, self._topics, self._outbox, said, delays_s=settings.delays_s)
            self._link.start()

    def _disconnect(self) -> None:
        if self._link is not None:
            self._link.stop()

    def _listen(self, stack: ExitStack) -> AgentSocket | None:
        try:
            return stack.enter_context(AgentSocket(self._directory))
        except OSError as error:
            self._teller.tell(f"alarm: no orders are taken: {self._directory}: {error.strerror}")
            return None

    def _answer(self, link: BrokerLink, request: Request, now: ClockReading) -> None:
        """Do what the NOC asks, if the configuration allows it, and say what came of it."""
        by, outcome = self._requested(request)
        facts: dict[str, Fact] = {"command": request.command[:64], "by": by, "done": not outcome.problem}
        self._herald.event(now.real_ns, EventName.COMMAND, facts)
        topic = request.response_topic
        if _is_topic(topic):
            payload = self._herald.answer(now.real_ns, request.command, outcome.problem, outcome.facts)
            link.answer(Answer(request=request, payload=payload))

    def _requested(self, request: Request) -> tuple[str, Outcome]:
        try:
            asked = msgspec.json.decode(request.payload, type=CommandRequest)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return "noc", Outcome(problem=f"not a rokubox.command/1: {str(error)[:200]}")
        by = f"noc: {asked.by}"
        if request.command not in self._settings.mqtt.commands:
            return by, Outcome(problem=f"{request.command!r} is not among [mqtt] commands")
        return by, self._ordered(request.command, asked.arguments, by)

    def _ordered(self, order: str, arguments: Mapping[str, Fact], by: str) -> Outcome:
        outcome = self._orders.carry_out(order, arguments, by, clocks.read())
        self._tell_changes()
        return outcome

    def _acknowledged(self, alarm: Alarm) -> None:
        """What has to be notified has been, when its alarm is acknowledged."""
        current = self._notifiable()
        if alarm.source == box_rules.CHANGES and alarm.key.resource in current:
            self._notified[alarm.key.resource] = current[alarm.key.resource]
            self._watch_notifiable(clocks.read())

    def _notifiable(self) -> dict[str, str]:
        return notifiable.values(self._settings.probe, self._settings.targets, self._judge.router)

    def _watch_notifiable(self, now: ClockReading) -> None:
        """What is another one than was notified is an alarm until somebody acknowledges it; what is new is noted."""
        current = self._notifiable()
        self._notified = {**current, **self._notified}
        self._table.observe(box_rules.CHANGES, box_rules.changed(self._notified, current), now)

    def _hurry(self) -> None:
        self._health_s = time.monotonic()
        self._herald.info(clocks.read().real_ns)

    def _tell_standing(self) -> None:
        self._herald.standing(self._table.raised)

    def _tell_changes(self) -> None:
        changes = self._table.take_changes()
        self._book.note(changes)
        for alarm in changes:
            self._herald.changed(alarm)
            told = "cleared" if alarm.state is AlarmState.CLEARED else str(alarm.severity)
            qualifier = f" ({alarm.key.qualifier})" if alarm.key.qualifier else ""
            self._teller.tell(f"alarm {told}: {alarm.key.name}{qualifier}: {alarm.key.resource}")

    def _save(self, *, now: bool = False) -> None:
        """Bring everything to the disk that is not there yet: alarms at once, the rest in a moment or `now`."""
        notes = self._notes()
        shelved = sorted((key.id, one.until_ns) for key, one in self._table.shelved.items())
        kept = msgspec.json.encode([notes, shelved]).decode()
        has_news = self._herald.has_news or kept != self._kept
        is_due = now or self._book.has_news or time.monotonic() >= self._saved_s + SAVE_S
        if not (is_due and (has_news or self._book.has_news)):
            return
        self._saved_s = time.monotonic()

        def write(connection: sqlite3.Connection) -> None:
            self._book.write(connection, self._table)
            connection.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?)", list(notes.items()))

        if self._outbox.save(write):
            self._book.written()
            self._herald.has_news, self._kept = False, kept

    def _notes(self) -> dict[str, str]:
        place, day = self._judge.place, self._judge.day
        return {
            _PLACE: "" if place is None else calltail.dump(place),
            _DAY: msgspec.json.encode(day).decode(),
            _RUNNING: self._running,
            _NOTIFIED: notifiable.dump(self._notified),
            _UPDATE: "" if self._update is None else self._update.told,
        }

    def _noted(self, name: str) -> str:
        try:
            return self._state.note(name)
        except StateFileError:
            return ""


def main(settings: AgentSettings) -> int:
    """Run the daemon in this process.

    Raises:
        AlreadyRunningError: another agent watches this archive.
    """
    AgentDaemon(settings).run()
    return 0


def _day(text: str) -> DaySums:
    try:
        return msgspec.json.decode(text, type=DaySums)
    except msgspec.MsgspecError:
        return DaySums()


def _is_topic(topic: str) -> bool:
    """Whether something can be published there that is not the broker's own."""
    return 0 < len(topic) <= MAX_TOPIC and not set(topic) & set("+#\0") and not topic.startswith("$")


def _locked(directory: Path) -> int:
    """Hold the agent's lock on the archive; -1 when the disk is not there to hold one."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise AlreadyRunningError(f"{directory}: another rokubox-agent watches this archive") from None
        return descriptor
    return -1


def _unlock(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)
