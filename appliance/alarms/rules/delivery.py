"""How delivery stands (`run/upload.json`) as alarms. Pure."""

from appliance.alarms.alarm import AlarmKey, Condition
from appliance.alarms.kind import AlarmName
from uploader.status import UploadStatus

SOURCE = "delivery"


def conditions(seen: UploadStatus) -> list[Condition]:
    """What stands, target by target."""
    found: list[Condition] = []
    for one in seen.targets:
        if one.overdue:
            key = AlarmKey(resource=f"target {one.name}", name=AlarmName.UPLOAD_OVERDUE)
            told = {"waiting": one.waiting, "oldest_s": round(one.oldest_s)}
            found.append(Condition(key=key, facts={**told, "what": one.error}))
        if one.given_up:
            key = AlarmKey(resource=f"target {one.name}", name=AlarmName.UPLOAD_GIVEN_UP)
            found.append(Condition(key=key, facts={"recordings": one.given_up, "what": one.error}))
    return found
