"""How delivery stands (`run/upload.json`) as alarms. Pure."""

from collections.abc import Mapping

from appliance.alarms.alarm import AlarmKey, Condition
from appliance.alarms.kind import AlarmName, Severity
from uploader.status import InboxStatus, UploadStatus

SOURCE = "delivery"
_BY_STAGE: Mapping[int, Severity] = {1: Severity.MINOR, 3: Severity.MAJOR, 6: Severity.CRITICAL}


def conditions(seen: UploadStatus) -> list[Condition]:
    """What stands, target by target."""
    found: list[Condition] = []
    for one in seen.targets:
        if one.overdue:
            key = AlarmKey(resource=f"target {one.name}", name=AlarmName.UPLOAD_OVERDUE)
            told = {"waiting": one.waiting, "oldest_s": round(one.oldest_s)}
            found.append(Condition(key=key, facts={**told, "what": one.error}))
        if one.given_up or one.lost:
            key = AlarmKey(resource=f"target {one.name}", name=AlarmName.UPLOAD_GIVEN_UP)
            erased = {"erased": one.lost} if one.lost else {}
            found.append(Condition(key=key, facts={"recordings": one.given_up, **erased, "what": one.error}))
    return found + ([] if seen.inbox is None else _inbox(seen.inbox))


def _inbox(seen: InboxStatus) -> list[Condition]:
    found: list[Condition] = []
    if seen.set_aside:
        key = AlarmKey(resource="inbox", name=AlarmName.INBOX_REJECTED)
        found.append(Condition(key=key, facts={"files": seen.set_aside}))
    if seen.countdown is not None and seen.countdown.stage_days:
        key = AlarmKey(resource="inbox", name=AlarmName.CARRIER_DELETES)
        told = {"days_unable": seen.countdown.stage_days, "days_left": round(seen.countdown.left_s / 86_400, 1)}
        severity = _BY_STAGE[seen.countdown.stage_days]
        found.append(Condition(key=key, severity=severity, facts={**told, "what": seen.trouble}))
    return found
