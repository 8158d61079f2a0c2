"""`docs/faults.md`, made from the words of the verdict: `python -m appliance.diagnosis.page > docs/faults.md`. Pure."""

from collections.abc import Iterator

from appliance.diagnosis import texts
from appliance.diagnosis.evidence import OWN_SIDE, Step
from appliance.diagnosis.findings import Row
from appliance.show.labels import Language

_HEAD = """\
# What a verdict says

Made from `appliance/diagnosis/texts.py`: `python -m appliance.diagnosis.page > docs/faults.md`.

`rokubox selftest` checks everything bottom up and tells whose fault a fault is: **appliance** (this box), **mirror**
(the SPAN set-up), **lan** (the customer's switch, cables, telephones, PBX), **vpn** (access line, VPN router, path),
**carrier**, **endpoint** (one telephone), a set of them, or nobody ("not observable"). Our own side comes first:
neither VPN nor carrier is named while one of the checks marked with `*` fails or was not made. What is held back is
shown, with what has to be settled first. What a box cannot observe is declared in `[probe] not_observable`.

切り分け診断の結果一覧です。`*` の検査が完了し正常であるまで、VPN や通信事業者を原因とは判定しません。

## The ladder
"""


def page() -> str:
    """Return the page."""
    return "\n".join((_HEAD, *_ladder(), "", "## Findings", "", *_findings(), ""))


def _ladder() -> Iterator[str]:
    yield "| check | 検査 | |"
    yield "|---|---|---|"
    for step in Step:
        said = texts.STEPS[step]
        yield f"| {said.en} | {said.ja} | {'`*`' if step in OWN_SIDE else ''} |"


def _findings() -> Iterator[str]:
    for row in Row:
        title, action = texts.ROWS[row]
        yield f"### `{row.value}`: {title.told(Language.EN)}"
        yield ""
        yield f"{title.told(Language.JA)}"
        yield ""
        yield f"- {action.told(Language.EN)}"
        yield f"- {action.told(Language.JA)}"
        yield ""


if __name__ == "__main__":
    print(page(), end="")
