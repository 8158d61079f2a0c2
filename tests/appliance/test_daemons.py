"""A process that was killed is back at once: it loads no more than it needs, and capture waits for nobody."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).parents[2]
_CAP_IPC_LOCK = 14
_HEAVY = {"cryptography", "phonenumbers", "sqlite3", "rich", "soundfile", "pylibsrtp", "asyncio", "pyshark", "paramiko"}
_PRECEDENCE_WHEN_LOADING = """
import os, sys
from importlib.abc import MetaPathFinder
from appliance import daemons

class Watch(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ("numpy", "appliance.config"):
            print(name, os.sched_getscheduler(0) == os.SCHED_FIFO, file=sys.stderr)
        return None

sys.meta_path.insert(0, Watch())
daemons.capture(["--archive", sys.argv[1]])
"""
_LOCKED = """
from appliance.capturing import precedence
precedence.take()
later = bytearray(8 << 20)
print(open("/proc/self/status").read())
"""


def told(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments], cwd=_REPOSITORY, capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("modules", "spared"),
    [
        ("appliance.daemonarguments, appliance.capturing.capturedaemon", _HEAVY),
        ("appliance.__main__, appliance.supervision.recording", {*_HEAVY, "numpy"}),
        ("appliance.supervision.keeper", {*_HEAVY, "numpy", "msgspec"}),
    ],
    ids=["capture", "supervisor", "keeper"],
)
def test_only_what_is_needed_is_loaded(modules: str, spared: set[str]) -> None:
    loaded = set(told(f"import sys, {modules}; print(*sys.modules)").split())
    assert spared & loaded == set()


def test_capture_takes_precedence_before_it_loads(tmp_path: Path) -> None:
    if subprocess.run(["chrt", "-f", "1", "true"], capture_output=True).returncode:
        pytest.skip("not permitted to take precedence")
    lines = told(_PRECEDENCE_WHEN_LOADING, str(tmp_path)).splitlines()
    assert {"numpy True", "appliance.config True"} <= set(lines)


def test_what_capture_uses_stays_in_memory() -> None:
    """What it takes later, too."""
    status = dict(line.split(":", 1) for line in told(_LOCKED).splitlines() if ":" in line)
    if not int(status["CapEff"], 16) >> _CAP_IPC_LOCK & 1:
        pytest.skip("not permitted to lock memory")
    assert int(status["VmLck"].split()[0]) > 8 << 10


@pytest.mark.parametrize("memlock_bytes", [0, 8 << 20, 64 << 20])
def test_who_is_not_permitted_has_room_for_rings_all_the_same(memlock_bytes: int) -> None:
    """Neither precedence nor locked memory is a condition; memory that may be locked must not bound what can be had."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can give up what it may")
    given_up = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    limited = ["prlimit", f"--memlock={memlock_bytes}", "--rtprio=0"]
    if subprocess.run([*limited, "true"], capture_output=True).returncode:
        pytest.skip("not permitted to set this limit")
    code = f"{_LOCKED}\nimport mmap, os\nmmap.mmap(-1, 512 << 20)\nprint(os.sched_getscheduler(0) == os.SCHED_OTHER)"
    done = subprocess.run(
        [*limited, *given_up, sys.executable, "-P", "-c", code], cwd=_REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "True"
