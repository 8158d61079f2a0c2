"""A network namespace of its own for a test: made by root, empty but for `lo`, gone when the test ends however it ends.

Only the test's thread lives in it. It has /sys for itself too, because what /sys/class/net shows is the namespace of
whoever mounted it. Programs that the test starts (`ip`) live in the same namespace.
"""

import ctypes
import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec

import pytest

P = ParamSpec("P")

CLONE_NEWNS = 0x20000
CLONE_NEWNET = 0x40000000


def in_private_network(test: Callable[P, None]) -> Callable[P, None]:
    """Run a test in a network namespace that nobody else sees; skip it where that cannot be made."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            pytest.skip("network namespaces are made by root with iproute2")
        with ThreadPoolExecutor(1) as thread:
            thread.submit(_entered, lambda: test(*args, **kwargs)).result()

    return run


def _entered(body: Callable[[], None]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | CLONE_NEWNS):
        pytest.skip(f"no network namespaces here: {os.strerror(ctypes.get_errno())}")
    for command in ("mount --make-rprivate /", "mount -t sysfs sysfs /sys", "ip link set dev lo up"):
        subprocess.run(command.split(), check=True)
    body()


def ip(command: str) -> None:
    """`ip` with these words."""
    subprocess.run(["ip", *command.split()], check=True)


def veth(port: str, peer: str, more: str = "") -> None:
    """A pair of interfaces joined by a cable: the mirror port and the switch's end of it, which is set up."""
    ip(f"link add {port} {more} type veth peer name {peer}")
    ip(f"link set dev {peer} up")
