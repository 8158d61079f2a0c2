"""From what is known to what is wrong."""

import dataclasses

import pytest

from appliance.alarms.alarm import AlarmKey
from appliance.alarms.catalogue import catalogue
from appliance.alarms.kind import AlarmName, Severity
from appliance.alarms.rules import archive, box, calls, diagnosis
from appliance.alarms.rules.box import CertificateSeen, ServiceSeen
from appliance.alarms.rules.calls import Completeness, Place
from appliance.alarms.settings import AlarmSettings
from appliance.condition.concerns import Concern
from appliance.condition.record import Condition as ArchiveCondition
from appliance.condition.record import Standing
from appliance.diagnosis.domains import Domain
from appliance.diagnosis.evidence import Point, Port, Role, Step
from appliance.diagnosis.findings import Basis, Confidence, Fact, Finding, Row
from appliance.diagnosis.wire.levels import SilentChannel
from appliance.telemetry.failure import ConnectReason, Failure
from appliance.telemetry.outbox import OutboxState
from capture.sipcall import Side
from storage.vocabulary import Outcome, Reason
from tests.storage.samples import call_record

NS = 1_000_000_000
QUIET = OutboxState(messages=0, size_bytes=0, dropped=0, is_saved=True)


def named(conditions):
    return [(one.key.name.value, one.key.resource, one.key.qualifier) for one in conditions]


def fits_the_catalogue(condition):
    kind = catalogue()[condition.key.name]
    known = condition.key.qualifier in (kind.qualifiers or ("",))
    isolated = condition.key.name is AlarmName.FAULT_ISOLATED and condition.key.qualifier in set(Row)
    return (known or isolated) and condition.severity in (None, kind.severity, *kind.severities)


@pytest.mark.parametrize("concern", Concern)
@pytest.mark.parametrize("part", ["", "scrub"])
def test_every_concern_about_the_archive_is_an_alarm(concern, part):
    seen = ArchiveCondition(
        at_ns=0, concerns=(Standing(concern=concern, part=part, what="in words", since_ns=0),), figures=None
    )
    [condition] = archive.conditions(seen)
    assert fits_the_catalogue(condition)
    assert condition.facts == {"what": "in words"}


@pytest.mark.parametrize(
    ("concern", "name"),
    [
        (Concern.DISK_LATENCY, AlarmName.DISK_LATENCY),
        (Concern.DISK_HEALTH, AlarmName.DISK_HEALTH),
        (Concern.DAYS_UNTIL_FULL, AlarmName.DAYS_UNTIL_FULL),
        (Concern.SCRUB_FAILED, AlarmName.UPKEEP_FAILED),
    ],
)
def test_which_alarm_a_concern_is(concern, name):
    standing = Standing(concern=concern, part="", what="in words", since_ns=0)
    [condition] = archive.conditions(ArchiveCondition(at_ns=0, concerns=(standing,), figures=None))
    assert condition.key.name is name


def test_what_was_set_aside_is_an_alarm_as_long_as_it_lies_there():
    [condition] = archive.quarantine(2)
    assert (condition.key.name, condition.facts) == (AlarmName.SET_ASIDE, {"files": 2})
    assert fits_the_catalogue(condition)
    assert archive.quarantine(0) == []


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (Row.TOO_HOT, AlarmName.TEMPERATURE),
        (Row.PIPELINE_FAILED, AlarmName.SELF_TEST_FAILED),
        (Row.DOUBLED, AlarmName.DOUBLED_MIRROR),
    ],
)
def test_which_alarm_a_row_is(row, name):
    assert [condition.key.name for condition in diagnosis.conditions([finding(row, "eth1")])] == [name]


def test_an_old_account_of_the_archive_says_nothing():
    seen = ArchiveCondition(at_ns=0, concerns=(), figures=None)
    assert not archive.is_stale(seen, 100 * NS)
    assert archive.is_stale(seen, 200 * NS)


def finding(row, *subjects, step=None):
    facts = tuple(Fact(name="frames", count=0, of=7, point=Point.SPAN, subject=subject) for subject in subjects)
    return Finding(
        row=row,
        domains=(Domain.VPN, Domain.CARRIER),
        confidence=Confidence.HIGH,
        basis=Basis.PORT,
        evidence=facts,
        step=step,
    )


@pytest.mark.parametrize("row", Row)
def test_every_row_of_the_diagnosis_is_an_alarm_or_told_elsewhere(row):
    found = diagnosis.conditions([finding(row, "eth1")])
    assert bool(found) == (row not in diagnosis.TOLD_ELSEWHERE)
    assert all(fits_the_catalogue(condition) for condition in found)


def test_each_port_has_its_own_alarm_and_no_address_is_told():
    found = diagnosis.conditions([finding(Row.NO_FRAMES, "eth1", "eth2"), finding(Row.CARRIER_GONE, "192.0.2.9")])
    assert named(found) == [
        ("no_frames", "span:eth1", "nothing"),
        ("no_frames", "span:eth2", "nothing"),
        ("carrier_unreachable", "carrier", ""),
    ]
    assert found[0].facts == {"domains": "vpn or carrier", "confidence": "high", "frames": 0, "frames_of": 7}
    assert "192.0.2.9" not in str(found[2])


def test_a_mirror_port_without_a_link_is_told_whoever_is_to_blame():
    seen = [
        Port(name="eth1", role=Role.SPAN, link_up=False),
        Port(name="eth2", role=Role.SPAN, link_up=None),
        Port(name="eth0", role=Role.MANAGEMENT, link_up=False),
    ]
    assert named(diagnosis.ports(seen)) == [("mirror_port_down", "span:eth1", "")]


def test_what_does_not_answer_is_named_by_its_rung():
    assert named(diagnosis.conditions([finding(Row.ARP_UNANSWERED, step=Step.GATEWAY)])) == [
        ("gateway_unreachable", "gateway", "")
    ]
    assert named(diagnosis.conditions([finding(Row.NEXT_HOP_GONE, step=Step.VPN_NEXT_HOP)])) == [
        ("vpn_unreachable", "vpn next hop", "")
    ]


def record(**given):
    return call_record(**given)


def test_a_call_that_was_not_recorded_names_its_line_without_the_number():
    call = record(
        outcome=Outcome.NOT_RECORDED, reasons=(Reason.ENCRYPTED,), line="0312345678", enterprise="E1", parts=()
    )
    found = calls.occurrences(call, {"0312345678": Place("E1", 2)})
    assert named(found) == [
        ("call_not_recorded", "E1 line 2", "encrypted"),
        ("encrypted_calls", "E1 line 2", ""),
    ]
    assert "0312345678" not in str(found)
    assert named(calls.occurrences(call, {}))[0][1] == "E1"


def test_one_way_audio_names_the_side_that_is_missing():
    one_way = dataclasses.replace(record().sides[1], one_way=True)
    call = record(outcome=Outcome.PARTLY, reasons=(Reason.ONE_WAY,), sides=(record().sides[0], one_way))
    assert [(one[0], one[2]) for one in named(calls.occurrences(call, {}))] == [("one_way_audio", "callee")]


def test_an_unknown_line_is_one_alarm_of_the_box():
    call = record(outcome=Outcome.NOT_EXPECTED, reasons=(Reason.RULE_LINE_UNKNOWN,), parts=(), line=None)
    assert named(calls.occurrences(call, {})) == [("line_not_in_contract", "box", "")]


def test_completeness_is_that_of_the_last_hour_and_needs_enough_speech():
    completeness = Completeness(AlarmSettings())
    lossy = dataclasses.replace(
        record(), expected_samples=8000 * 300, network_lost_samples=8000 * 6, capture_lost_samples=80
    )
    completeness.add(0, lossy)
    assert completeness.conditions(1) == []
    completeness.add(1000 * NS, lossy)
    found = completeness.conditions(1000 * NS)
    assert named(found) == [("completeness_below_target", "box", "total")]
    assert found[0].facts == {"percent": pytest.approx(97.9967), "target_percent": 99.5, "calls": 2}
    assert completeness.conditions(3601 * NS) == []
    bad = dataclasses.replace(lossy, expected_samples=8000 * 3000, capture_lost_samples=8000)
    completeness.add(3602 * NS, bad)
    assert [one[2] for one in named(completeness.conditions(3602 * NS))] == ["capture"]


def test_services_that_should_run_and_do_not():
    seen = [ServiceSeen(name=name, pid=pid, expected=expected) for name, pid, expected in (
        ("capture", 0, True), ("assemble", 7, True), ("other", 0, False)
    )]  # fmt: skip
    assert named(box.services(seen)) == [("service_down", "service:capture", "")]
    assert box.restarted(seen[1], 7) is None
    assert box.restarted(seen[1], 0) is None
    assert box.restarted(seen[0], 6) is None
    again = box.restarted(seen[1], 6)
    assert again
    assert again.key == AlarmKey(resource="service:assemble", name=AlarmName.SERVICE_RESTARTED)


@pytest.mark.parametrize(
    ("days", "severity"),
    [(31, None), (29.9, "warning"), (6.9, "major"), (-0.1, "critical"), (None, "critical")],
)
def test_certificates_expire(days, severity):
    found = box.certificates([CertificateSeen(purpose="mqtt client", days_left=days, problem="no such file")])
    assert [condition.severity for condition in found] == ([] if severity is None else [Severity(severity)])
    assert all(fits_the_catalogue(condition) for condition in found)


@pytest.mark.parametrize("reason", ConnectReason)
def test_each_reason_without_broker_is_an_alarm_of_its_own(reason):
    [condition] = box.broker(Failure(reason=reason, detail="x"), QUIET, 0)
    assert condition.key.qualifier == reason
    assert fits_the_catalogue(condition)


def test_what_is_lost_for_want_of_room_is_told():
    full = dataclasses.replace(QUIET, dropped=5, is_saved=False)
    assert named(box.broker(None, full, 3)) == [
        ("outbox_full", "broker", ""),
        ("volume_missing", "agent's file", ""),
    ]
    assert box.broker(None, QUIET, 0) == []


def test_a_change_has_to_be_notified_until_it_is_noted():
    now = {"target:share": "a", "vpn:next_hop": "192.0.2.1", "vpn:new": "x"}
    noted = {"target:share": "b", "vpn:next_hop": "192.0.2.1"}
    assert named(box.changed(noted, now)) == [("delivery_destination_changed", "target:share", "")]
    assert named(box.changed({"vpn:next_hop": "192.0.2.2"}, now)) == [("vpn_changed", "vpn:next_hop", "")]
    assert box.changed(now, now) == []


def test_a_clock_that_nobody_disciplines():
    assert named(box.clock(False)) == [("clock_unsynchronised", "clock", "")]
    assert box.clock(None) == box.clock(True) == []
    assert box.stepped(-5 * NS).facts == {"step_ms": -5000}


def test_a_channel_is_silent_after_five_minutes_or_ten_seconds_after_it_was_heard():
    def channel(seconds, *, heard, line="E1 line 1"):
        return SilentChannel(line=line, side=Side.CALLEE, had_signal=heard, silent_s=seconds)

    assert calls.silence([channel(299.9, heard=False), channel(9.9, heard=True)]) == []
    [lost] = calls.silence([channel(10.0, heard=True)])
    assert (lost.key.qualifier, lost.severity) == ("callee", Severity.MINOR)
    both = calls.silence([channel(10.0, heard=True), channel(300.0, heard=False), channel(11.0, heard=True, line="x")])
    assert [(one.key.resource, one.severity) for one in both] == [("E1 line 1", None), ("x", Severity.MINOR)]
    assert all(fits_the_catalogue(condition) for condition in (lost, *both))


def test_a_silent_channel_is_cleared_after_a_minute_of_signal():
    assert catalogue()[AlarmName.SILENT_CHANNEL].clear_after_s == 60
