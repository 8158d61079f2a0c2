"""The first call: whether a recording is what the technician who made the call expects. Pure.

| check      | passes when                                                       |
|------------|-------------------------------------------------------------------|
| recorded   | the call's outcome is `recorded`                                  |
| caller     | the caller was heard: packets came, and they were not silence     |
| callee     | likewise                                                          |
| complete   | nothing was lost by the recorder                                  |
| verified   | every part is in the ledger, byte for byte                        |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from appliance.diagnosis.texts import Text
from storage.call_record import CallRecord, SideSummary
from storage.vocabulary import Outcome, Side

SILENT_SHARE = 0.98
"""Somebody who spoke is not silent for so much of the call."""

CHECKS: Final[Mapping[str, Text]] = MappingProxyType(
    {
        "recorded": Text("録音された", "recorded"),
        "caller": Text("発信側の音声", "the caller is heard"),
        "callee": Text("着信側の音声", "the callee is heard"),
        "complete": Text("録音装置の取りこぼしなし", "nothing was lost by the recorder"),
        "verified": Text("台帳で検証済み", "verified in the ledger"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One check of the call."""

    name: str
    """A key of `CHECKS`."""
    passed: bool
    said: str
    """What was found, in English, without callers' numbers."""


def checked(record: CallRecord, *, verified: bool) -> tuple[Checked, ...]:
    """Look at a call's record; `verified`: its parts are in the ledger as they lie on the disk."""
    caller, callee = (next(side for side in record.sides if side.side is each) for each in Side)
    words = ", ".join(record.reasons) or record.outcome
    lost = record.capture_lost_samples
    return (
        Checked(name="recorded", passed=record.outcome is Outcome.RECORDED, said=str(words)),
        Checked(name="caller", passed=_is_heard(caller), said=_heard(caller)),
        Checked(name="callee", passed=_is_heard(callee), said=_heard(callee)),
        Checked(name="complete", passed=not lost, said=f"{lost} of {record.expected_samples} samples lost"),
        Checked(name="verified", passed=verified, said="as signed" if verified else "not as signed, or not signed"),
    )


def _is_heard(side: SideSummary) -> bool:
    return side.packets > 0 and not side.one_way and side.silence_share < SILENT_SHARE


def _heard(side: SideSummary) -> str:
    return f"{side.packets} packets, {side.lost} lost, {100 * side.silence_share:.0f} % silent"
