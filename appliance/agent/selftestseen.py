"""What `rokubox selftest --json` says, as far as the NOC is told. Pure."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from appliance.diagnosis.domains import NOT_OBSERVABLE
from appliance.telemetry.messages import SelfTestOutcome, SelfTestStep


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestSeen:
    """What a self-test came to."""

    outcome: SelfTestOutcome
    exit_code: int
    domains: tuple[str, ...] = ()
    steps: tuple[SelfTestStep, ...] = ()


def parse(code: int, output: bytes) -> SelfTestSeen:
    """Read what it has printed; one that could not be run says nothing of the box."""
    tree: Any = None
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        tree = msgspec.json.decode(output)
    if not isinstance(tree, dict) or not isinstance(tree.get("ladder"), list):
        return SelfTestSeen(outcome=SelfTestOutcome.NOT_OBSERVABLE, exit_code=code if 0 <= code <= 255 else 1)
    if code == 0:
        outcome = SelfTestOutcome.PASSED
    else:
        outcome = SelfTestOutcome.NOT_OBSERVABLE if code == NOT_OBSERVABLE else SelfTestOutcome.FAILED
    return SelfTestSeen(
        outcome=outcome,
        exit_code=code,
        domains=tuple(str(domain) for domain in tree.get("domains", ())),
        steps=tuple(_step(rung) for rung in tree["ladder"] if isinstance(rung, dict)),
    )


def _step(rung: dict[str, Any]) -> SelfTestStep:
    causes = [str(check.get("cause", "")) for check in rung.get("checks", ()) if isinstance(check, dict)]
    first = next((cause for cause in causes if cause), "")
    return SelfTestStep(
        step=str(rung.get("step", "unknown")), state=str(rung.get("state", "unknown")), cause=first[:64]
    )
