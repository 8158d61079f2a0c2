"""A process that was killed is back at once: it loads no more than it needs, and capture waits for nobody."""

import subprocess
import sys
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).parents[2]
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
