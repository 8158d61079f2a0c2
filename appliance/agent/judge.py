"""What was seen, through the rules, into the table of alarms; and what of it `health` tells."""

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.agent import agentstatus, calltail, machine
from appliance.agent.agentstatus import AgentStatus, VerdictSeen
from appliance.agent.daysums import DaySums
from appliance.agent.herald import Herald
from appliance.agent.lookout import Seen
from appliance.agent.reports import HealthSeen, disk_health
from appliance.agent.selftestseen import SelfTestSeen
from appliance.alarms.alarm import AlarmKey, Condition, Fact
from appliance.alarms.kind import AlarmName
from appliance.alarms.rules import archive as archive_rules
from appliance.alarms.rules import box as box_rules
from appliance.alarms.rules import calls as call_rules
from appliance.alarms.rules import delivery as delivery_rules
from appliance.alarms.rules import diagnosis as diagnosis_rules
from appliance.alarms.rules.calls import Completeness, Place
from appliance.alarms.settings import AlarmSettings
from appliance.alarms.table import AlarmTable
from appliance.diagnosis import verdict as diagnosis
from appliance.diagnosis.domains import Domain, exit_code
from appliance.diagnosis.evidence import Evidence, Port, Role, State, Step
from appliance.telemetry.link import LinkState
from appliance.telemetry.messages import EventName, SelfTestOutcome, SelfTestStep, ServiceHealth
from appliance.telemetry.outbox import OutboxState
from capture.bootline import LEAST_STEP_NS, ClockReading

HELD_UP_S = 60.0
"""A look that takes longer: the archive's disk hangs."""
VERDICT_NS = 30_000_000_000
"""How often another verdict is an event at most."""
_TRIED = (State.OK, State.NG)
_LOOKING, _TABLE, _SENDS, _BLIND = "looking", "table", "sends", "blind"
SOURCES = (
    archive_rules.SOURCE,
    call_rules.SOURCE,
    call_rules.SILENCE,
    delivery_rules.SOURCE,
    diagnosis_rules.SOURCE,
    box_rules.SERVICES,
    box_rules.CLOCK,
    box_rules.CERTIFICATES,
    box_rules.BROKER,
    box_rules.CHANGES,
    box_rules.BACKLOG,
    _LOOKING,
    _TABLE,
    _SENDS,
    _BLIND,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSettings:
    """What is good enough, and where."""

    alarms: AlarmSettings
    places: Mapping[str, Place]
    """Contracted lines by number."""
    call_summaries: bool


class Judge:
    """Holds the latest of everything, and says what of it is wrong."""

    def __init__(
        self, settings: JudgeSettings, table: AlarmTable, herald: Herald, *, place: calltail.Place | None, day: DaySums
    ) -> None:
        """`place` and `day` are those of an earlier process."""
        self._settings = settings
        self._table = table
        self._herald = herald
        self._completeness = Completeness(settings.alarms)
        self._seen: Seen | None = None
        self._ports: tuple[Port, ...] = ()
        self._sent: dict[str, int] = {}
        """Frames that mirror ports had sent by the last look."""
        self._pids: dict[str, int] = {}
        self._restarts: dict[str, int] = {}
        self._clock: ClockReading | None = None
        self._rows = ""
        """What the last verdict that was told recognised."""
        self._told_ns = -VERDICT_NS
        self._verdict: VerdictSeen | None = None
        self._end_to_end_ns = 0
        self._renewals = 0
        self._dropped = 0
        """Messages dropped as of the last `health`."""
        self.place = place
        """How far the ledger was read; None: not yet."""
        self.day = day

    @property
    def router(self) -> str:
        """MAC address of the VPN router, as far as it was seen."""
        return "" if self._seen is None else self._seen.router

    @property
    def has_more_to_read(self) -> bool:
        """The last look did not reach the ledger's end."""
        return self._seen is not None and self._seen.news is not None and self._seen.news.more

    def take_in(self, seen: Seen, now: ClockReading) -> None:
        """What a look brought."""
        self._seen = seen
        condition = seen.condition
        if condition is not None and not archive_rules.is_stale(condition, now.real_ns):
            found = archive_rules.conditions(condition) + archive_rules.quarantine(seen.quarantined)
            self._table.observe(archive_rules.SOURCE, found, now)
        self._take_services(seen, now)
        self._table.observe(box_rules.CLOCK, box_rules.clock(seen.clock_synchronised), now)
        if seen.news is not None:
            self._take_news(seen.news, now)
        self._table.observe(call_rules.SOURCE, self._completeness.conditions(now.boot_ns), now)
        if seen.levels is not None:
            self._table.observe(call_rules.SILENCE, call_rules.silence(seen.levels.silent), now)
        self._table.observe(box_rules.BACKLOG, box_rules.backlog(seen.services, seen.caught_up_ns, now.real_ns), now)
        self._take_evidence(seen.evidence, now)
        if seen.uploads is not None and now.real_ns - seen.uploads.at_ns <= archive_rules.STALE_NS:
            self._table.observe(delivery_rules.SOURCE, delivery_rules.conditions(seen.uploads), now)
        self._herald.checkpoint(now.real_ns, seen.checkpoint)

    def take_clock(self, now: ClockReading) -> None:
        """Whether the clock was set since the last time."""
        before, self._clock = self._clock or now, now
        step_ns = (now.real_ns - now.boot_ns) - (before.real_ns - before.boot_ns)
        if abs(step_ns) > LEAST_STEP_NS:
            self._table.happened(box_rules.CLOCK, box_rules.stepped(step_ns), now)
            self._herald.event(now.real_ns, EventName.CLOCK_STEPPED, {"step_ms": round(step_ns / 1e6)})

    def take_link(self, link: LinkState, outbox: OutboxState, now: ClockReading) -> None:
        """How it is with the connection to the broker, and with its certificates."""
        if link.renewals > self._renewals:
            self._herald.event(now.real_ns, EventName.CERTIFICATES_RENEWED)
        self._renewals = link.renewals
        self._table.observe(box_rules.BROKER, box_rules.broker(link.failure, outbox, self._dropped), now)
        seen = list(self._seen.certificates) if self._seen is not None else []
        if link.files:
            seen.append(box_rules.CertificateSeen(purpose="mqtt, dropped", days_left=None, problem=link.files))
        self._table.observe(box_rules.CERTIFICATES, box_rules.certificates(seen), now)

    def take_own(self, looking_s: float, trouble: str, now: ClockReading) -> None:
        """How the agent itself does: how long it has been looking, why it cannot look, whether it keeps all alarms."""
        blind = Condition(
            key=AlarmKey(resource="service:agent, looking", name=AlarmName.SERVICE_DOWN), facts={"what": trouble}
        )
        self._table.observe(_BLIND, [blind] if trouble else [], now)
        hangs = Condition(key=AlarmKey(resource="archive disk: hangs", name=AlarmName.VOLUME_MISSING))
        self._table.observe(_LOOKING, [hangs] if looking_s > HELD_UP_S else [], now)
        full = Condition(key=AlarmKey(resource="box", name=AlarmName.ALARM_TABLE_FULL))
        self._table.observe(_TABLE, [full] if self._table.refused else [], now)
        self._table.refused = 0

    def health(self, outbox: OutboxState, today: str) -> HealthSeen:
        """What there is to say of the box; `today` is the local date."""
        seen, self.day, self._dropped = self._seen, self.day.on(today), outbox.dropped
        condition = None if seen is None else seen.condition
        figures = None if condition is None else condition.figures
        return HealthSeen(
            machine=machine.look() if seen is None else seen.machine,
            services=[] if seen is None else [self._service(service) for service in seen.services],
            ports=self._ports,
            day=self.day,
            in_progress=None if seen is None or seen.levels is None else seen.levels.calls,
            condition=condition,
            free_bytes=None if seen is None else seen.free_bytes,
            total_bytes=None if seen is None else seen.total_bytes,
            clock_synchronised=None if seen is None else seen.clock_synchronised,
            ledger_entries=None if figures is None else figures.ledger_entries,
            alarms=self._table.raised,
            alarm_sequence=self._table.sequence,
            outbox=outbox,
            uploads=None if seen is None else seen.uploads,
        )

    def status(self, now_ns: int, today: str) -> AgentStatus:
        """What there is to say to whoever stands before the box; `today` is the local date."""
        seen = self._seen
        return AgentStatus(
            at_ns=now_ns,
            services=() if seen is None else tuple(self._service(service) for service in seen.services),
            calls=self.day.on(today).health(None if seen is None or seen.levels is None else seen.levels.calls),
            disk=disk_health(None, None, None)
            if seen is None
            else disk_health(seen.condition, seen.free_bytes, seen.total_bytes),
            clock_synchronised=None if seen is None else seen.clock_synchronised,
            mirrors=tuple(agentstatus.mirror_seen(port) for port in self._ports),
            verdict=self._verdict,
        )

    def _take_services(self, seen: Seen, now: ClockReading) -> None:
        for service in seen.services:
            again = box_rules.restarted(service, self._pids.get(service.name, 0))
            if again is not None:
                self._restarts[service.name] = self._restarts.get(service.name, 0) + 1
                self._table.happened(box_rules.SERVICES, again, now)
            if service.pid:
                self._pids[service.name] = service.pid
        self._table.observe(box_rules.SERVICES, box_rules.services(seen.services), now)

    def _service(self, service: box_rules.ServiceSeen) -> ServiceHealth:
        return ServiceHealth(name=service.name, running=service.pid > 0, restarts=self._restarts.get(service.name, 0))

    def _take_news(self, news: calltail.News, now: ClockReading) -> None:
        for record in news.calls:
            self._completeness.add(now.boot_ns, record)
            self.day = self.day.add(record)
            for condition in call_rules.occurrences(record, self._settings.places):
                self._table.happened(call_rules.SOURCE, condition, now)
            if self._settings.call_summaries:
                self._herald.call(now.real_ns, record)
        if news.configurations:
            self._herald.event(now.real_ns, EventName.CONFIGURATION_CHANGED)
        self.place = news.place

    def _take_evidence(self, evidence: Evidence | None, now: ClockReading) -> None:
        """The verdict on what the probes and the mirror say; of nothing there is none."""
        if evidence is None:
            self._ports, self._verdict = (), None
            return
        self._ports = tuple(port for port in evidence.ports if port.role is Role.SPAN)
        self._take_sent(now)
        found = diagnosis.verdict(evidence)
        self._verdict = agentstatus.verdict_seen(found)
        conditions = diagnosis_rules.ports(self._ports) + diagnosis_rules.conditions(found.findings)
        self._table.observe(diagnosis_rules.SOURCE, conditions, now)
        rows = " ".join(sorted(finding.row for finding in found.findings))
        if rows != self._rows and now.boot_ns >= self._told_ns + VERDICT_NS:
            facts: dict[str, Fact] = {
                "domains": " or ".join(found.domains),
                "rows": rows[:500],
                "exit_code": found.exit_code,
            }
            self._herald.event(now.real_ns, EventName.VERDICT, facts)
            self._rows, self._told_ns = rows, now.boot_ns
        self._take_end_to_end(evidence, now)

    def _take_sent(self, now: ClockReading) -> None:
        """A mirror port never sends."""
        for port in self._ports:
            if port.sent is not None:
                more = port.sent - self._sent.get(port.name, port.sent)
                self._sent[port.name] = port.sent
                if more > 0:
                    self._table.happened(_SENDS, box_rules.sends(port.name, more), now, times=more)

    def _take_end_to_end(self, evidence: Evidence, now: ClockReading) -> None:
        """Publish the end-to-end test's result when it is another one."""
        tried = [check for check in evidence.checks if check.step is Step.PIPELINE and check.state in _TRIED]
        if not tried or tried[0].window.end_ns == self._end_to_end_ns:
            return
        check, self._end_to_end_ns = tried[0], tried[0].window.end_ns
        step = SelfTestStep(step=check.step, state=check.state, cause=check.cause)
        failed = check.state is State.NG
        seen = SelfTestSeen(
            outcome=SelfTestOutcome.FAILED if failed else SelfTestOutcome.PASSED,
            exit_code=exit_code([Domain.APPLIANCE]) if failed else 0,
            domains=(Domain.APPLIANCE,) if failed else (),
            steps=(step,),
        )
        self._herald.test_result(now.real_ns, "end_to_end", seen)
