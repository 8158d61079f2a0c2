"""`make test-units`: the product installed on a Debian 12 and booted; calls recorded, services killed and stalled."""

import sys
import tempfile
import time
from pathlib import Path

from tests.units import stories, tree
from tests.units.container import booted
from tests.units.delivery import delivery
from tests.units.story import is_proven


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
                is_proven(lambda: stories.activated(container)),
                is_proven(lambda: stories.first_boot(container)),
            ]
            told = "" if all(proven) else container.log(300)
            container.power_off()
        begun = time.monotonic()
        with booted(installed, folder / "archive") as container:
            proven += [
                is_proven(lambda: stories.boot(container, begun)),
                is_proven(lambda: stories.replugged(container)),
                is_proven(lambda: stories.calls(container, folder)),
                is_proven(lambda: stories.upkeep(container)),
                is_proven(lambda: stories.firewall(container)),
                is_proven(lambda: delivery(container, folder)),
                is_proven(lambda: stories.bad_configuration(container)),
            ]
            if not all(proven):
                print(told, container.log(300))
        return int(not all(proven))


if __name__ == "__main__":
    sys.exit(main())
