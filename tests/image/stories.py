"""What the emulated box must do, one story each; all of one disk, in this order."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.calls import Plan
from tests.image import hang, machine, medium
from tests.image.machine import Machine, wait_until
from tests.image.shell import Shell
from tests.image.stand import Stand
from tests.units.stories import ASSEMBLE, CAPTURE
from tests.units.story import Story

RECORDING = "device span0 entered promiscuous mode"
"""What the kernel says when capture has opened its ring."""
FIRST = Plan(lines=1, seed=3, shortest_s=8, longest_s=8, rounds=1)
MORE = Plan(lines=5, seed=11, shortest_s=6, longest_s=10, rounds=2, first=10)
AFTER_RESET = Plan(lines=3, seed=12, shortest_s=6, longest_s=8, rounds=1, first=20)
WHILE_HUNG = {
    unit: Plan(lines=3, seed=13, shortest_s=10, longest_s=14, rounds=2, first=first)
    for unit, first in ((ASSEMBLE, 30), (CAPTURE, 40))
}
CALM_S = 20.0
"""What an emulated machine that begins is shown, it does not take from its network port in time."""
_HUNG_S = 300.0
_PROBLEMS_SHOWN = 5


@dataclass(slots=True)
class Steps:
    """What a technician does, from the stick with the image to the first verified recording."""

    done: list[str] = field(default_factory=list)

    def do(self, what: str) -> None:
        """He does something."""
        self.done.append(what)
        print(f"  step {len(self.done)}: {what}", flush=True)


@dataclass(slots=True)
class Times:
    """What is measured; seconds."""

    flashed_s: float = 0.0
    """To write the image and to read it back."""
    recording_s: float = 0.0
    """From power-on."""
    first_verified_s: float = 0.0
    """From power-on to the NOC's knowing of a first whole recording, the call of 8 s included."""
    back_s: float = 0.0
    """From the kernel's hanging to recording."""


def first_boot(stand: Stand, box: Machine, begun: float, times: Times, steps: Steps) -> Story:
    """The box takes its configuration from the stick, is seen by the NOC, and records a first call."""
    story = Story(title="first boot with a medium, first call")
    box.wait_for(RECORDING)
    times.recording_s = time.monotonic() - begun
    story.done.append(f"records {times.recording_s:.0f} s after power-on")
    stand.wait_for("info")
    wait_until(lambda: bool(medium.answer(stand.stick)), box.console)
    told = medium.answer(stand.stick).splitlines()[0]
    story.done.append(f"stick: {told}")
    story.expect(told == "rokubox: accepted", medium.answer(stand.stick))
    story.done.append(f"NOC: online over TLS {time.monotonic() - begun:.0f} s after power-on")
    time.sleep(CALM_S)
    steps.do("make a call")
    stand.show(box, FIRST)
    summary = stand.wait_for("call/summary")[0]
    times.first_verified_s = time.monotonic() - begun
    story.expect(summary["outcome"] == "recorded", f"the first call: {summary}")
    stand.wait_for("ledger/checkpoint")
    return story


def more_calls(stand: Stand, box: Machine) -> Story:
    """Calls at a time; the NOC hears of each."""
    story = Story(title=f"{MORE.lines} calls at a time, telemetry")
    _show(story, stand, box, MORE)
    ports = stand.wait_for("health")[-1]["ports"]
    story.done.append(f"NOC: {len(stand.heard('health'))} x health, {len(stand.heard('call/summary'))} x call/summary")
    story.expect([port["interface"] for port in ports] == ["span0"], f"health: {ports}")
    return story


def share(stand: Stand) -> Story:
    """A customer's computer fetches the recordings over SMB; nobody gets in without the password."""
    story = Story(title="recordings fetched over SMB")
    fetched = stand.fetch()
    recordings = sorted(path.name for path in fetched.rglob("*.zip"))
    story.done.append(f"{len(recordings)} recordings, {len(stand.sent)} calls")
    story.expect(len(recordings) == len(stand.sent), f"fetched: {recordings}")
    story.expect(stand.is_shut_out(), "whoever does not know the password reads them as well")
    return story


def self_test(stand: Stand) -> Story:
    """The NOC asks for a self-test, and gets a verdict."""
    story = Story(title="self-test, asked for over MQTT")
    stand.ask("selftest")
    wait_until(lambda: bool(_self_tests(stand)), lambda: f"no verdict: {stand.heard('test/result')}")
    result = _self_tests(stand)[-1]
    states = {step["step"]: step["state"] for step in result["steps"]}
    story.done.append(f"{result['outcome']}, exit code {result['exit_code']}, to act: {result['domains'] or 'nobody'}")
    story.done.append(", ".join(f"{step} {state}" for step, state in states.items()))
    story.expect(states.get("pipeline") == "ok", f"the known call: {stand.heard('test/result')}")
    return story


def _self_tests(stand: Stand) -> list[dict[str, Any]]:
    """Results of the whole ladder; the known call in it is told of by itself before."""
    return [result for result in stand.heard("test/result") if result["test"] == "selftest"]


def hung_kernel(stand: Stand, box: Machine, times: Times) -> Story:
    """The kernel hangs with all its processors: the hardware's watchdog begins the machine anew, and it records."""
    story = Story(title="the kernel hangs")
    said, online = box.console().count(RECORDING), len(stand.heard("info"))
    begun = time.monotonic()
    hang.hang(stand.folder)
    box.wait_for("Linux version", times=box.console().count("Linux version") + 1)
    story.done.append(f"the watchdog (i6300esb) begins the machine anew after {time.monotonic() - begun:.0f} s")
    box.wait_for(RECORDING, times=said + 1)
    times.back_s = time.monotonic() - begun
    story.done.append(f"records after {times.back_s:.0f} s")
    stand.wait_for("info", online + 1)
    time.sleep(CALM_S)
    _show(story, stand, box, AFTER_RESET)
    return story


def hung_services(stand: Stand, box: Machine, root: Shell) -> Story:
    """Capture and assembly stand still (SIGSTOP) under calls: the watchdog brings them back, nothing is missing."""
    story = Story(title="services that hang")
    box.wait_for(RECORDING)
    wait_until(lambda: all(_is_active(root, unit) for unit in (CAPTURE, ASSEMBLE)), box.console)
    time.sleep(CALM_S)
    for unit, plan in WHILE_HUNG.items():
        before = int(root.run(f"systemctl show --property NRestarts --value {unit}"))
        begun = time.monotonic()
        root.run(f"systemctl kill --kill-whom=main --signal=STOP {unit}")
        _show(story, stand, box, plan)

        def is_back(unit: str = unit, before: int = before) -> bool:
            restarts = int(root.run(f"systemctl show --property NRestarts --value {unit}"))
            return restarts > before and _is_active(root, unit)

        wait_until(is_back, box.console, _HUNG_S)
        told = root.run(f"journalctl --boot --unit {unit} --output cat | grep 'Watchdog timeout' | tail -n 1")
        story.done.append(f"{unit}: {told.split('!')[0]}; back after {time.monotonic() - begun:.0f} s at most")
        story.expect(bool(told), f"{unit}: no watchdog")
    failed = root.run("systemctl list-units --failed --no-legend --plain")
    story.expect(not failed, f"failed units: {failed}")
    return story


def damaged_system(stand: Stand, disk: Path) -> Story:
    """A system of which some bytes were changed does not start."""
    story = Story(title="a damaged system")
    machine.damage(disk)
    with machine.switched_on(disk, stand.folder, "damaged") as damaged:
        damaged.wait_off()
        story.expect("is corrupted" in damaged.console(), damaged.console()[-2000:])
        story.expect(RECORDING not in damaged.console(), "it records")
    story.done.append("is refused, and the machine begins anew")
    return story


def _show(story: Story, stand: Stand, box: Machine, plan: Plan) -> None:
    """Show calls, and wait until the NOC has heard of each."""
    before = len(stand.heard("call/summary"))
    sent = stand.show(box, plan)
    told = stand.wait_for("call/summary", before + len(sent))[before:]
    story.done.append(f"{len(sent)} calls, {len(told)} in the archive")
    wrong = [summary for summary in told if summary["outcome"] != "recorded"]
    story.problems += [f"call: {summary}" for summary in wrong[:_PROBLEMS_SHOWN]]


def _is_active(root: Shell, unit: str) -> bool:
    return root.run(f"systemctl is-active {unit} || true") == "active"
