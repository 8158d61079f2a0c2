"""`python -m appliance.datapartition PARTITION`: called by the initial file system's script.

Prints the device that is to be mounted. With `--whole` it mends the partition table after the start.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from appliance.datapartition import consoles, identity, luks, making, opening, reset, table, tablefile
from appliance.datapartition.consoles import Consoles
from appliance.datapartition.errors import DataPartitionError, TableError
from appliance.datapartition.table import State
from appliance.datapartition.tablefile import Disk


def main() -> int:
    """0 unless nothing can be mounted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("partition", type=Path)
    parser.add_argument("--whole", action="store_true", help="both copies of the partition table, nothing else")
    arguments = parser.parse_args()
    if arguments.whole:
        return _told(lambda: _mend(arguments.partition), lambda problem: print(problem, file=sys.stderr))
    with Consoles(consoles.all_of_the_kernel()) as shown:
        return _told(lambda: print(_ready(arguments.partition, shown)), shown.say)


def _told(do: Callable[[], None], tell: Callable[[str], None]) -> int:
    """Exit code; what went wrong is told in a line."""
    try:
        do()
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode("utf-8", "replace").strip()
        tell(f"rokubox: data partition: {error.cmd[0]}: {said}")
        return 1
    except (DataPartitionError, OSError) as error:
        tell(f"rokubox: data partition: {error}")
        return 1
    return 0


def _ready(device: Path, shown: Consoles) -> Path:
    """What is to be mounted. Raises DataPartitionError, OSError, CalledProcessError."""
    serial = identity.serial()
    path, number = tablefile.device_of(device)
    disk = Disk(path)
    state = table.state(disk.read(), number)
    # What a box is installed from keeps nothing that would have to be destroyed with ceremony.
    if (
        state is State.MADE
        and not tablefile.is_on_stick(device)
        and reset.is_confirmed(device, shown, serial, lambda: _name(disk, number, State.ERASING))
    ):
        state = State.ERASING
    if state is State.ERASING:
        reset.destroy(device, shown, serial)
        state = _name(disk, number, State.UNMADE)
    if state is State.UNMADE:
        return making.make(device, shown, serial)
    _grow(disk, path, number, shown)
    return opening.opened(device, shown) if luks.is_volume(device) else device


def _name(disk: Disk, number: int, state: State) -> State:
    disk.write(table.named(disk.read(), number, state))
    return state


def _grow(disk: Disk, path: Path, number: int, shown: Consoles) -> None:
    """Give it what the disk has more by now. A box that cannot have it does without: it records."""
    try:
        before = disk.read()
        grown = table.grown(before, number, disk.sectors)
        if grown == before:
            return
        disk.write(grown)
        resize = ["resizepart", str(path), str(number), str(table.sectors_of(grown, number))]
        subprocess.run(resize, check=True, capture_output=True)
    except (TableError, OSError, subprocess.CalledProcessError) as error:
        shown.say(f"rokubox: the data partition does not grow: {error}")


def _mend(device: Path) -> None:
    """Raises TableError, OSError."""
    disk = Disk(tablefile.device_of(device)[0])
    if not disk.is_whole():
        disk.write(disk.read())


if __name__ == "__main__":
    sys.exit(main())
