"""Outages that are no fault: announced before, measured, and entered all the same. Pure."""

from typing import Final

from appliance.diagnosis import texts
from appliance.diagnosis.findings import Row
from appliance.diagnosis.texts import Text
from appliance.show.labels import Language

UPDATE: Final = "update"
"""Stands where the name of a finding stands for others: a restart into another version."""
_TITLE: Final = Text("計画停止（ソフトウェア更新）", "planned: update of the software")


def title(row: str, language: Language) -> str:
    """What an outage was, for people."""
    return _TITLE.told(language) if row == UPDATE else texts.title(Row(row), language)
