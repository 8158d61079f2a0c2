"""Concerns about the archive and its disk (`run/storage.json`) as alarms. Pure."""

from typing import Final, assert_never

from appliance.alarms.alarm import AlarmKey, Condition
from appliance.alarms.kind import AlarmName, Severity
from appliance.condition.concerns import Concern
from appliance.condition.record import Condition as ArchiveCondition
from appliance.condition.record import Standing
from appliance.condition.seen import Figures
from storage.volume.smart import Verdict

SOURCE = "archive"
STALE_NS: Final = 180_000_000_000
"""What is older says nothing about now: its owner does not run, or its disk does not take it."""
SOON_DAYS: Final = 3
DISK = "archive disk"


def conditions(seen: ArchiveCondition) -> list[Condition]:
    """What stands."""
    found = [_of(standing, seen.figures) for standing in seen.concerns]
    return list({condition.key: condition for condition in found}.values())


def is_stale(seen: ArchiveCondition, now_ns: int) -> bool:
    """Whether it is too old to say anything."""
    return now_ns - seen.at_ns > STALE_NS


def quarantine(files: int) -> list[Condition]:
    """What was set aside, as long as it lies there."""
    if not files:
        return []
    return [Condition(key=AlarmKey(resource="quarantine", name=AlarmName.SET_ASIDE), facts={"files": files})]


def _of(standing: Standing, figures: Figures | None) -> Condition:
    name, resource, qualifier, severity = _place(standing, figures)
    key = AlarmKey(resource=resource, name=name, qualifier=qualifier)
    return Condition(key=key, severity=severity, facts={"what": standing.what})


def _place(standing: Standing, figures: Figures | None) -> tuple[AlarmName, str, str, Severity | None]:
    """Name, resource, qualifier, and the severity where it is not the usual one."""
    match standing.concern:
        case Concern.LEDGER_FAULT:
            return AlarmName.LEDGER_FAULT, _with_part("ledger", standing.part), "", None
        case Concern.INDEX_FAULT:
            return AlarmName.LEDGER_FAULT, "index", "", Severity.MAJOR
        case Concern.BIT_ROT:
            return AlarmName.BIT_ROT, DISK, "", None
        case Concern.SCRUB_FAILED:
            return AlarmName.UPKEEP_FAILED, "scrub", "scrub", None
        case Concern.DISK_SPACE:
            severity = Severity.MAJOR if standing.part else Severity.CRITICAL
            return AlarmName.DISK_SPACE, _with_part(DISK, standing.part), "", severity
        case Concern.DISK_REFUSES:
            return AlarmName.VOLUME_MISSING, DISK, "", None
        case Concern.DISK_HEALTH:
            failing = figures is not None and figures.disk is not None and figures.disk.health is Verdict.FAILING
            return AlarmName.DISK_HEALTH, DISK, "", Severity.CRITICAL if failing else None
        case Concern.DISK_LATENCY:
            return AlarmName.DISK_LATENCY, DISK, "", None
        case Concern.DAYS_UNTIL_FULL:
            retention = None if figures is None else figures.retention
            days = None if retention is None else retention.days_until_short
            return (
                AlarmName.DAYS_UNTIL_FULL,
                DISK,
                "",
                Severity.MAJOR if days is not None and days <= SOON_DAYS else None,
            )
        case Concern.CLOCK_UNCONFIRMED:
            return AlarmName.CLOCK_UNSYNCHRONISED, "clock of retention", "", None
        case Concern.RETENTION_FAILED:
            return AlarmName.UPKEEP_FAILED, _with_part("retention", standing.part), "retention", None
        case Concern.CONTRACT_OVERDUE:
            return AlarmName.UPKEEP_FAILED, "contracts", "contract_end", None
        case Concern.BACKUP_FAILED:
            return AlarmName.UPKEEP_FAILED, "backup", "backup", None
    assert_never(standing.concern)


def _with_part(resource: str, part: str) -> str:
    return f"{resource}: {part}" if part else resource
