"""`make test-crash`: kills the recorder, and proves that nothing is lost, sample by sample."""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.crash import rounds
from tests.crash.calls import Plan
from tests.crash.rounds import Story
from tests.crash.span import why_not

_SHOWN = 20


def main() -> int:
    """Tells the stories one after the other; 1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50, help="at a time (default %(default)s)")
    parser.add_argument("--kills", type=int, default=50, help="(default %(default)s)")
    parser.add_argument("--seed", type=int, help="of calls and instants; by default another one each time")
    chosen = parser.parse_args()
    if reason := why_not():
        print(f"not possible: {reason}")
        return 1
    seed = random.SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    print(f"seed {seed}", flush=True)
    plan = Plan(lines=chosen.calls, seed=seed)
    once = Plan(lines=10, seed=seed, shortest_s=22, longest_s=24, rounds=1)
    with tempfile.TemporaryDirectory(prefix="crash") as name:
        folder = Path(name)
        stories: list[Callable[[], Story]] = [
            lambda: rounds.killed(folder, plan, chosen.kills, until_forgotten=True),
            lambda: rounds.instants(folder, Plan(lines=10, seed=seed)),
            *(
                lambda damage=damage: rounds.outage(folder, once, damage)
                for damage in ("none", "appended", "cut", "lost")
            ),
            lambda: rounds.full(folder, once),
        ]
        return int(sum(not _is_proven(story) for story in stories) > 0)


def _is_proven(tell: Callable[[], Story]) -> bool:
    began = time.monotonic()
    story = tell()
    print(f"\n{story.title}   ({time.monotonic() - began:.0f} s)")
    for line in story.done:
        print(f"  {line}")
    for problem in story.problems[:_SHOWN]:
        print(f"  WRONG: {problem}")
    if len(story.problems) > _SHOWN:
        print(f"  WRONG: and {len(story.problems) - _SHOWN} more")
    for line in story.said if story.problems else ():
        print(f"  {line}")
    print("  proven" if not story.problems else "  NOT PROVEN", flush=True)
    return not story.problems


if __name__ == "__main__":
    sys.exit(main())
