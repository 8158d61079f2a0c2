from dataclasses import replace

from appliance.alarms.kind import AlarmName, Severity
from appliance.alarms.rules import delivery
from uploader.inbox.countdown import DAY_NS, countdown
from uploader.status import InboxStatus, TargetStatus, UploadStatus

FINE = TargetStatus(
    name="hq",
    waiting=3,
    oldest_s=90_000.4,
    oldest_ns=1,
    overdue=False,
    given_up=0,
    failures=0,
    error="",
    error_ns=0,
    success_ns=1,
    delivered=9,
    delivered_bytes=900,
)


def alarms(*targets: TargetStatus):
    seen = UploadStatus(at_ns=1, trouble="", targets=targets)
    return [(one.key.name, one.key.resource, dict(one.facts)) for one in delivery.conditions(seen)]


def test_overdue_and_given_up_are_alarms_of_the_target():
    assert alarms(FINE) == []
    bad = replace(FINE, overdue=True, given_up=2, error="full")
    assert alarms(FINE, replace(bad, name="dr")) == [
        (AlarmName.UPLOAD_OVERDUE, "target dr", {"waiting": 3, "oldest_s": 90_000, "what": "full"}),
        (AlarmName.UPLOAD_GIVEN_UP, "target dr", {"recordings": 2, "what": "full"}),
    ]


def test_what_the_policy_has_erased_though_it_never_arrived_is_an_alarm():
    assert alarms(replace(FINE, lost=3, error="gone")) == [
        (AlarmName.UPLOAD_GIVEN_UP, "target hq", {"recordings": 0, "erased": 3, "what": "gone"})
    ]


def inbox_alarms(inbox: InboxStatus):
    found = delivery.conditions(UploadStatus(at_ns=1, trouble="", targets=(), inbox=inbox))
    return [(one.key.name, one.severity, dict(one.facts)) for one in found]


def test_files_that_were_set_aside_and_the_carriers_countdown():
    able = InboxStatus(able=True, trouble="", waiting=0, set_aside=0, stored=3, countdown=None)
    assert inbox_alarms(able) == []
    assert inbox_alarms(replace(able, set_aside=2)) == [(AlarmName.INBOX_REJECTED, None, {"files": 2})]

    def unable(days):
        return replace(able, able=False, trouble="no disk", countdown=countdown(0, round(days * DAY_NS)))

    assert inbox_alarms(unable(0.5)) == []
    assert [inbox_alarms(unable(days))[0] for days in (1, 3, 6.5)] == [
        (AlarmName.CARRIER_DELETES, Severity.MINOR, {"days_unable": 1, "days_left": 6.0, "what": "no disk"}),
        (AlarmName.CARRIER_DELETES, Severity.MAJOR, {"days_unable": 3, "days_left": 4.0, "what": "no disk"}),
        (AlarmName.CARRIER_DELETES, Severity.CRITICAL, {"days_unable": 6, "days_left": 0.5, "what": "no disk"}),
    ]
