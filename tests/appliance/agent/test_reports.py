"""Messages as they are sent: valid, without numbers, whatever signalling held."""

import dataclasses
import json
from dataclasses import replace
from zoneinfo import ZoneInfo

import jsonschema
import pytest

from appliance.agent.daysums import DaySums
from appliance.agent.machine import MachineSeen
from appliance.agent.reports import HealthSeen, Identity, Reports
from appliance.agent.selftestseen import SelfTestSeen
from appliance.alarms.alarm import Acknowledgement, Alarm, AlarmKey, AlarmState, Shelving
from appliance.alarms.kind import AlarmName, Severity
from appliance.alarms.rules.calls import Place
from appliance.diagnosis.evidence import Port, Role
from appliance.telemetry.messages import EventName, PresenceReason, SelfTestOutcome, SelfTestStep
from appliance.telemetry.outbox import OutboxState
from appliance.telemetry.schema_export import MESSAGES, SCHEMA_DIRECTORY, identity, schema_name
from storage.records import Party
from storage.vocabulary import Outcome
from tests.appliance.alarms.test_delivery_rules import FINE
from tests.storage.samples import call_record
from uploader.status import InboxStatus, UploadStatus

NS = 1_000_000_000
NOW = 1_790_000_000 * NS
IDENTITY = Identity(
    customer="客先",
    site="大阪",
    serial="RB-1",
    zone=ZoneInfo("Asia/Tokyo"),
    software="rokubox 0.1.0",
    operating_system="Debian",
    kernel="6.1",
    hardware="",
    boot_id="boot",
    started_ns=NOW,
    config_digest="",
    mirror_ports=("eth1",),
    commands=("ack",),
    interval_s=60,
)
REPORTS = Reports(IDENTITY, {"0312345678": Place("E1", 3)}, numbers=False)
ALARM = Alarm(
    key=AlarmKey(resource="E1 line 3", name=AlarmName.CALL_NOT_RECORDED, qualifier="no_media"),
    state=AlarmState.RAISED,
    severity=Severity.MAJOR,
    source="calls",
    first_raised_ns=NOW,
    last_changed_ns=NOW,
    boot_id="boot",
    sequence=7,
    facts={"call": "abc", "percent": 1.5, "yes": True},
    acknowledged=Acknowledgement(by="Sato", at_ns=NOW),
    shelved=Shelving(by="Sato", at_ns=NOW, until_ns=NOW + NS),
)
OUTBOX = OutboxState(messages=1, size_bytes=2, dropped=3, is_saved=True)
UPLOADS = UploadStatus(
    at_ns=1,
    trouble="",
    targets=(replace(FINE, waiting=3, oldest_s=7.6), replace(FINE, waiting=2, given_up=1)),
    inbox=InboxStatus(able=True, trouble="", waiting=4, set_aside=5, stored=6, countdown=None),
)


def sent(make):
    message = json.loads(make("0123abcd-7"))
    name = next(schema_name(kind) for kind in MESSAGES if identity(kind) == message["schema"])
    jsonschema.Draft202012Validator(json.loads((SCHEMA_DIRECTORY / name).read_bytes())).validate(message)
    return message


def test_every_kind_of_message_is_valid():
    steps = (SelfTestStep(step="gateway", state="ok", cause=""),)
    for make in (
        *(REPORTS.status(NOW, reason) for reason in PresenceReason),
        REPORTS.info(NOW),
        REPORTS.alarm(ALARM),
        *(REPORTS.event(NOW, name, {"software": "x"}) for name in EventName),
        REPORTS.checkpoint(NOW, 12, b"origin\n12\nroot\n"),
        REPORTS.test_result(
            NOW,
            "selftest",
            SelfTestSeen(outcome=SelfTestOutcome.FAILED, exit_code=25, domains=("vpn", "carrier"), steps=steps),
        ),
        REPORTS.answer(NOW, "ack", "no such alarm", {}),
    ):
        assert sent(make)["message_id"] == "0123abcd-7"


def test_a_cleared_alarm_has_the_severity_cleared():

    over = sent(REPORTS.alarm(dataclasses.replace(ALARM, state=AlarmState.CLEARED, cleared_ns=NOW + NS)))
    assert (over["state"], over["severity"], over["number"]) == ("cleared", "cleared", 202)
    assert over["cleared_at"] == "2026-09-21T23:13:21.000000000+09:00"


def test_a_call_names_its_line_by_place_and_numbers_only_on_demand():
    record = call_record(line="03-1234-5678", enterprise="E1")
    summary = sent(REPORTS.call(NOW, record))
    assert (summary["enterprise"], summary["line"], summary["numbers"]) == ("E1", 3, None)
    assert "0312345678" not in json.dumps(summary)
    asked = Reports(IDENTITY, {}, numbers=True)
    assert sent(asked.call(NOW, record))["numbers"] == {"caller": "0312345678", "callee": "0698765432"}


def test_what_is_no_text_is_replaced():
    strange = call_record(caller=Party(number="\udc80evil", display="", uri=""))
    asked = Reports(IDENTITY, {}, numbers=True)
    assert sent(asked.call(NOW, strange))["numbers"]["caller"] == "\ufffdevil"


def health_seen(day, *, known=True):
    return HealthSeen(
        machine=MachineSeen(uptime_s=1, memory_available_bytes=None, load_1min=None, temperature_c=None),
        services=[],
        ports=[Port(name="eth1", role=Role.SPAN, kernel_drops=2 if known else None)],
        day=day,
        in_progress=None,
        condition=None,
        free_bytes=5 if known else None,
        total_bytes=9 if known else None,
        clock_synchronised=known or None,
        ledger_entries=None,
        alarms=[ALARM, ALARM] if known else [],
        alarm_sequence=7,
        outbox=OUTBOX,
        uploads=UPLOADS if known else None,
    )


@pytest.mark.parametrize("known", [True, False])
def test_health_with_everything_known_and_with_nothing(known):
    day = DaySums().add(call_record(outcome=Outcome.PARTLY))
    seen = health_seen(day if known else DaySums(), known=known)
    health = sent(REPORTS.health(NOW, seen))
    assert health["ports"][0]["dropped"] == (2 if known else None)
    assert health["calls"]["partly"] == known
    assert health["alarms"]["major"] == 0  # shelved ones are not counted


def test_sums_are_those_of_the_day():
    first, second = (call_record(started_at=f"2026-01-0{day}T00:00:00.000000000+09:00") for day in (1, 2))
    sums = DaySums().add(first).add(second).add(first)
    assert (sums.day, sum(sums.calls.values())) == ("2026-01-02", 1)
    assert sums.on("2026-01-03").health(None).completeness is None
    assert sums.on("2026-01-02") is sums


def test_health_counts_what_is_on_its_way():
    found = sent(REPORTS.health(NOW, health_seen(DaySums(day="2026-01-02"))))["delivery"]
    assert found == {
        "waiting": 5,
        "oldest_s": 90_000,
        "given_up": 1,
        "delivered": 18,
        "inbox_waiting": 4,
        "inbox_set_aside": 5,
    }
