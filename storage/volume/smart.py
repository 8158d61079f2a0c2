"""The health of a disk as `smartctl --json --all` tells it (smartctl(8)). Pure.

ATA attributes by their number, NVMe by its health log (NVMe 1.4, section 5.14.1.2). What a disk or a bridge to it does
not tell is unknown, which is neither good nor bad.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

REALLOCATED, PENDING, UNCORRECTABLE = 5, 197, 198
"""ATA attributes whose raw value counts sectors."""
WORN_PERCENT = 90
"""Of its life; beyond, the disk is to be replaced."""
LEAST_SPARE_PERCENT = 10
HOT_C = 65


class Verdict(StrEnum):
    """What is to be made of a disk."""

    GOOD = "good"
    WARNING = "warning"
    FAILING = "failing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A disk's own account of itself."""

    verdict: Verdict
    """The sum of all."""
    problems: tuple[str, ...] = ()
    """What speaks against it, in words."""
    model: str = ""
    """What it is."""
    temperature_c: int | None = None
    """How hot it is."""
    power_on_h: int | None = None
    """How long it has worked."""
    worn_percent: int | None = None
    """Share of its life that is used up, of a disk without moving parts."""


def parse(told: bytes) -> Health:
    """Read what smartctl wrote, whatever that is."""
    try:
        tree = msgspec.json.decode(told)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        tree = None
    if not isinstance(tree, dict):
        return Health(verdict=Verdict.UNKNOWN, problems=("smartctl gave no answer",))
    failing, worrying = list(_failing(tree)), list(_worrying(tree))
    if failing:
        verdict = Verdict.FAILING
    elif worrying:
        verdict = Verdict.WARNING
    else:
        verdict = Verdict.GOOD if _at(tree, "smart_status", "passed") is True else Verdict.UNKNOWN
    return Health(
        verdict=verdict,
        problems=(*failing, *worrying, *(_unknown(tree) if verdict is Verdict.UNKNOWN else ())),
        model=str(_at(tree, "model_name") or "")[:80],
        temperature_c=_number(tree, "temperature", "current"),
        power_on_h=_number(tree, "power_on_time", "hours"),
        worn_percent=_number(tree, "nvme_smart_health_information_log", "percentage_used"),
    )


def _failing(tree: dict[str, Any]) -> Iterator[str]:
    if _at(tree, "smart_status", "passed") is False:
        yield "the disk says that it is failing"
    if warning := _number(tree, "nvme_smart_health_information_log", "critical_warning"):
        yield f"critical warning {warning:#04x}"
    raw = _raw_values(tree)
    if (count := raw.get(UNCORRECTABLE, 0)) > 0:
        yield f"{count} sectors cannot be read"
    if errors := _number(tree, "nvme_smart_health_information_log", "media_errors"):
        yield f"{errors} media errors"


def _worrying(tree: dict[str, Any]) -> Iterator[str]:
    raw = _raw_values(tree)
    for number, words in ((REALLOCATED, "sectors were replaced"), (PENDING, "sectors wait to be read again")):
        if (count := raw.get(number, 0)) > 0:
            yield f"{count} {words}"
    worn = _number(tree, "nvme_smart_health_information_log", "percentage_used")
    if worn is not None and worn >= WORN_PERCENT:
        yield f"{worn} % of its life is used up"
    spare = _number(tree, "nvme_smart_health_information_log", "available_spare")
    if spare is not None and spare < LEAST_SPARE_PERCENT:
        yield f"{spare} % of its spare blocks are left"
    hot = _number(tree, "temperature", "current")
    if hot is not None and hot >= HOT_C:
        yield f"{hot} degrees C"


def _unknown(tree: dict[str, Any]) -> Iterator[str]:
    """Why nothing is known: smartctl's own words."""
    messages = _at(tree, "smartctl", "messages")
    for message in messages[:3] if isinstance(messages, list) else ():
        if isinstance(message, dict) and isinstance(message.get("string"), str):
            yield message["string"][:200]


def _raw_values(tree: dict[str, Any]) -> dict[int, int]:
    """ATA attributes' raw values by number. The upper bytes of some count other things; 32 bits hold the sectors."""
    table = _at(tree, "ata_smart_attributes", "table")
    rows = [row for row in table if isinstance(row, dict)] if isinstance(table, list) else []
    found = ((row.get("id"), _at(row, "raw", "value")) for row in rows)
    return {number: raw & 0xFFFF_FFFF for number, raw in found if isinstance(number, int) and isinstance(raw, int)}


def _number(tree: dict[str, Any], *path: str) -> int | None:
    value = _at(tree, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _at(tree: Any, *path: str) -> Any:
    for key in path:
        if not isinstance(tree, dict):
            return None
        tree = tree.get(key)
    return tree
