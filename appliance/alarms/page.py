"""`docs/alarms.md`, made from the catalogue: `python -m appliance.alarms.page`. A test compares."""

import sys
from collections.abc import Iterator

from appliance.alarms.catalogue import catalogue
from appliance.alarms.kind import AlarmKind, AlarmName

_HEAD = """\
# Alarms / 警報一覧

Made from `appliance/alarms/catalogue.toml` by `python -m appliance.alarms.page`; change it there.

An alarm is known by its key: resource, type, qualifier. Severities are those of ITU-T X.733. It is raised when its
condition has held for the first delay, and cleared when that has been gone for the second one; one that *happens* is
over when it has not happened again for so long. A number is never given to another alarm. `rokubox alarms` lists,
acknowledges and shelves them.

警報はキー（対象・種別・修飾子）で識別します。条件が「発生」の時間だけ続くと発生し、「復旧」の時間だけ消えていると復旧します。番号は再利用しません。
"""


def page() -> str:
    """The whole page, in Markdown."""
    return "\n".join([_HEAD, *(line for name, kind in catalogue().items() for line in _section(name, kind))])


def _section(name: AlarmName, kind: AlarmKind) -> Iterator[str]:
    worst = "".join(f", {severity}" for severity in kind.severities)
    raised = "when it happens / 発生の都度" if kind.occurrence else f"after / 発生 {kind.raise_after_s:g} s"
    yield f"## {kind.number} `{name}`"
    yield ""
    yield f"**{kind.title.en} / {kind.title.ja}**"
    yield ""
    yield f"- severity / 重大度: {kind.severity}{worst}; {kind.event_type}"
    yield f"- raised {raised}; cleared after / 復旧 {kind.clear_after_s:g} s"
    yield f"- resource / 対象: {kind.resource.en} / {kind.resource.ja}"
    if kind.qualifiers:
        yield f"- qualifier / 修飾子: {', '.join(f'`{qualifier}`' for qualifier in kind.qualifiers)}"
    yield f"- cause / 原因: {kind.cause.en} {kind.cause.ja}"
    yield f"- remedy / 対処: {kind.remedy.en} {kind.remedy.ja}"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(page())
