"""`make test-image`: the image is booted as flashed onto a larger disk, records calls, and is switched off."""

import argparse
import heapq
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.calls import Call, Plan
from tests.crash.proof import prove
from tests.image import machine
from tests.image.machine import Machine

PLAN = Plan(lines=5, seed=11, shortest_s=6, longest_s=10, rounds=2)
ROKUBOX = Path(sys.executable).with_name("rokubox")
RECORDING = "device span0 entered promiscuous mode"
"""What the kernel says when capture has opened its ring."""
BOOTED, CALM_S = "multi-user.target", 20.0
"""What an emulated machine that begins is shown, it does not take from its network port in time."""
SETTLE_S = 8.0
"""After the last call; an emulated machine is slow."""


def main() -> int:
    """1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    image = parser.parse_args().image
    if reason := machine.why_not():
        print(f"not possible: {reason}")
        return 1
    with tempfile.TemporaryDirectory(prefix="image") as name:
        folder = Path(name)
        disk = machine.fresh_disk(image, folder)
        begun = time.monotonic()
        with machine.switched_on(disk, folder, "first") as first:
            first.wait_for(RECORDING)
            print(f"from power-on to recording, emulated: {time.monotonic() - begun:.0f} s", flush=True)
            first.wait_for(BOOTED)
            time.sleep(CALM_S)
            sent = _send(first)
            time.sleep(SETTLE_S)
            first.power_off()
        is_refused = _is_damage_refused(image, disk, folder)
        archive = machine.recorded(disk, folder)
        proof = prove(archive, sent)
        print(f"{len(sent)} calls, {proof.packets} packets, {proof.samples} samples compared")
        problems = [problem for problem in proof.problems if not problem.startswith("run: ")]
        for problem in problems:
            print(f"  WRONG: {problem}")
        verified = subprocess.run([ROKUBOX, "verify", "--archive", archive], check=False)
        print(f"a damaged system is {'not ' * (not is_refused)}refused")
        return int(bool(problems) or verified.returncode != 0 or not is_refused)


def _is_damage_refused(image: Path, disk: Path, folder: Path) -> bool:
    """Whether a system of which some bytes were changed does not start, and the machine begins anew."""
    machine.damage(disk, image)
    with machine.switched_on(disk, folder, "damaged") as damaged:
        damaged.wait_off()
        return "is corrupted" in damaged.console() and RECORDING not in damaged.console()


def _send(box: Machine) -> list[Call]:
    """Show the plan's calls to the mirror port, each frame at its time."""
    calls: list[Call] = []
    begun_ns = time.monotonic_ns()
    frames = (PLAN.frames(line, calls.append, lambda: False) for line in range(PLAN.lines))
    for at_ns, octets in heapq.merge(*frames):
        ahead_ns = begun_ns + at_ns - time.monotonic_ns()
        if ahead_ns > 0:
            time.sleep(ahead_ns / 1e9)
        box.send(octets)
    return calls


if __name__ == "__main__":
    sys.exit(main())
