"""A Debian 12 with the product installed in it, as on any server: a folder that a container boots from."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
WORK = REPOSITORY / "build" / "units"
PACKAGES = ("systemd", "systemd-sysv", "udev", "python3", "iproute2", "nftables", "tzdata", "smartmontools")
"""What a server has, and what it takes to run the product; nothing to build it."""
_TOOLS = ("mmdebstrap", "systemd-nspawn", "ip", "unshare", "nsenter", "sshd")


def why_not() -> str:
    """What keeps a tree from being made and booted here; empty when nothing does."""
    if os.geteuid() != 0:
        return "a container is booted by root"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return f"not installed: {' '.join(missing)} (see packages.apt)" if missing else ""


def make() -> Path:
    """Make the tree: Debian once and kept, the product anew each time."""
    WORK.mkdir(parents=True, exist_ok=True)
    packages = ",".join(PACKAGES)
    base = WORK / f"debian-{hashlib.sha256(packages.encode()).hexdigest()[:12]}.tar"
    if not base.exists():
        draft = base.with_suffix(".tmp.tar")
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", "bookworm", str(draft)]
        subprocess.run(command, check=True)
        draft.rename(base)
    tree = WORK / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    subprocess.run(["tar", "-C", str(tree), "-xf", str(base)], check=True)
    subprocess.run(["make", "--silent", "install", f"DESTDIR={tree}"], cwd=REPOSITORY, check=True)
    shutil.copy(REPOSITORY / "systemd" / "activate", tree / "root")
    subprocess.run(["systemctl", "--quiet", f"--root={tree}", "enable", "systemd-networkd"], check=True)
    return tree
