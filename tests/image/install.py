"""A bare machine, a stick with the image, and a technician at the serial console: from nothing to a recorder.

`python -m tests.image.install build/image/rokubox.img`: the machine starts from the stick, asks, is answered, writes
its disk; then, without the stick, it starts from that disk and opens its mirror port.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from appliance.flashing import gpt
from tests.image import machine
from tests.image.machine import Fittings, Machine

RECORDING = "device span0 entered promiscuous mode"
ENTER = "\r"


def main() -> int:
    """1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    image = parser.parse_args().image
    if reason := machine.why_not():
        print(f"not possible: {reason}")
        return 1
    with tempfile.TemporaryDirectory(prefix="install") as name:
        folder = Path(name)
        stick, disk = folder / "stick.raw", folder / "disk.qcow2"
        shutil.copy(image, stick)
        subprocess.run(["qemu-img", "resize", "-q", "-f", "raw", stick, "3G"], check=True)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "4G"], check=True)
        begun = time.monotonic()
        with machine.switched_on(disk, folder, "stick", Fittings(sticks=(stick,))) as box:
            _answer(box)
            print(f"written, read back and asked to restart, emulated: {time.monotonic() - begun:.0f} s", flush=True)
            box.wait_off()
            says_nothing_else = RECORDING not in box.console()
        with machine.switched_on(disk, folder, "installed") as box:
            box.wait_for(RECORDING)
            box.power_off()
        with stick.open("rb") as file:
            of_its_own = gpt.parse(machine.head(disk)).disk_id != gpt.parse(file.read(1 << 20)).disk_id
        print(f"the stick itself recorded nothing: {says_nothing_else}; the disk has ids of its own: {of_its_own}")
        return int(not (says_nothing_else and of_its_own))


def _answer(box: Machine) -> None:
    box.wait_for("Number of the disk")
    box.type("7" + ENTER)  # there is none
    box.wait_for("Number of the disk", times=2)
    box.type("1" + ENTER)
    box.wait_for("Type vda to go on")
    box.type("no" + ENTER)
    box.wait_for("Number of the disk", times=3)
    box.type("1" + ENTER)
    box.wait_for("Type vda to go on", times=2)
    box.type("vda" + ENTER)
    box.wait_for("then press Enter")
    box.type(ENTER)


if __name__ == "__main__":
    sys.exit(main())
