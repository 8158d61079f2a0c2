"""A box for programs: one JSON object. Pure."""

from typing import Any

import msgspec

from appliance.alarms.kind import Severity
from appliance.noc.fleet import Box


def line(box: Box, now_ns: int) -> str:
    """The object, on one line."""
    return msgspec.json.encode(document(box, now_ns)).decode()


def document(box: Box, now_ns: int) -> dict[str, Any]:
    """State, age, alarms, and the messages that say more."""
    age_s, counts = box.age_s(now_ns), box.counts()
    return {
        "customer": box.name.customer,
        "site": box.name.site,
        "serial": box.name.serial,
        "state": box.state(now_ns),
        "age_s": None if age_s == float("inf") else round(age_s, 1),
        "alarms": {severity: counts[severity] for severity in Severity if severity is not Severity.CLEARED},
        "standing": box.standing(),
        "status": box.status,
        "info": box.info,
        "health": box.health,
    }
