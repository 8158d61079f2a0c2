"""A mirror port with a cable to a sender, in a network namespace of its own that is gone afterwards."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SENDER_PORT, SPAN_PORT = "m0", "s0"
_OFFLOADS = ("rx", "tx", "sg", "tso", "gso", "gro")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The namespace, while it is there."""

    name: str

    def within(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` there."""
        return ["ip", "netns", "exec", self.name, *command]


def why_not() -> str:
    """What keeps the measurement from running here; empty when nothing does."""
    missing = [tool for tool in ("ip", "ethtool", "sysctl", "tcpdump") if shutil.which(tool) is None]
    return f"needed and not installed: {', '.join(missing)}" if missing else ""


@contextlib.contextmanager
def mirror_port() -> Iterator[Span]:
    """Make both, and take them down whatever happens, with every process still running there."""
    span = Span(name=f"bench{secrets.token_hex(3)}")
    _run("ip", "netns", "add", span.name)
    try:
        _run("ip", "-n", span.name, "link", "add", SENDER_PORT, "type", "veth", "peer", "name", SPAN_PORT)
        for port in (SENDER_PORT, SPAN_PORT):
            # Nothing may come over the cable but what is sent on purpose.
            _run(*span.within(["sysctl", "-qw", f"net.ipv6.conf.{port}.disable_ipv6=1"]))
            _run(*span.within(["ethtool", "-K", port, *(word for each in _OFFLOADS for word in (each, "off"))]))
            _run("ip", "-n", span.name, "link", "set", port, "arp", "off", "up")
        yield span
    finally:
        for pid in _run("ip", "netns", "pids", span.name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        _run("ip", "netns", "delete", span.name)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
