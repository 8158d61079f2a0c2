"""`rokubox-bootstate`: what RAUC asks and tells of the boot loader (RAUC reference, custom bootloader backend).

    get-primary            prints the slot that is started next
    set-primary SLOT       has it started next, on trial
    get-state SLOT         prints `good` or `bad`
    set-state SLOT STATE   says which it is
    link                   makes links to the booted disk's partitions, for RAUC's configuration; it asks nothing else

An environment that cannot be read is made anew by the first thing that is said.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from appliance.errors import FirmwareError
from appliance.firmware import bootedslots, bootfile, bootstate, grubenv


def main(argv: Sequence[str] | None = None) -> int:
    """Answer one question; exit code 0 when it could be."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _answer(words)
    except (FirmwareError, grubenv.EnvironmentBlockError, OSError) as error:
        print(f"rokubox-bootstate: {error}", file=sys.stderr)
        return 1


def _answer(words: list[str]) -> int:
    match words:
        case ["link"]:
            bootedslots.link()
        case ["get-primary"]:
            with bootfile.mounted(writable=False) as file:
                print(bootstate.primary(_known(file)))
        case ["get-state", slot] if slot in bootstate.SLOTS:
            with bootfile.mounted(writable=False) as file:
                print("good" if bootstate.is_good(_known(file), slot) else "bad")
        case ["set-primary", slot] if slot in bootstate.SLOTS:
            with bootfile.mounted(writable=True) as file:
                bootfile.write(file, bootstate.with_primary(_known(file), slot))
        case ["set-state", slot, "good" | "bad" as state] if slot in bootstate.SLOTS:
            with bootfile.mounted(writable=True) as file:
                bootfile.write(file, bootstate.with_state(_known(file), slot, good=state == "good"))
        case _:
            print("rokubox-bootstate: get-primary, set-primary, get-state, set-state or link", file=sys.stderr)
            return 2
    return 0


def _known(file: Path) -> dict[str, str]:
    """What the file says; nothing when it is damaged."""
    with suppress(grubenv.EnvironmentBlockError, FileNotFoundError):
        return bootfile.read(file)
    return {}
