from dataclasses import replace

from appliance.alarms.kind import AlarmName
from appliance.alarms.rules import delivery
from uploader.status import TargetStatus, UploadStatus

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
