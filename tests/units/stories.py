"""What the booted services must do, one story each."""

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.crash.calls import Plan
from tests.crash.chronicle import Chronicle
from tests.crash.proof import prove
from tests.crash.span import SWITCH_PORT, Sender
from tests.units.container import MANAGEMENT, OUTSIDE, Container, wait_until
from tests.units.story import Story

CAPTURE, ASSEMBLE = "rokubox-capture.service", "rokubox-assemble.service"
CONFIGURATION = "/etc/rokubox/rokubox.toml"
PLAN = Plan(lines=10, seed=7, shortest_s=4, longest_s=8)
ERRANDS = ("retention", "scrub", "disk", "backup")


def activated(container: Container) -> Story:
    """What `make install` does at its end leaves services that begin with the next boot, and none before."""
    story = Story(title="installed")
    container.run("/root/activate")
    for unit in ("rokubox.target", CAPTURE, ASSEMBLE, "rokubox-agent.service", "rokubox-upload.service"):
        story.expect(container.run("systemctl", "is-enabled", unit, check=False) == "enabled", f"{unit} is not enabled")
        story.expect(not container.is_active(unit), f"{unit} was started")
    return story


def first_boot(container: Container) -> Story:
    """A medium's configuration is taken when it is right, answered on the medium, and taken once."""
    story = Story(title="configuration and keys from a medium")
    unit, mount = "rokubox-firstboot.service", "run-rokubox-medium.mount"
    container.run("mkdir", "-p", "/root/medium/keys")
    # In place of a stick, which a container cannot have.
    container.write(f"/run/systemd/system/{mount}.d/test.conf", "[Mount]\nWhat=/root/medium\nOptions=bind\n")
    container.run("systemctl", "daemon-reload")
    good = container.run("cat", CONFIGURATION) + '\n[site]\nsite = "osaka"\n'
    for text, taken in ((good + "mistyped = 1\n", False), (good, True), (good + 'serial = "1"\n', False)):
        container.write("/root/medium/rokubox.toml", text)
        container.run("systemctl", "start", unit, check=False)
        wait_until(lambda: not container.is_active(mount), container.log)
        is_there = container.run("cat", CONFIGURATION) == text.strip()
        story.expect(is_there == taken, f"taken: {is_there}, expected: {taken}; {text}")
        told = container.run("head", "-n", "1", "/root/medium/rokubox-result.txt").strip()
        story.done.append(told)
    return story


def boot(container: Container, begun_s: float) -> Story:
    """The services are there by themselves, as the users and with the rights that they are to have."""
    story = Story(title="boots, and records by itself")
    container.wait_active("rokubox.target", CAPTURE, ASSEMBLE, "rokubox-agent", "rokubox-upload")
    story.done.append(f"from the container's start to recording: {time.monotonic() - begun_s:.1f} s")
    failed = container.run("systemctl", "list-units", "--failed", "--plain", "--no-legend")
    story.expect(not failed, f"failed units: {failed}")
    _expect_confined(story, container, CAPTURE, "rokubox-capture", "0000000000002000")
    for name in ("assemble", "agent", "upload"):
        _expect_confined(story, container, f"rokubox-{name}.service", f"rokubox-{name}", "0" * 16)
    story.expect("SCHED_FIFO" in container.run("chrt", "-p", str(container.pid(CAPTURE))), "capture is not SCHED_FIFO")
    wait_until(lambda: _is_silent(container), container.log)
    return story


def replugged(container: Container) -> Story:
    """A mirror port whose adapter is plugged in again is silent and recorded from again, by udev alone."""
    story = Story(title="the mirror port's adapter taken out and put in, without systemd-networkd")
    container.run("systemctl", "stop", "systemd-networkd.socket", "systemd-networkd.service")
    before = container.restarts(CAPTURE)
    container.replug()
    begun = time.monotonic()
    wait_until(lambda: _is_silent(container), container.log)
    seen = "span0: captured from again"
    wait_until(lambda: seen in container.run("journalctl", "--boot", "--unit", CAPTURE, "--output=cat"), container.log)
    story.done.append(f"up without address and ARP, and recorded from: after {time.monotonic() - begun:.1f} s")
    properties = container.run("udevadm", "info", "--query=property", "/sys/class/net/span0")
    story.expect("NM_UNMANAGED=1" in properties.splitlines(), "NetworkManager would take it")
    story.expect(container.restarts(CAPTURE) == before, "capture was restarted")
    container.run("systemctl", "start", "systemd-networkd.service")
    return story


def _is_silent(container: Container) -> bool:
    """Whether the mirror port is up, and cannot send."""
    port = json.loads(container.run("ip", "-json", "address", "show", "span0", check=False) or "[{}]")[0]
    ipv6 = container.run("cat", "/proc/sys/net/ipv6/conf/span0/disable_ipv6", check=False)
    return {"UP", "NOARP"} <= set(port.get("flags", ())) and not port["addr_info"] and ipv6 == "1"


def _expect_confined(story: Story, container: Container, unit: str, user: str, capabilities: str) -> None:
    """A service runs as its user, with these capabilities (/proc/PID/status) and behind a filter of system calls."""
    lines = container.run("cat", f"/proc/{container.pid(unit)}/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    uid = container.run("id", "-u", user)
    story.expect(status["Uid"].split() == [uid] * 4, f"{unit} runs as {status['Uid']}, not {user}")
    found = {name: status[name] for name in ("CapPrm", "CapEff", "CapBnd")}
    story.expect(set(found.values()) == {capabilities}, f"{unit}: {found}")
    story.expect((status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), f"{unit} is not confined")


def calls(container: Container, folder: Path) -> Story:
    """Capture and assembly are killed and stopped under calls: the manager brings them back, and nothing is missing."""
    story = Story(title=f"killed and stalled under {PLAN.lines} calls at a time")
    container.write(f"/run/systemd/system/{ASSEMBLE}.d/test.conf", "[Service]\nWatchdogSec=5s\n")
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "restart", ASSEMBLE)
    container.wait_active(CAPTURE, ASSEMBLE)
    with Sender(container.where, PLAN, folder) as sender, Chronicle(container.archive) as chronicle:
        sender.begin()
        time.sleep(1)
        for units, name in (
            ((CAPTURE,), "KILL"),
            ((ASSEMBLE,), "KILL"),
            ((CAPTURE, ASSEMBLE), "KILL"),
            ((CAPTURE,), "STOP"),
            ((ASSEMBLE,), "STOP"),
            ((CAPTURE,), "KILL"),
        ):
            story.done.append(_harm(container, units, name))
        begun = time.monotonic()
        container.run("systemctl", "restart", "rokubox.target")
        container.wait_active(CAPTURE, ASSEMBLE)
        story.done.append(f"restarted by an administrator: back after {time.monotonic() - begun:.1f} s")
        sender.finish()
        sent = sender.calls()
        wait_until(lambda: len(list((container.archive / "calls").rglob("*.json"))) >= len(sent), container.log)
        time.sleep(2)  # what a call still takes after its end has to be over
        container.run("systemctl", "stop", CAPTURE, ASSEMBLE)
    story.done.append(chronicle.summary())
    proof = prove(container.archive, sent, dropped=chronicle.dropped)
    story.done.append(f"{len(sent)} calls, {proof.packets} packets, {proof.samples} samples compared")
    story.problems += [problem for problem in proof.problems if not problem.startswith("run: ")]
    verified = container.run("rokubox", "verify", "--config", CONFIGURATION)
    story.done.append(f"rokubox verify: {verified.splitlines()[-1]}")
    for folder_name, group in (("recordings", "rokubox-audio"), ("calls", "rokubox-records")):
        others = container.run("find", f"/var/lib/rokubox/{folder_name}", "!", "-group", group)
        story.expect(not others, f"not for {group} to read: {others}")
    statistics = subprocess.run(
        ["ip", "-n", container.where.name, "-json", "-s", "link", "show", SWITCH_PORT], capture_output=True, check=True
    )
    received = json.loads(statistics.stdout)[0]["stats64"]["rx"]["packets"]
    story.expect(received == 0, f"the mirror port has sent {received} frames")
    container.run("systemctl", "start", "rokubox.target", CAPTURE, ASSEMBLE)
    container.wait_active(CAPTURE, ASSEMBLE)
    return story


def _harm(container: Container, units: tuple[str, ...], name: str) -> str:
    """Send services a signal, and wait until the manager has them back."""
    before = {unit: container.restarts(unit) for unit in units}
    begun = time.monotonic()
    for unit in units:
        container.signal(unit, name)

    def are_back() -> bool:
        return all(container.restarts(unit) > count and container.is_active(unit) for unit, count in before.items())

    wait_until(are_back, container.log)
    who = " and ".join(unit.removesuffix(".service") for unit in units)
    return f"SIG{name} to {who}: back after {time.monotonic() - begun:.1f} s"


def upkeep(container: Container) -> Story:
    """What the archive's owner asks for is done by units of their own, and it learns how that went."""
    story = Story(title="scrub, retention, a look at the disk and a backup, as the owner asks for them")
    folder = container.run("mktemp", "-d", "/mnt/backup.XXXXXX")
    container.run("chown", "rokubox-assemble:", folder)
    container.run("sh", "-c", f"printf '\\n[backup]\\ndirectory = \"{folder}\"\\n' >>{CONFIGURATION}")
    for name in ERRANDS:
        _ask(story, container, name)
    _self_test(story, container)
    story.expect((container.archive / "run" / "disk.json").exists(), "nothing was seen of the disk")
    story.expect(bool(container.run("ls", folder)), "there is no backup")
    return story


def _ask(story: Story, container: Container, errand: str) -> None:
    """Ask for an errand as the owner does, and wait until the owner has taken the answer."""
    folder, unit = "/run/rokubox/errands", f"rokubox-{errand}.service"
    container.run("setpriv", "--reuid=rokubox-assemble", "--clear-groups", "touch", f"{folder}/rokubox-{errand}.begin")
    wait_until(lambda: container.shows(unit, "InactiveEnterTimestampMonotonic") != "0", container.log)
    code = container.shows(unit, "ExecMainStatus")
    story.done.append(f"{unit}: exit code {code}")
    story.expect(code == "0", f"{unit} ended with {code}")
    wait_until(lambda: not container.run("ls", folder), container.log)


def firewall(container: Container) -> Story:
    """On the management port nothing comes in but answers, and what is configured."""
    story = Story(title="nothing comes in but answers and what is configured")
    subprocess.run(["ip", "-n", container.where.name, "address", "add", "192.0.2.1/24", "dev", OUTSIDE], check=True)
    subprocess.run(["ip", "-n", container.where.name, "link", "set", OUTSIDE, "up"], check=True)
    container.run("ip", "address", "add", "192.0.2.2/24", "dev", MANAGEMENT)
    container.run("ip", "link", "set", MANAGEMENT, "up")
    container.run("systemd-run", "--unit=listening", "python3", "-m", "http.server", "445")
    wait_until(lambda: _is_let_in(container), container.log)
    container.run("systemctl", "start", "rokubox-firewall")
    story.expect(not _is_let_in(container), "a connection comes in")
    serving = [sys.executable, "-m", "http.server", "8080", "--bind", "192.0.2.1"]
    with subprocess.Popen(
        container.where.within(*serving), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as out:
        ask = "import socket; socket.create_connection(('192.0.2.1', 8080), 2)"
        wait_until(lambda: container.succeeds("python3", "-c", ask), container.log)
        out.kill()
    container.write(
        "/etc/rokubox/firewall.d/share.nft",
        "add element inet rokubox_management services { tcp . 445 }\n"
        "add element inet rokubox_management readers { 192.0.2.0/24 }\n",
    )
    container.run("systemctl", "reload", "rokubox-firewall")
    story.expect(_is_let_in(container), "what is configured does not come in")
    container.run("systemctl", "stop", "listening")
    return story


def _is_let_in(container: Container) -> bool:
    """Whether a connection to the box from its network comes about."""
    ask = "import socket; socket.create_connection(('192.0.2.2', 445), 1)"
    command = container.where.within(sys.executable, "-c", ask)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _self_test(story: Story, container: Container) -> None:
    """Ask for one as the agent does; what it finds in a container that has no way out is no matter."""
    folder, unit = "/run/rokubox/selftest", "rokubox-selftest.service"
    container.run(
        "setpriv",
        "--reuid=rokubox-agent",
        "--regid=rokubox-agent",
        "--clear-groups",
        "touch",
        f"{folder}/rokubox-selftest.begin",
    )
    wait_until(lambda: container.shows(unit, "InactiveEnterTimestampMonotonic") != "0", container.log)
    found = json.loads(container.run("cat", f"{folder}/rokubox-selftest.json"))
    story.done.append(f"{unit}: exit code {container.shows(unit, 'ExecMainStatus')}")
    states = {rung["step"]: (rung["state"], rung["checks"]) for rung in found["ladder"]}
    story.done.append(f"checks: {', '.join(f'{step} {state}' for step, (state, _) in states.items())}")
    story.expect(container.shows("rokubox-testcall.service", "ExecMainStatus") == "0", "no known call was made")
    story.expect(states["pipeline"][0] == "ok", f"the known call: {states['pipeline']}")
    wait_until(lambda: "ended" not in container.run("ls", folder), container.log)


def bad_configuration(container: Container) -> Story:
    """A configuration that cannot be does not keep the machine busy, and recording begins when it is mended."""
    story = Story(title="a configuration that cannot be")
    container.run("cp", "-p", CONFIGURATION, "/root/good.toml")
    container.run("sh", "-c", f"echo nonsense >>{CONFIGURATION}")
    container.run("systemctl", "restart", "--no-block", CAPTURE)
    recovery = "rokubox-recovery@rokubox-capture.service"
    wait_until(lambda: container.shows(recovery, "ActiveState") == "activating", container.log)
    story.done.append(f"given up after {container.restarts(CAPTURE)} restarts within a minute")
    told = container.run("journalctl", "--boot", "-o", "json", "-p", "err", "-t", "rokubox-capture", "-n", "1")
    fields = json.loads(told or "{}")
    story.expect(fields.get("ROKUBOX_EXIT_CODE") == "2", f"the journal says only {fields.get('MESSAGE')}")
    container.run("cp", "-p", "/root/good.toml", CONFIGURATION)
    begun = time.monotonic()
    container.wait_active(CAPTURE)
    story.done.append(f"mended: records again after {time.monotonic() - begun:.0f} s")
    return story
