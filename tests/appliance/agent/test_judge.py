"""What was seen, into alarms and messages; no process, no broker."""

import dataclasses
import json

import pytest

from appliance.agent.daysums import DaySums
from appliance.agent.herald import Herald
from appliance.agent.judge import Judge, JudgeSettings
from appliance.agent.lookout import Seen
from appliance.agent.machine import MachineSeen
from appliance.agent.reports import Reports
from appliance.alarms.rules.box import ServiceSeen
from appliance.alarms.settings import AlarmSettings
from appliance.alarms.table import NS, AlarmTable
from appliance.diagnosis.evidence import Check, Evidence, Port, Role, State, Step, Window
from appliance.telemetry.failure import ConnectReason, Failure
from appliance.telemetry.link import LinkState
from appliance.telemetry.outbox import Outbox
from appliance.telemetry.statefile import StateFile
from appliance.telemetry.topics import BoxTopics
from capture.bootline import ClockReading
from tests.appliance.agent.test_reports import IDENTITY, sent

SEEN = Seen(
    condition=None,
    services=(),
    quarantined=0,
    free_bytes=1,
    total_bytes=2,
    clock_synchronised=True,
    machine=MachineSeen(uptime_s=1, memory_available_bytes=None, load_1min=None, temperature_c=None),
    certificates=(),
    checkpoint=b"",
    news=None,
    uploads=None,
    levels=None,
    caught_up_ns=0,
    router="",
    evidence=None,
)


def at(seconds, ahead_s=0.0):
    return ClockReading(round((1_790_000_000 + seconds + ahead_s) * NS), round(seconds * NS), "boot")


class Bench:
    """A judge with everything it needs."""

    def __init__(self, folder):
        self.state = StateFile(folder)
        self.outbox = Outbox(self.state)
        topics = BoxTopics.of("A", "B", "C")
        self.herald = Herald(Reports(IDENTITY, {}, numbers=False), topics, self.outbox, has_broker=True)
        self.table = AlarmTable(now=at(0))
        settings = JudgeSettings(alarms=AlarmSettings(), places={}, call_summaries=True)
        self.judge = Judge(settings, self.table, self.herald, place=None, day=DaySums())

    def changes(self):
        return [(one.key.name.value, one.key.resource, one.state.value) for one in self.table.take_changes()]

    def messages(self, end):
        self.outbox.save()
        waiting = self.outbox.pending(100)
        return [sent(lambda _id, one=one: one.payload) for one in waiting if one.topic.endswith(end)]


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path / "agent")
    yield made
    made.state.close()


def services(pid):
    return dataclasses.replace(SEEN, services=(ServiceSeen(name="capture", pid=pid, expected=True),))


def test_a_service_that_comes_back_was_restarted_one_that_does_not_is_down(bench):
    bench.judge.take_in(services(7), at(0))
    bench.judge.take_in(services(8), at(5))
    assert bench.changes() == [("service_restarted", "service:capture", "raised")]
    bench.judge.take_in(services(0), at(10))
    bench.judge.take_in(services(0), at(41))
    assert bench.changes() == [("service_down", "service:capture", "raised")]
    bench.judge.take_in(services(9), at(42))
    assert [(one.name, one.running, one.restarts) for one in bench.judge.health(bench.outbox.state, "").services] == [
        ("capture", True, 2)
    ]


def test_a_step_of_the_clock_is_an_alarm_and_an_event(bench):
    for seconds, ahead_s in ((0, 0), (1, 0.05), (2, 60.05), (3, 60.05)):
        bench.judge.take_clock(at(seconds, ahead_s))
    assert bench.changes() == [("clock_stepped", "clock", "raised")]
    [event] = bench.messages("event/clock_stepped")
    assert event["facts"] == {"step_ms": 60_000}


def test_each_reason_without_broker_is_told_here(bench):
    down = LinkState(failure=Failure(reason=ConnectReason.SERVER_NAME))
    bench.judge.take_link(down, bench.outbox.state, at(0))
    bench.judge.take_link(down, bench.outbox.state, at(30))
    bench.judge.take_link(LinkState(failure=Failure(reason=ConnectReason.REFUSED)), bench.outbox.state, at(31))
    bench.judge.take_link(LinkState(failure=Failure(reason=ConnectReason.REFUSED)), bench.outbox.state, at(61))
    assert bench.changes() == [
        ("broker_unreachable", "broker", "raised"),
        ("broker_unreachable", "broker", "cleared"),
        ("broker_unreachable", "broker", "raised"),
    ]


def test_a_certificate_that_was_dropped_without_its_key_is_an_alarm(bench):
    bench.judge.take_link(LinkState(files="box.key: the key does not belong to box.pem"), bench.outbox.state, at(0))
    bench.judge.take_link(LinkState(renewals=1), bench.outbox.state, at(1))
    assert bench.changes() == [
        ("certificate_expiry", "certificate:mqtt, dropped", "raised"),
        ("certificate_expiry", "certificate:mqtt, dropped", "cleared"),
    ]
    assert bench.messages("event/certificates_renewed")


def test_a_disk_that_gives_no_answer_is_told(bench):
    bench.judge.take_own(61.0, "", at(0))
    bench.judge.take_own(62.0, "", at(5))
    assert bench.changes() == [("volume_missing", "archive disk: hangs", "raised")]
    bench.judge.take_own(0.0, "", at(6))
    bench.table.advance(at(16))
    assert bench.changes() == [("volume_missing", "archive disk: hangs", "cleared")]


def test_a_verdict_is_alarms_and_an_event_and_the_end_to_end_test_has_its_result(bench):
    window = Window(begin_ns=0, end_ns=60 * NS)
    pipeline = Check(step=Step.PIPELINE, state=State.OK, window=window)
    evidence = Evidence(
        at_ns=0,
        software="rokubox",
        checks=(pipeline,),
        ports=(
            Port(name="eth1", role=Role.SPAN, link_up=True, silent_s=60.0, window=window),
            Port(name="eth0", role=Role.MANAGEMENT, link_up=True),
        ),
    )
    for seconds in (0, 30, 61):
        bench.judge.take_in(dataclasses.replace(SEEN, evidence=evidence), at(seconds))
    assert bench.changes() == [("no_frames", "span:eth1", "raised")]
    [event] = bench.messages("event/verdict")
    assert event["facts"] == {"domains": "mirror", "rows": "no_frames", "exit_code": 21}
    [result] = bench.messages("test/result")
    assert (result["test"], result["outcome"], result["steps"][0]["step"]) == ("end_to_end", "passed", "pipeline")
    assert [port.name for port in bench.judge.health(bench.outbox.state, "").ports] == ["eth1"]
    assert json.dumps(event)


def test_a_mirror_port_that_sends_is_told_with_how_many_frames(bench):
    for seconds, frames in ((0, 7), (2, 7), (4, 12), (6, 3), (8, 4)):
        port = Port(name="eth1", role=Role.SPAN, link_up=True, sent=frames)
        evidence = Evidence(at_ns=0, software="rokubox", ports=(port,))
        bench.judge.take_in(dataclasses.replace(SEEN, evidence=evidence), at(seconds))
    [raised] = bench.table.raised
    assert (raised.key.name, raised.key.resource, raised.count, raised.facts) == (
        "mirror_port_sends",
        "span:eth1",
        5,
        {"frames": 5},
    )


def test_assembly_that_does_not_come_to_the_journals_end_is_behind(bench):
    running = ServiceSeen(name="assemble", pid=7, expected=True)
    for seconds in (0, 60, 61, 121):
        seen = dataclasses.replace(SEEN, services=(running,), caught_up_ns=at(0).real_ns)
        bench.judge.take_in(seen, at(seconds))
    assert bench.changes() == [("journal_backlog", "service:assemble", "raised")]
    gone = dataclasses.replace(SEEN, services=(dataclasses.replace(running, pid=0),), caught_up_ns=at(0).real_ns)
    bench.judge.take_in(gone, at(130))
    bench.table.advance(at(190))
    assert ("journal_backlog", "service:assemble", "cleared") in bench.changes()


def test_an_agent_that_cannot_look_says_so(bench):
    bench.judge.take_own(0.0, "PermissionError at lookout.py:7", at(0))
    bench.judge.take_own(0.0, "PermissionError at lookout.py:7", at(30))
    assert bench.changes() == [("service_down", "service:agent, looking", "raised")]


def test_the_status_page_is_told_what_is_known(bench):
    now = at(1)
    window = Window(begin_ns=now.real_ns - 10 * NS, end_ns=now.real_ns)
    port = Port(name="span0", role=Role.SPAN, link_up=False, received=500, window=window)
    bench.judge.take_in(
        dataclasses.replace(services(0), evidence=Evidence(at_ns=now.real_ns, software="rokubox", ports=(port,))), now
    )
    told = bench.judge.status(now.real_ns, "2026-09-21")
    assert [(service.name, service.running) for service in told.services] == [("capture", False)]
    assert [(one.name, one.up, one.frames_per_s) for one in told.mirrors] == [("span0", False, 50.0)]
    assert told.verdict is not None
    assert "span_link_down" in [finding.row for finding in told.verdict.findings]
    assert (told.disk.free_bytes, told.calls.recorded) == (1, 0)
    bench.judge.take_in(SEEN, now)
    assert bench.judge.status(now.real_ns, "2026-09-21").verdict is None
