"""`make test-image`: the image in QEMU, from power-on to recordings whose every sample is compared.

    python -m tests.image IMAGE [--folder FOLDER]

Software emulation only, so that it is the same everywhere; the times say so. What it prints is what was seen.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.image import disks
from tests.image.box import Box, load, why_not
from tests.recorded_truth import differences
from tests.scenario import call
from tests.traffic.calls import PlayedCall, play, together
from tests.traffic.pcapwriter import frames_of

DISK_SIZE = "6G"
BOOT_S, TELL_S = 600.0, 300.0
CALLS = 3
SITE = """
[site]
customer = "c"
site = "image"
serial = "RB-IMAGE-1"

[[span]]
interface = "span0"

[storage]
archive = "/var/lib/rokubox"
"""
BROKEN = "[span]\n[nonsense]\nkey = 1\n"


def played(start_ns: int) -> list[PlayedCall]:
    """A few calls, one after the other."""
    starts = [start_ns + number * 15 * 10**9 // 2 for number in range(CALLS)]
    return [play(call(f"image-{ns}@example", start_ns=ns)) for ns in starts]


def main(argv: Sequence[str] | None = None) -> int:
    """Tell every story; exit code 0, or 1 when something is not as it should be."""
    parser = argparse.ArgumentParser(description="Try the image in an emulated box.")
    parser.add_argument("image", type=Path)
    parser.add_argument("--folder", type=Path, help="where disks are kept afterwards (default: nowhere)")
    wanted = parser.parse_args(argv)
    if missing := why_not(wanted.image):
        print(missing, file=sys.stderr)
        return 6
    with tempfile.TemporaryDirectory(prefix="rokubox-image-", dir="/var/tmp") as temporary:
        folder = wanted.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rows, problems = first_day(wanted.image, folder)
    table = Table("what", "seen", title=f"the image in an emulated box (load here before: {load():.1f})")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    for problem in problems:
        print(f"NG  {problem}")
    print("1 passed, 0 failed" if not problems else "0 passed, 1 failed")
    return 1 if problems else 0


def first_day(image: Path, folder: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """A stick that is wrong, one that is right, calls, the power button: what was seen, and what should not be."""
    rows: list[tuple[str, str]] = []
    problems: list[str] = []
    disk, medium = folder / "disk.qcow2", folder / "stick.img"
    disks.overlay(image, disk, DISK_SIZE)
    disks.stick(medium, {"rokubox.toml": BROKEN.encode()}, folder)
    with Box(disk, folder, medium) as box:
        rows.append(("power-on to the word on a wrong stick, s (emulated)", f"{box.wait_for('NG', BOOT_S):.0f}"))
        box.power_down()
    told = disks.read_stick(medium, "rokubox-result.txt")
    rows.append(("what the wrong stick says", told.strip().replace("\r", "")))
    if "nonsense" not in told:
        problems.append("the wrong stick does not say what is wrong")
    disks.stick(medium, {"rokubox.toml": SITE.encode()}, folder)
    with Box(disk, folder, medium) as box:
        begun = time.monotonic()
        box.wait_for("OK  The box is set up", BOOT_S)
        box.wait_for("recording / ", TELL_S)
        rows.append(("power-on to recording, stick included, s (emulated)", f"{time.monotonic() - begun:.0f}"))
        calls = played(time.time_ns())
        frames = frames_of(together(calls))
        box.send(sorted((frame.ts_ns, frame.octets) for frame in frames))
        time.sleep(10)
        box.power_down()
        if sent := box.came_out():
            problems.append(f"the mirror port sent {sent} frames")
    with Box(disk, folder) as box:
        rows.append(("second power-on to recording, s (emulated)", f"{box.wait_for('recording / ', BOOT_S):.0f}"))
        box.power_down()
    size = disks.read_data(disk, folder / "data")
    rows.append(("data partition, grown, MiB", f"{size >> 20}"))
    if size < 4 << 30:
        problems.append("the data partition has not grown")
    archive = folder / "data" / "lib" / "rokubox"
    wrong = differences(archive, calls)
    rows.append(("calls recorded, every sample right", f"{len(calls) if not wrong else 'no'}"))
    problems += wrong
    verified = subprocess.run(
        [Path(sys.executable).with_name("rokubox"), "verify", "--all", "--archive", archive],
        capture_output=True,
        text=True,
        check=False,
    )
    rows.append(("rokubox verify --all", verified.stdout.strip().splitlines()[-1] if verified.stdout else "nothing"))
    if verified.returncode:
        problems.append(f"rokubox verify: {verified.stdout}{verified.stderr}")
    return rows, problems


if __name__ == "__main__":
    sys.exit(main())
