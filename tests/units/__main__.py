"""`make test-units`: the product installed on a Debian 12 and booted; calls recorded, services killed and stalled."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.units import stories, tree
from tests.units.container import booted
from tests.units.stories import Story


def main() -> int:
    """Tells the stories one after the other, of one container; 1 if something is not as it must be."""
    if reason := tree.why_not():
        print(f"not possible: {reason}")
        return 1
    begun = time.monotonic()
    installed = tree.make()
    print(f"Debian 12 with the product installed   ({time.monotonic() - begun:.0f} s)", flush=True)
    with tempfile.TemporaryDirectory(prefix="units") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "archive").mkdir()
        with booted(installed, folder / "archive") as container:
            proven = [
                _is_proven(lambda: stories.activated(container)),
                _is_proven(lambda: stories.first_boot(container)),
            ]
            told = "" if all(proven) else container.log(300)
            container.power_off()
        begun = time.monotonic()
        with booted(installed, folder / "archive") as container:
            proven += [
                _is_proven(lambda: stories.boot(container, begun)),
                _is_proven(lambda: stories.replugged(container)),
                _is_proven(lambda: stories.calls(container, folder)),
                _is_proven(lambda: stories.upkeep(container)),
                _is_proven(lambda: stories.firewall(container)),
                _is_proven(lambda: stories.bad_configuration(container)),
            ]
            if not all(proven):
                print(told, container.log(300))
        return int(not all(proven))


def _is_proven(tell: Callable[[], Story]) -> bool:
    began = time.monotonic()
    story = tell()
    print(f"\n{story.title}   ({time.monotonic() - began:.0f} s)")
    for line in story.done:
        print(f"  {line}")
    for problem in story.problems:
        print(f"  WRONG: {problem}")
    print("  proven" if not story.problems else "  NOT PROVEN", flush=True)
    return not story.problems


if __name__ == "__main__":
    sys.exit(main())
