"""`make test-image-update`: an emulated box is updated, with what is good and with what is not.

Bundles come on sticks and over the network, asked for by the NOC. What is damaged or signed by others is refused before
anything is written; what does not work is given up after three starts, and the reason is told.
"""

import argparse
import contextlib
import functools
import http.server
import json
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.firmware.mediumanswer import NAME as ANSWER
from tests.crash.calls import Plan
from tests.crash.proof import prove
from tests.image import machine, medium, shell, versions
from tests.image.machine import Fittings, Machine, wait_until
from tests.image.shell import Shell
from tests.image.stand import HOST, KEYS, Stand, stand
from tests.image.stories import CALM_S, FIRST, RECORDING
from tests.units.story import Story, is_proven

ROKUBOX = Path(sys.executable).with_name("rokubox")
NEXT, BROKEN, DAMAGED = "0.2.0", "0.3.0", "0.4.0"
CALLS = Plan(lines=3, seed=21, shortest_s=6, longest_s=8, rounds=1)
STATUS = "/var/lib/rokubox-update/status.json"
LIMIT_S = 2400.0
STORIES = ("refused", "good", "broken", "damaged")
_MB = 1_000_000


@dataclass(slots=True, kw_only=True)
class Box:
    """The box, its root's shell, and whoever asks it."""

    here: Stand
    machine: Machine
    root: Shell
    figures: list[tuple[str, str]] = field(default_factory=list)

    def status(self) -> dict[str, Any]:
        """How its update stands; nothing while it restarts."""
        try:
            self.root.begin()
            told: dict[str, Any] = json.loads(self.root.run(f"cat {STATUS}"))
        except (AssertionError, ValueError):
            return {}
        return told

    def wait_for(self, version: str, *states: str) -> dict[str, Any]:
        """Until the update to a version stands in one of these states."""
        found: dict[str, Any] = {}

        def is_so() -> bool:
            nonlocal found
            found = self.status()
            return found.get("state") in states and found.get("version", "") == version

        wait_until(is_so, lambda: f"not {states}: {found}\n{self.machine.console()[-3000:]}", LIMIT_S)
        return found

    def runs(self) -> str:
        """Slot and version that run."""
        arguments = dict(word.partition("=")[::2] for word in self.root.run("cat /proc/cmdline").split())
        return f"{arguments['rokubox.slot']} {self.root.run('rokubox --version').split()[-1]}"

    def records(self, story: Story) -> None:
        """Show calls, and see that each is recorded."""
        time.sleep(CALM_S)
        before = len(self.here.heard("call/summary"))
        sent = self.here.show(self.machine, CALLS)
        told = self.here.wait_for("call/summary", before + len(sent))[before:]
        story.done.append(f"{len(sent)} calls shown, {sum(one['outcome'] == 'recorded' for one in told)} recorded")
        story.problems += [f"call: {one}" for one in told if one["outcome"] != "recorded"]

    def told_of(self, story: Story, version: str, *states: str) -> None:
        """See that the NOC has heard of these states."""
        heard = [event["facts"] for event in self.here.heard("event/update")]
        found = [fact["state"] for fact in heard if fact.get("version") == version]
        story.done.append(f"NOC, event/update: {', '.join(found)}")
        story.problems += [f"the NOC was not told: {state}" for state in states if state not in found]

    def alarm(self, reason: str) -> dict[str, Any]:
        """The alarm that says why, as the NOC has heard it."""

        def found() -> list[dict[str, Any]]:
            with self.here.noc.news:
                payloads = [payload for topic, payload, *_ in self.here.noc.messages if payload and "/alarm/" in topic]
            told = map(json.loads, payloads)
            return [one for one in told if one["type"] == "update_failed" and one["facts"].get("reason") == reason]

        wait_until(lambda: bool(found()), lambda: f"no alarm update_failed with reason {reason}")
        return found()[-1]


def main() -> int:
    """1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("built", type=Path, help="folder of `make image`")
    parser.add_argument("keys", type=Path, help="folder of `make keys`")
    parser.add_argument("--only", nargs="*", choices=STORIES, default=STORIES, help="these stories only")
    arguments = parser.parse_args()
    if reason := machine.why_not():
        print(f"not possible: {reason}")
        return 1
    begun = time.monotonic()
    built, keys, only = arguments.built, arguments.keys, set(arguments.only)
    with tempfile.TemporaryDirectory(prefix="update", dir=built) as name:
        folder = Path(name).absolute()
        bundles = _bundles(built, keys, folder, only)
        print(f"bundles made after {time.monotonic() - begun:.0f} s", flush=True)
        with _served(folder) as (port, serve):
            more = f'\n[update]\nsources = ["https://{HOST}:{port}/"]\nca_file = "{KEYS}/noc-ca.pem"\n'
            with stand(folder, ("selftest", "update"), more) as here:
                serve(here)
                proven, figures = _told(here, built, bundles, only, f"https://{HOST}:{port}")
    for what, figure in [*figures, ("all of this", f"{(time.monotonic() - begun) / 60:.0f} min")]:
        print(f"{what:<60} {figure}")
    return int(not all(proven))


def _bundles(built: Path, keys: Path, folder: Path, only: set[str]) -> dict[str, Path]:
    """What the box is offered, by name, as far as it is wanted."""
    found = {"good": versions.bundle(built, folder / "next", keys, NEXT)}
    if "broken" in only:
        found["broken"] = versions.bundle(built, folder / "broken", keys, BROKEN, _break)
    if "refused" in only:
        found["corrupt"] = versions.damaged(found["good"], folder / "corrupt.raucb")
        found["others"] = versions.signed(folder / "next", versions.other_keys(folder / "others"), "0.9.0")
    if "damaged" in only:
        # A root of which some bytes are others than its hashes say: rightly signed, and it does not start.
        with (folder / "next/input/root.verity").open("r+b") as file:
            file.seek(64)
            file.write(b"\xa5" * 32)
        found["damaged"] = versions.signed(folder / "next", keys, DAMAGED)
    return found


def _break(tree: Path) -> None:
    """A version whose assembly ends at once; its trial is shorter than that of others."""
    units = tree / "usr/lib/systemd/system"
    versions.rewrite(
        units / "rokubox-assemble.service",
        lambda text: text.replace("ExecStart=/usr/lib/rokubox/bin/rokubox-assemble", "ExecStart=/bin/false"),
    )
    versions.rewrite(
        units / "rokubox-trial.service", lambda text: text.replace("--trial", "--trial --steady-s 20 --limit-s 60")
    )


def _told(
    here: Stand, built: Path, bundles: dict[str, Path], only: set[str], url: str
) -> tuple[list[bool], list[tuple[str, str]]]:
    """Tells the stories; whether each is proven, and what was measured."""
    disk = machine.fresh_disk(built / "rokubox.img", here.folder)
    machine.add_kernel_arguments(disk, here.folder, shell.KERNEL_ARGUMENTS)
    arguments = (*machine.USB, *shell.port(here.folder))
    fittings = Fittings(reaches_host=True, begins_anew=True, arguments=arguments)
    with machine.switched_on(disk, here.folder, "box", fittings) as power, shell.opened(here.folder) as root:
        box = Box(here=here, machine=power, root=root)
        proven = [is_proven(lambda: _first_boot(box))]
        if "refused" in only:
            proven.append(is_proven(lambda: _refused(box, bundles["corrupt"], "0.2.0", "damaged")))
            proven.append(is_proven(lambda: _refused(box, bundles["others"], "", "signature")))
        if "good" in only:
            proven.append(is_proven(lambda: _good(box, bundles["good"])))
        if "broken" in only:
            proven.append(is_proven(lambda: _broken(box, f"{url}/broken/{bundles['broken'].name}")))
        if "damaged" in only:
            proven.append(is_proven(lambda: _damaged(box, bundles["damaged"])))
        power.power_off()
    proven.append(is_proven(lambda: _archive(here, disk)))
    return proven, [*box.figures, *((path.name, f"{path.stat().st_size / _MB:.0f} MB") for path in bundles.values())]


def _first_boot(box: Box) -> Story:
    story = Story(title="first boot, with its configuration from a stick")
    box.machine.plug_in("provisioning", box.here.stick)
    box.machine.wait_for(RECORDING)
    box.here.wait_for("info")
    wait_until(lambda: bool(medium.answer(box.here.stick)), box.machine.console)
    box.machine.pull_out("provisioning")
    time.sleep(CALM_S)
    box.here.show(box.machine, FIRST)
    story.expect(box.here.wait_for("call/summary")[0]["outcome"] == "recorded", "the first call")
    story.done.append(f"runs {box.runs()}; slots: {_slots(box)}")
    return story


def _refused(box: Box, bundle: Path, version: str, reason: str) -> Story:
    """What is not right is refused, and the other slot stays as it was."""
    story = Story(title=f"a bundle that is refused: {reason}")
    checksum = "dd if=/run/rokubox/slots/root-b bs=1M count=64 status=none | sha256sum; rokubox --version"
    before = box.root.run(checksum)
    stick = medium.with_file(box.here.folder / f"{reason}.img", bundle)
    box.machine.plug_in(reason, stick)
    begun = time.monotonic()
    alarm = box.alarm(reason)
    story.done.append(
        f"refused after {time.monotonic() - begun:.0f} s; alarm {alarm['number']}: {alarm['facts']['detail']}"
    )
    wait_until(lambda: bool(medium.answer(stick, ANSWER)), box.machine.console)
    box.machine.pull_out(reason)
    story.done.append("stick: " + " | ".join(medium.answer(stick, ANSWER).splitlines()))
    story.expect(box.root.run(checksum) == before, "the other slot was written to")
    story.expect("A 0.1.0" in box.runs(), box.runs())
    story.expect(box.status().get("state") == "refused", f"{box.status()}")
    story.expect(version in ("", box.status().get("version") or version), "another version")
    stick.unlink()
    return story


def _good(box: Box, bundle: Path) -> Story:
    """The next version on a stick: installed, judged, marked good; the stick stays in, and changes nothing more."""
    story = Story(title=f"update to {NEXT} from a stick")
    stick = medium.with_file(box.here.folder / "good.img", bundle)
    begun = time.monotonic()
    box.machine.plug_in("good", stick)
    status = box.wait_for(NEXT, "good", "rolled_back", "refused", "failed")
    took_s = time.monotonic() - begun
    story.expect(status["state"] == "good", f"{status}")
    gap_s = (status["records_ns"] - status["stops_ns"]) / 1e9
    box.figures += [
        ("stick to a new version that is marked good, emulated", f"{took_s:.0f} s"),
        ("of that not recorded, emulated", f"{gap_s:.0f} s"),
    ]
    story.done.append(
        f"good after {took_s:.0f} s, not recorded for {gap_s:.0f} s; runs {box.runs()}; slots: {_slots(box)}"
    )
    story.expect(box.runs() == f"B {NEXT}", box.runs())
    box.records(story)
    box.told_of(story, NEXT, "installing", "restarting", "on_trial", "good")
    story.done.append("outage ledger: " + box.root.run("cat /var/lib/rokubox/agent/outages.jsonl").replace("\n", " "))
    story.expect("ended" in story.done[-1], "no planned outage that has ended")
    wait_until(lambda: "正常に動作" in medium.answer(stick, ANSWER), lambda: medium.answer(stick, ANSWER))
    story.done.append("stick: " + " | ".join(medium.answer(stick, ANSWER).splitlines()))
    box.machine.pull_out("good")
    stick.unlink()
    return story


def _broken(box: Box, url: str) -> Story:
    """A version whose assembly does not stay up, asked for by the NOC: three starts, and the one before is back."""
    story = Story(title=f"update to {BROKEN} over MQTT, which does not work")
    runs, begun = box.runs(), time.monotonic()
    starts = box.machine.console().count("Linux version")
    box.here.ask("update", url="https://elsewhere.example/x.raucb")
    box.here.ask("update", url=url)
    status = box.wait_for(BROKEN, "good", "rolled_back", "refused", "failed")
    took_s, starts = time.monotonic() - begun, box.machine.console().count("Linux version") - starts
    story.expect((status["state"], status["reason"]) == ("rolled_back", "unstable"), f"{status}")
    story.expect(len(status["attempts"]) == 3, f"{status['attempts']}")
    story.expect(box.runs() == runs, box.runs())
    box.figures.append(("a broken version given up after three starts, emulated", f"{took_s:.0f} s"))
    alarm = box.alarm("unstable")
    story.done.append(f"{took_s:.0f} s, {starts} starts; runs {box.runs()}; slots: {_slots(box)}")
    story.done.append(f"alarm {alarm['number']}: {alarm['facts']['reason']}: {alarm['facts']['detail']}")
    box.told_of(story, BROKEN, "restarting", "rolled_back")
    box.records(story)
    return story


def _damaged(box: Box, bundle: Path) -> Story:
    """A version whose root is not what its hashes say: it never starts."""
    story = Story(title=f"update to {DAMAGED}, whose root is damaged")
    runs, begun = box.runs(), time.monotonic()
    starts = box.machine.console().count("Linux version")
    stick = medium.with_file(box.here.folder / "damaged.img", bundle)
    box.machine.plug_in("damaged", stick)
    status = box.wait_for(DAMAGED, "good", "rolled_back", "refused", "failed")
    took_s, starts = time.monotonic() - begun, box.machine.console().count("Linux version") - starts
    story.expect((status["state"], status["reason"]) == ("rolled_back", "did_not_boot"), f"{status}")
    story.expect(box.runs() == runs, box.runs())
    box.figures.append(("a root that does not start given up, emulated", f"{took_s:.0f} s"))
    alarm = box.alarm("did_not_boot")
    story.done.append(f"{took_s:.0f} s, {starts} starts; runs {box.runs()}; slots: {_slots(box)}")
    story.done.append(f"alarm {alarm['number']}: {alarm['facts']['reason']}")
    wait_until(lambda: "did_not_boot" in medium.answer(stick, ANSWER), lambda: medium.answer(stick, ANSWER))
    story.done.append("stick: " + " | ".join(medium.answer(stick, ANSWER).splitlines()))
    box.records(story)
    return story


def _slots(box: Box) -> str:
    """What RAUC says of the slots."""
    told = json.loads(box.root.run("rauc status --output-format=json 2>/dev/null"))
    slots = [slot for each in told["slots"] for name, slot in each.items() if name.startswith("boot.")]
    return f"{told['boot_primary']} first; " + ", ".join(f"{slot['bootname']} {slot['boot_status']}" for slot in slots)


def _archive(here: Stand, disk: Path) -> Story:
    """Every call of every version is in the archive with every sample."""
    story = Story(title="every sample of every call")
    archive = machine.recorded(disk, here.folder)
    proof = prove(archive, here.sent)
    story.done.append(f"{len(here.sent)} calls, {proof.packets} packets, {proof.samples} samples compared")
    story.problems += [problem for problem in proof.problems if not problem.startswith("run: ")]
    verified = subprocess.run([ROKUBOX, "verify", "--archive", archive], check=False, capture_output=True, text=True)
    story.expect(verified.returncode == 0, f"{verified.stdout}{verified.stderr}")
    story.problems += list(here.malformed())[:3]
    return story


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[tuple[int, Any]]:
    """A folder over HTTPS, as soon as somebody vouches for it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)

        def serve(here: Stand) -> None:
            certificate, key = here.authority.issue("updates", HOST)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            thread.start()

        try:
            yield server.server_address[1], serve
        finally:
            if thread.is_alive():
                server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
