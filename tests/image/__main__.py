"""`make test-image`: the image as a technician and a NOC meet it, in an emulated machine; every sample compared."""

import argparse
import filecmp
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.proof import prove
from tests.image import hang, machine, shell, stories
from tests.image.machine import Fittings
from tests.image.stand import Stand, stand
from tests.image.stories import Steps, Times
from tests.units.story import Story, is_proven

ROKUBOX = Path(sys.executable).with_name("rokubox")
MOST_STEPS = 6
SMB = 445
_MB = 1_000_000


def main() -> int:
    """1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    image = parser.parse_args().image
    if reason := machine.why_not():
        print(f"not possible: {reason}")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that machine and broker end with it
    begun, times, steps = time.monotonic(), Times(), Steps()
    with tempfile.TemporaryDirectory(prefix="image") as name, stand(Path(name)) as here:
        stories_told = _told(here, image, times, steps)
    _print_table(image, times, steps, time.monotonic() - begun)
    return int(not all(stories_told) or len(steps.done) > MOST_STEPS)


def _told(here: Stand, image: Path, times: Times, steps: Steps) -> list[bool]:
    """Tells the stories; whether each is proven."""
    proven = []
    steps.do("write the image onto the box's disk (rokubox-flash)")
    began = time.monotonic()
    flashed = machine.flash(image, here.folder)
    times.flashed_s = time.monotonic() - began
    disk = machine.fresh_disk(flashed, here.folder)
    steps.do("plug in the management network")
    steps.do("plug in the mirror port")
    steps.do("plug in the stick labelled ROKUBOX")
    fittings = Fittings(
        sticks=(here.stick,),
        forwards={here.smb_port: SMB},
        reaches_host=True,
        begins_anew=True,
        watchdog=True,
        arguments=hang.port(here.folder),
    )
    steps.do("switch on")
    begun = time.monotonic()
    with machine.switched_on(disk, here.folder, "first", fittings) as box:
        proven += [
            is_proven(lambda: stories.first_boot(here, box, begun, times, steps)),
            is_proven(lambda: stories.more_calls(here, box)),
            is_proven(lambda: stories.share(here)),
            is_proven(lambda: stories.self_test(here)),
            is_proven(lambda: stories.hung_kernel(here, box, times)),
        ]
        box.power_off()
    machine.add_kernel_arguments(disk, here.folder, shell.KERNEL_ARGUMENTS)
    fittings = Fittings(reaches_host=True, arguments=shell.port(here.folder))
    with machine.switched_on(disk, here.folder, "second", fittings) as box, shell.opened(here.folder) as root:
        proven.append(is_proven(lambda: stories.hung_services(here, box, root)))
        box.power_off()
    proven.append(is_proven(lambda: _archive(here, disk)))
    proven.append(is_proven(lambda: stories.damaged_system(here, disk)))
    return proven


def _archive(here: Stand, disk: Path) -> Story:
    """Every call that was shown is in the archive with every sample; it verifies; all messages are right."""
    story = Story(title="every sample of every call")
    archive = machine.recorded(disk, here.folder)
    fetched = {path.name: path for path in (here.folder / "fetched").rglob("*.zip")}
    kept = {path.name: path for path in (archive / "recordings").rglob("*.zip")}
    story.done.append(f"{len(fetched)} recordings as fetched over SMB")
    story.problems += [
        f"{name}: not as it was fetched"
        for name, path in fetched.items()
        if name not in kept or not filecmp.cmp(path, kept[name], shallow=False)
    ]
    proof = prove(archive, here.sent)
    story.done.append(f"{len(here.sent)} calls, {proof.packets} packets, {proof.samples} samples compared")
    story.problems += [problem for problem in proof.problems if not problem.startswith("run: ")]
    verified = subprocess.run([ROKUBOX, "verify", "--archive", archive], check=False, capture_output=True, text=True)
    story.done.append(f"rokubox verify: {verified.stdout.strip().splitlines()[-1]}")
    story.expect(verified.returncode == 0, f"{verified.stdout}{verified.stderr}")
    malformed = list(here.malformed())
    story.done.append(f"{len(here.noc.messages)} MQTT messages, each against its schema")
    story.problems += malformed[:3]
    return story


def _print_table(image: Path, times: Times, steps: Steps, took_s: float) -> None:
    command = ["xz", "-1", "--threads=2", "--stdout", str(image)]
    compressed = len(subprocess.run(command, check=True, capture_output=True).stdout)
    bundles = sorted(image.parent.glob("*.raucb"))
    rows = [
        ("the image written and read back, onto a file", f"{times.flashed_s:.0f} s"),
        ("power-on to recording, emulated", f"{times.recording_s:.0f} s"),
        ("power-on to the first verified recording, emulated", f"{times.first_verified_s:.0f} s"),
        ("a technician's steps from flashing to it", f"{len(steps.done)} (at most {MOST_STEPS})"),
        ("kernel hung to recording again, emulated", f"{times.back_s:.0f} s"),
        ("image, packed as `make release` does it", f"{compressed / _MB:.0f} MB"),
        *((f"bundle {path.name}", f"{path.stat().st_size / _MB:.0f} MB") for path in bundles),
        ("all of this", f"{took_s / 60:.0f} min"),
    ]
    print()
    for what, figure in rows:
        print(f"{what:<52} {figure}")


if __name__ == "__main__":
    sys.exit(main())
