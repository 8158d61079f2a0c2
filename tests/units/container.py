"""A container that boots the tree with systemd as its first process; its mirror port `span0` has a cable of its own."""

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.crash.span import SWITCH_PORT, Span

MANAGEMENT, OUTSIDE = "mgmt0", "m0"
"""The management port, and what it is plugged into."""
_LIMIT_S = 120.0
# systemd 252 in the container wants the unified hierarchy of control groups; a host may have another one.
_BOOT = """
if [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then
  umount -l /sys/fs/cgroup 2>/dev/null || true
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes
exec systemd-nspawn --quiet --boot --register=no --keep-unit --console=pipe --link-journal=no "$@"
"""
# What a container may not and a machine may: lock memory, ask whether the clock is synchronised.
_AS_A_MACHINE = ("--capability=CAP_IPC_LOCK", "--system-call-filter=clock_adjtime")


class Container:
    """The container, while it runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", where: Span, archive: Path) -> None:
        self.where = where
        """The network of the switch's end of the cable."""
        self.archive = archive
        """/var/lib/rokubox, seen from outside."""
        self._process = process
        self._init = 0

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in it and return what it prints."""
        self._init = self._init or _init_of(self._process.pid)
        told = subprocess.run(
            ["nsenter", "--target", str(self._init), "--all", *command],
            check=False,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
        assert not check or told.returncode == 0, f"{' '.join(command)}: {told.stdout}{told.stderr}"
        return told.stdout.strip()

    def succeeds(self, *command: str) -> bool:
        """Whether a command ends well."""
        try:
            self.run(*command)
        except AssertionError:
            return False
        return True

    def write(self, path: str, text: str) -> None:
        """Write a file in it, and make its folder."""
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && printf %s "$2" >"$1"', "write", path, text)

    def shows(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit)

    def pid(self, unit: str) -> int:
        """Process number of a service, in the container; 0 when there is none."""
        return int(self.shows(unit, "MainPID"))

    def signal(self, unit: str, name: str) -> None:
        """Send a signal to a service's main process."""
        self.run("systemctl", "kill", "--kill-whom=main", f"--signal={name}", unit)

    def restarts(self, unit: str) -> int:
        """How often the manager has started it again."""
        return int(self.shows(unit, "NRestarts"))

    def wait_active(self, *units: str) -> None:
        """Until all are there and say that they work."""
        wait_until(lambda: all(self.is_active(unit) for unit in units), self.log)

    def is_active(self, unit: str) -> bool:
        """Whether it says that it works."""
        return self.run("systemctl", "is-active", unit, check=False) == "active"

    def log(self, lines: int = 60) -> str:
        """The journal's end."""
        return self.run("journalctl", "--boot", "--no-pager", "--output=short-monotonic", f"--lines={lines}")

    def power_off(self) -> None:
        """As a technician would."""
        self.run("systemctl", "poweroff", check=False)
        self._process.wait(_LIMIT_S)

    def replug(self) -> None:
        """Take the mirror port's adapter out, and put another one in."""
        self.run("ip", "link", "delete", "span0")
        peer = ["peer", "name", "span0", "netns", str(self._init)]
        subprocess.run(
            ["ip", "-n", self.where.name, "link", "add", SWITCH_PORT, "type", "veth", *peer],
            check=True,
            timeout=_LIMIT_S,
        )
        switch_on(self.where)


@contextlib.contextmanager
def booted(tree: Path, archive: Path) -> Iterator[Container]:
    """Boots the tree; the container is gone at the context's end whatever happens."""
    where = Span(name=f"units{secrets.token_hex(3)}")
    subprocess.run(["ip", "netns", "add", where.name], check=True)
    try:
        options = [f"--directory={tree}", f"--bind={archive}:/var/lib/rokubox"]
        cable = ["--private-network", f"--network-veth-extra={SWITCH_PORT}:span0"]
        cable += [f"--network-veth-extra={OUTSIDE}:{MANAGEMENT}"]
        command = ["unshare", "--mount", "--propagation=private", "bash", "-euc", _BOOT, "boot"]
        process = subprocess.Popen(
            where.within(*command, *options, *cable, *_AS_A_MACHINE),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            container = Container(process, where, archive)
            wait_until(lambda: _init_of(process.pid) > 0, lambda: "the container does not begin")
            container.wait_active("dbus.service" if (tree / "usr/bin/dbus-daemon").exists() else "basic.target")
            switch_on(where)
            yield container
        finally:
            _end(process)
    finally:
        subprocess.run(["ip", "netns", "delete", where.name], check=True)


def switch_on(where: Span) -> None:
    """Set the switch's end of the cable up."""
    subprocess.run(["ip", "-n", where.name, "link", "set", SWITCH_PORT, "arp", "off", "up"], check=True)


def wait_until(happened: Callable[[], bool], otherwise: Callable[[], str], limit_s: float = _LIMIT_S) -> None:
    """Waits for something that has to happen."""
    deadline = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.1)


def _init_of(nspawn: int) -> int:
    """The container's first process, seen from outside; 0 while there is none."""
    for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{child}/status").read_text()
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
            if numbers[-1] == "1" and Path(f"/proc/{child}/exe").resolve().name == "systemd":
                return int(child)
    return 0


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)  # halts it
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LIMIT_S)
    if process.poll() is None:
        init = _init_of(process.pid)
        if init:
            os.kill(init, signal.SIGKILL)
        process.kill()
        process.wait()
