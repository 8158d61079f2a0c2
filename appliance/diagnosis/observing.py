"""All probes, each in its own rhythm, and what they last said, as `Evidence`.

    probe                                   | how often
    ----------------------------------------+------------------------------------------
    links, counters, clock, memory, heat    | each time somebody asks
    gateway, VPN next hop, names, broker    | 15 s
    carrier endpoints                       | 60 s: it is their network
    room                                    | 5 s
    certificates, time servers              | 60 s
    the known call's result                 | 60 s; it is made once a day
    write, fsync, read back                 | 10 min
    disk health                             | 30 min

Probes that wait for an answer run in a few threads, never twice at a time; what takes too long is unknown meanwhile.
What they found counts for `KEPT` of their rhythms.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

from appliance.condition import observed
from appliance.config import Configuration
from appliance.diagnosis.endtoend import testcall
from appliance.diagnosis.evidence import Cause, Check, Evidence, Port, Role, State, Step, Window
from appliance.diagnosis.probes import disk, machine, names, neighbour, options, ports, services, sockets, wayout
from appliance.diagnosis.probes.ports import PortSampler
from appliance.diagnosis.probes.timekeeping import ClockWatch, ask_server
from appliance.diagnosis.probes.wayout import WayOut
from appliance.diagnosis.wire import wirefile
from appliance.version import software
from storage.archive import Archive

KEPT = 4
"""After so many of a probe's intervals without an answer nothing is known."""
WIRE_FRESH_NS = 20_000_000_000
"""What the mirror showed is too old then; reports come every few seconds."""
LISTEN_S = 2.0
LEAST_S = 5.0
"""Nothing is asked oftener, whatever fails."""
RETRY_S = 3600.0
"""A known call that cannot be made, because that is not permitted here, is not tried all the time."""
_THREADS = 4
_SOON_S, _OFTEN_S, _MINUTE_S = 5.0, 15.0, 60.0

_FAR = (Step.DNS, Step.BROKER, Step.UPLOAD, Step.CLOCK, Step.CARRIER)
_BEHIND = {Step.GATEWAY: (*_FAR, Step.VPN_NEXT_HOP), Step.VPN_NEXT_HOP: (Step.CARRIER,)}
"""What lies behind what."""
Probe = Callable[[WayOut], list[Check]]


@dataclass(slots=True, kw_only=True)
class _Timed:
    """A probe and what it said."""

    steps: tuple[Step, ...]
    ask: Probe
    every_s: float
    due_s: float = 0.0
    running: Future[list[Check]] | None = None
    asked_s: float = -1e9
    """When it was asked last, monotonic time."""
    asked_ns: int = 0
    """When it was asked last, real time."""
    said: list[Check] = field(default_factory=list)
    said_s: float = -1e9


class Watch:
    """Asks whatever is due, and tells what is known."""

    def __init__(
        self,
        configuration: Configuration,
        archive: Archive,
        interfaces: Iterable[str] = (),
        clock: ClockWatch | None = None,
        *,
        end_to_end: bool = False,
        scratch: Path | None = None,
    ) -> None:
        """`interfaces`: mirror ports; when there are none, those of the configuration and those that capture was told
        on its command line, as soon as assembly counts at them. `end_to_end`: the known call is put through the
        pipeline when its latest result is a day old; else that result is told. `scratch`: folder on the archive's disk
        for what is written as a test; the spool when None."""
        self._end_to_end = end_to_end
        self._test_call_s = 0.0
        """When it may be tried again."""
        self._configuration = configuration
        self._archive = archive
        self._scratch = archive.spool if scratch is None else scratch
        self._clock = clock or ClockWatch()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="probe")
        asked = tuple(interfaces)
        self._takes_all = not asked
        named = asked or tuple(span.interface for span in configuration.span if span.interface)
        self._spans = {name: PortSampler(name=name, role=Role.SPAN) for name in dict.fromkeys(named)}
        self._management: PortSampler | None = None
        self._way: WayOut | None = None
        self._way_s = 0.0
        declared = set(configuration.probe.not_observable)
        self._probes = [
            each for each in (*self._own_probes(), *self._way_probes()) if not declared.issuperset(each.steps)
        ]

    def close(self) -> None:
        """Let go of the threads; those that wait for an answer end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def observe(self, wait_s: float = 0.0) -> Evidence:
        """Ask what is due and return all that is known, after `wait_s` at the latest."""
        way = self._way_out()
        self._begin(way)
        running = [probe.running for probe in self._probes if probe.running is not None]
        wait(running, timeout=wait_s)
        self._collect()
        now_ns = time.time_ns()
        report = observed.read(self._archive.run, wirefile.NAME, wirefile.Report)
        fresh = report if report is not None and abs(now_ns - report.at_ns) < WIRE_FRESH_NS else None
        if self._takes_all and fresh is not None:
            for name in (port.name for port in fresh.ports if port.role is Role.SPAN):
                self._spans.setdefault(name, PortSampler(name=name, role=Role.SPAN))
        checks = [*self._now(way), *self._known()]
        asked = {check.step for check in checks}
        declared = self._configuration.probe.not_observable
        checks += [Check(step=step, state=State.NOT_OBSERVABLE) for step in declared if step not in asked]
        if fresh is None:
            checks.append(Check(step=Step.CAPTURE, state=State.NG, cause=Cause.NOT_RUNNING))
        return Evidence(
            at_ns=now_ns,
            software=software(),
            checks=tuple(self._declared(_dated(check, now_ns)) for check in checks),
            ports=tuple(self._ports(way, fresh.ports if fresh else ())),
            wire=fresh.wire if fresh else None,
        )

    def _way_out(self) -> WayOut:
        """The way out; it takes a few processes to find, and does not change every second."""
        now_s = time.monotonic()
        if self._way is None or now_s >= self._way_s + _SOON_S:
            self._way, self._way_s = wayout.find(self._configuration.management, self._configuration.probe), now_s
        return self._way

    def _begin(self, way: WayOut) -> None:
        now_s = time.monotonic()
        for probe in self._probes:
            if probe.running is None and now_s >= probe.due_s:
                probe.due_s, probe.asked_s = now_s + probe.every_s, now_s
                probe.asked_ns = time.time_ns()
                probe.running = self._pool.submit(probe.ask, way)

    def _collect(self) -> None:
        for probe in self._probes:
            if probe.running is None or not probe.running.done():
                continue
            error = probe.running.exception()
            found = [Check(step=step, state=State.UNKNOWN, cause=Cause.UNREADABLE) for step in probe.steps]
            asked = probe.running.result() if error is None else found
            probe.said = [_within(check, probe.asked_ns, time.time_ns()) for check in asked]
            probe.said_s, probe.running = time.monotonic(), None
            if any(check.state is State.NG for check in probe.said):
                self._look_nearer(probe)

    def _look_nearer(self, failed: _Timed) -> None:
        """What lies on the way to something that fails is asked at once: it may be that."""
        for probe in self._probes:
            if failed.steps[0] in _BEHIND.get(probe.steps[0], ()) and probe.asked_ns < failed.asked_ns:
                probe.due_s = min(probe.due_s, probe.asked_s + LEAST_S)

    def _known(self) -> list[Check]:
        now_s = time.monotonic()
        known = [probe for probe in self._probes if now_s - probe.said_s <= KEPT * probe.every_s]
        return [check for probe in known for check in probe.said]

    def _now(self, way: WayOut) -> list[Check]:
        """What is known at once."""
        missing = (ports.span_exists(name) for name in self._spans)
        return [
            machine.power(),
            machine.memory(),
            machine.temperature(),
            self._clock.look(),
            ports.management_link(way.interface),
            *(check for check in missing if check is not None),
        ]

    def _own_probes(self) -> list[_Timed]:
        storage, mqtt = self._configuration.storage, self._configuration.mqtt
        archive, scratch = self._archive, self._scratch
        return [
            _Timed(steps=(Step.SMART,), ask=lambda _: [disk.health(archive)], every_s=1800.0),
            _Timed(
                steps=(Step.FILESYSTEM,),
                ask=lambda _: [disk.room(archive, storage.reserve_bytes, storage.volume_uuid)],
                every_s=_SOON_S,
            ),
            _Timed(steps=(Step.PIPELINE,), ask=lambda _: [self._test_call()], every_s=_MINUTE_S),
            _Timed(steps=(Step.DISK_WRITE,), ask=lambda _: [disk.write(scratch)], every_s=600.0),
            _Timed(
                steps=(Step.CERTIFICATES,),
                ask=lambda _: services.own_certificates((mqtt.certificate_file, mqtt.ca_file)),
                every_s=_MINUTE_S,
            ),
        ]

    def _test_call(self) -> Check:
        now_s = time.monotonic()
        if self._end_to_end and testcall.is_due(self._archive) and now_s >= self._test_call_s:
            self._test_call_s = now_s + RETRY_S
            check = testcall.run(self._archive, self._scratch)
            if check.state is not State.UNKNOWN:
                return check
        return testcall.latest(self._archive)

    def _way_probes(self) -> list[_Timed]:
        run, names_of = self._archive.run, tuple(target.name for target in self._configuration.target)
        management, probe, mqtt = self._configuration.management, self._configuration.probe, self._configuration.mqtt
        timed = [
            _Timed(steps=(Step.GATEWAY,), ask=_gateway, every_s=_OFTEN_S),
            _Timed(steps=(Step.BROKER,), ask=lambda way: [services.broker(mqtt, way)], every_s=_OFTEN_S),
            _Timed(
                steps=(Step.DNS,),
                ask=lambda way: _names(names.servers(management.dns), probe.dns_name, way),
                every_s=_OFTEN_S,
            ),
            _Timed(steps=(Step.UPLOAD,), ask=lambda _: services.targets(run, names_of), every_s=_OFTEN_S),
        ]
        if management.ntp:
            timed.append(_Timed(steps=(Step.CLOCK,), ask=lambda way: _time(management.ntp, way), every_s=_MINUTE_S))
        next_hop = probe.vpn_next_hop
        if next_hop:
            timed.append(
                _Timed(
                    steps=(Step.VPN_NEXT_HOP,),
                    ask=lambda way: [neighbour.look_for(Step.VPN_NEXT_HOP, next_hop, way)],
                    every_s=_OFTEN_S,
                )
            )
        else:
            timed.append(
                _Timed(
                    steps=(Step.VPN_NEXT_HOP,), ask=lambda _: [_not_configured(Step.VPN_NEXT_HOP)], every_s=_MINUTE_S
                )
            )
        timed.append(
            _Timed(
                steps=(Step.CARRIER,),
                ask=lambda way: [options.ask(each, way) for each in probe.carrier] or [_not_configured(Step.CARRIER)],
                every_s=_MINUTE_S,
            )
        )
        return timed

    def _declared(self, check: Check) -> Check:
        """What this box is declared not to observe is no doubt, whatever was seen of it."""
        if check.step not in self._configuration.probe.not_observable:
            return check
        return replace(check, state=State.NOT_OBSERVABLE)

    def _ports(self, way: WayOut, counted: Iterable[Port]) -> list[Port]:
        """Mirror ports with what capture counted at them, and the management port."""
        if way.interface and (self._management is None or self._management.name != way.interface):
            self._management = PortSampler(name=way.interface, role=Role.MANAGEMENT)
        by_capture = {port.name: port for port in counted}
        found = []
        for sampler in (*self._spans.values(), *filter(None, (self._management,))):
            sampler.sample()
            port = sampler.port()
            told = by_capture.get(port.name) if port.role is Role.SPAN else None
            if told is not None:
                port = replace(
                    port,
                    silent_s=told.silent_s,
                    no_unicast_s=told.no_unicast_s,
                    usual_silence_s=told.usual_silence_s,
                    usual_no_unicast_s=told.usual_no_unicast_s,
                    group=told.group,
                    kernel_drops=told.kernel_drops,
                    nic_drops=told.nic_drops,
                )
            found.append(port)
        return found


def _gateway(way: WayOut) -> list[Check]:
    if not way.gateway:
        return [Check(step=Step.GATEWAY, state=State.NG, cause=Cause.NO_ROUTE, target=way.interface)]
    check = neighbour.look_for(Step.GATEWAY, way.gateway, way)
    if check.state is State.NG:  # the mirror's cable may be in the management port: what else comes there?
        sockets.listen_to_all(way.interface, LISTEN_S)
    return [check]


def _names(servers: tuple[str, ...], name: str, way: WayOut) -> list[Check]:
    if not servers:
        return [_not_configured(Step.DNS)]
    return [names.ask(server, name, way) for server in servers]


def _time(servers: tuple[str, ...], way: WayOut) -> list[Check]:
    """The time servers: one that answers will do."""
    answers = [figure for server in servers if (figure := ask_server(server, way)) is not None]
    if not answers:
        return [Check(step=Step.CLOCK, state=State.NG, cause=Cause.TIMEOUT, target=", ".join(servers))]
    return [Check(step=Step.CLOCK, state=State.OK, figures=tuple(answers[:1]))]


def _not_configured(step: Step) -> Check:
    return Check(step=step, state=State.NOT_OBSERVABLE, cause=Cause.NOT_CONFIGURED)


def _dated(check: Check, now_ns: int) -> Check:
    return check if check.window.end_ns else replace(check, window=Window(begin_ns=now_ns, end_ns=now_ns))


def _within(check: Check, begin_ns: int, end_ns: int) -> Check:
    return check if check.window.end_ns else replace(check, window=Window(begin_ns=begin_ns, end_ns=end_ns))
