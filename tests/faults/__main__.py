"""`make test-faults`: prints the matrix (injected, verdict, time) and fails on any false accusation."""

import argparse
import itertools
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults.faults import FAULTS, NOT_SHOWN, Fault
from tests.faults.stand import Stand, stand

LIMIT_S = 30.0
"""From complete evidence to the verdict."""
SETTLE_S = 75.0
AFTER_S = 5.0
"""It goes on for so long, so that an innocent who is named a moment later is noticed."""
TOOLS = ("ip", "tc", "nft", "ethtool", "mosquitto", "sysctl", "mount")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one row."""

    injected: str
    expected: str
    verdict: str
    seconds: float | None
    """From complete evidence to the right verdict; negative: before it was complete. None: it never came."""
    trouble: tuple[str, ...] = ()
    """False accusations, and what else is not as it must be."""


def main() -> int:
    """Show the matrix."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--healthy-minutes", type=float, default=3.0, help="of traffic without a fault (default 3)")
    parser.add_argument("--doubles", type=int, default=20, help="random pairs of faults (default 20)")
    parser.add_argument("--only", default="", help="rows whose name holds this; no pairs, no healthy traffic")
    parser.add_argument("--beside", type=int, default=2, help="sites at a time (default 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the pairs; by default another one each time")
    chosen = parser.parse_args()
    if os.geteuid() != 0 or (missing := [tool for tool in TOOLS if shutil.which(tool) is None]):
        print("not possible: needs root for network namespaces" if os.geteuid() else f"not possible: needs {missing}")
        return 1
    seed = chosen.seed or random.SystemRandom().randrange(1, 10**6)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="faults") as name:
        outcomes = _rows(Path(name), chosen, seed)
    failed = [outcome for outcome in outcomes if outcome.trouble or outcome.seconds is None]
    late = [outcome.seconds for outcome in outcomes if outcome.seconds is not None]
    for row in NOT_SHOWN:
        print(f"not shown here: {row}")
    accusations = sum("accused" in trouble for outcome in outcomes for trouble in outcome.trouble)
    print(
        f"\n{len(outcomes)} rows, {len(failed)} not as they must be, {accusations} false accusations;"
        f" longest from complete evidence to verdict {max(late, default=0):.1f} s"
    )
    return 1 if failed else 0


def _rows(folder: Path, chosen: argparse.Namespace, seed: int) -> list[Outcome]:
    numbers = itertools.count()
    singles = [fault for fault in FAULTS if chosen.only.lower() in fault.name.lower()]
    rows: list[Callable[[], Outcome]] = []
    if not chosen.only:
        rows.append(partial(_healthy, folder, numbers, chosen.healthy_minutes))
    rows += [partial(_injected, folder, numbers, (fault,)) for fault in singles]
    if not chosen.only:
        pairs = _pairs(random.Random(seed), chosen.doubles)
        rows += [partial(_injected, folder, numbers, pair) for pair in pairs]
    print(f"{'injected':58} {'expected':18} {'verdict':40} evidence to verdict")
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(chosen.beside) as workers:
        for done in as_completed([workers.submit(_guarded, row) for row in rows]):
            outcomes.append(done.result())
            _show(outcomes[-1])
    return outcomes


def _guarded(row: Callable[[], Outcome]) -> Outcome:
    try:
        return row()
    except Exception as error:
        return Outcome(
            injected="?", expected="?", verdict="-", seconds=None, trouble=(f"{type(error).__name__}: {error}",)
        )


def _show(outcome: Outcome) -> None:
    took = "never" if outcome.seconds is None else f"{outcome.seconds:.1f} s"
    print(f"{outcome.injected:58} {outcome.expected:18} {outcome.verdict:40} {took}", flush=True)
    for trouble in outcome.trouble:
        print(f"    !! {trouble}", flush=True)


def _pairs(chance: random.Random, count: int) -> list[tuple[Fault, Fault]]:
    """Pairs that can both be there: only one of them may change how calls go."""
    found: list[tuple[Fault, Fault]] = []
    while len(found) < count:
        one, other = chance.sample(FAULTS, 2)
        if not (one.style and other.style) and {one.name, other.name} not in [{a.name, b.name} for a, b in found]:
            found.append((one, other))
    return found


def _injected(folder: Path, numbers: Iterator[int], faults: Sequence[Fault]) -> Outcome:
    """Inject, and wait until the verdict names one of the guilty, and for a single fault exactly these."""
    name = " + ".join(fault.name for fault in faults)
    guilty = [fault.guilty for fault in faults]
    expected = " + ".join(_said(each) for each in guilty)
    with stand(folder / str(next(numbers))) as made:
        trouble = _settle(made)
        begun = len(made.verdicts)
        for fault in faults:
            fault.inject(made)
        at_s = time.time()
        complete_s = max(fault.complete_s for fault in faults)
        first = min(fault.complete_s for fault in faults)
        until_s = at_s + complete_s + LIMIT_S
        right: float | None = None
        while time.time() < (until_s if right is None else min(right + AFTER_S, until_s + AFTER_S)):
            time.sleep(0.3)
            if right is None:
                right = next((each["at"] for each in made.verdicts[begun:] if _is_right(each, faults)), None)
            if made.recorder is None or (made.verdicts and time.time() - made.verdicts[-1]["at"] > 20):
                trouble.append("the diagnosis does not answer")
                break
        trouble += _accused(made.verdicts[begun:], faults)
        last = made.verdicts[-1] if made.verdicts else {"findings": [], "withheld": [], "ng": []}
        named = ", ".join(f"{_said(domains)} ({row})" for row, domains in last["findings"]) or "-"
        if right is None:
            trouble.append(f"last: findings {last['findings']}, withheld {last['withheld']}, rungs {last['ng']}")
        seconds = None if right is None else right - at_s - (complete_s if len(faults) == 1 else first)
        return Outcome(
            injected=name, expected=expected, verdict=named[:90], seconds=seconds, trouble=tuple(dict.fromkeys(trouble))
        )


def _settle(made: Stand) -> list[str]:
    """Before anything is injected the verdict must be that all is well."""
    until = time.time() + SETTLE_S
    while time.time() < until:
        if made.verdicts and not made.verdicts[-1]["ng"] and not made.verdicts[-1]["findings"]:
            return [f"accused before anything was injected: {each}" for each in _domains(made.verdicts) if each]
        time.sleep(0.3)
    last = made.verdicts[-1] if made.verdicts else "no verdict"
    log = (made.folder / "observer.log").read_text()[-600:]
    return [f"never all well before: {last} {log}"]


def _domains(verdicts: Sequence[dict[str, object]]) -> list[str]:
    """Who was named, but for what a start takes: a recorder that does not run yet."""
    return [
        f"{_said(domains)} ({row})"
        for each in verdicts
        for row, domains in each["findings"]  # type: ignore[attr-defined]
        if domains and row != "recorder_stopped"
    ]


def _is_right(verdict: dict[str, list[tuple[str, list[str]]]], faults: Sequence[Fault]) -> bool:
    named = [tuple(domains) for _, domains in verdict["findings"]]
    if len(faults) == 1:
        return bool(named) and named[0] == faults[0].guilty
    return any(fault.guilty in named for fault in faults)


def _accused(verdicts: Sequence[dict[str, list[tuple[str, list[str]]]]], faults: Sequence[Fault]) -> list[str]:
    """An innocent is named when a finding's set holds nobody who is guilty."""
    guilty = {domain for fault in faults for domain in (*fault.guilty, *fault.also)}
    return [
        f"falsely accused: {_said(domains)} ({row})"
        for each in verdicts
        for row, domains in each["findings"]
        if domains and not guilty & set(domains)
    ]


def _healthy(folder: Path, numbers: Iterator[int], minutes: float) -> Outcome:
    with stand(folder / str(next(numbers))) as made:
        trouble = _settle(made)
        begun, until = len(made.verdicts), time.time() + 60 * minutes
        while time.time() < until:
            time.sleep(1.0)
        seen = made.verdicts[begun:]
        trouble += [f"falsely accused: {each}" for each in _domains(seen)]
        if len(seen) < 30 * minutes:
            trouble.append(f"only {len(seen)} verdicts")
    told = f"- ({len(seen)} verdicts, {made.player.sent:,} frames)"
    name = f"nothing, for {minutes:g} minutes"
    return Outcome(injected=name, expected="nobody", verdict=told, seconds=0.0, trouble=tuple(dict.fromkeys(trouble)))


def _said(domains: Sequence[str]) -> str:
    return " or ".join(domains) or "not observable"


if __name__ == "__main__":
    sys.exit(main())
