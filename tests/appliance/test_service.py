"""What a service's process said last is taken before its end is, whatever the caller has read by then."""

import subprocess
import sys
from pathlib import Path

LAST_WORDS = """
import select, socket, sys, time
from pathlib import Path
from appliance.supervision.estate import Estate
from appliance.supervision.runfiles import RunFiles
from appliance.supervision.service import Child, Patience, Service

def live():
    service.overdue(time.monotonic())
    select.select([service.pidfd], [], [])
    return service.reap(time.monotonic())

child = Child(name="child", argv=[sys.executable, "-c", sys.argv[1]], stop_order=1)
with RunFiles(Path(sys.argv[2])) as run_files:
    estate = Estate(Path(sys.argv[2]), socket.socket(socket.AF_UNIX))
    service = Service(child, Patience(), run_files, estate, time.monotonic())
    codes = [live(), live()]
    print(*codes, service.was_ready)
    service.close()
"""

CHILD = """
import os, signal, sys
from appliance.supervision import servicenotify

if stored := servicenotify.stored():
    sys.exit(int(os.pread(stored["memory"], 9, 0)))
memory = os.memfd_create("memory")
os.write(memory, b"42")
servicenotify.ready("works")
servicenotify.store("memory", memory)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_last_words(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", LAST_WORDS, CHILD, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "-9 42 True\n"
    assert done.stderr.splitlines() == [
        "rokubox: child: killed by SIGKILL; restart 1 at once",
        "rokubox: child: ended with exit code 42; restart 2 in 0.1 s",
    ]
