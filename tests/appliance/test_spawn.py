"""A program started with descriptors, and nothing else, at the numbers where it looks for them."""

import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.appliance.supervised import is_running, until

SWAPPED = """
import os, sys
from appliance.supervision.spawn import spawn

for number, content in ((3, b"second"), (4, b"first"), (5, b"third")):
    memory = os.memfd_create("memory")
    os.write(memory, content)
    os.dup2(memory, number)
program = "import os; print(os.environ['LISTEN_FDNAMES'], *(os.pread(number, 9, 0).decode() for number in (3, 4, 5)))"
argv = [sys.executable, "-c", program]
pid, _ = spawn(argv, os.environ, {"a": 4, "b": 3, "c": 5})
os.waitpid(pid, 0)
"""


def test_descriptors_that_lie_in_each_others_place() -> None:
    done = subprocess.run([sys.executable, "-c", SWAPPED], capture_output=True, text=True, check=True)
    assert done.stderr == "a:b:c first second third\n"


BLOCKED = """
import os, signal, sys
from appliance.supervision.spawn import spawn

signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
program = "grep -E 'Sig(Blk|Ign)' /proc/self/status"
pid, pidfd = spawn(["/bin/sh", "-c", program], os.environ, {})
assert os.waitid(os.P_PIDFD, pidfd, os.WEXITED).si_pid == pid
assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == {signal.SIGUSR2}
"""


def test_signals_are_as_for_a_new_program() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=True)
    # Signals 1 to 31: those from 32 on are the C library's own. Bit 0 is SIGHUP, the only one that is ignored.
    assert [int(line.split()[-1], 16) & 0x7FFFFFFF for line in done.stderr.splitlines()] == [0, 1]


def test_a_signal_that_comes_before_the_program_has_begun_ends_it() -> None:
    at_once = """
import os, signal, sys
from appliance.supervision.spawn import spawn

signal.signal(signal.SIGTERM, lambda *_: None)
for _ in range(50):
    pid, pidfd = spawn(["/bin/sleep", "3600"], os.environ, {})
    signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
    os.close(pidfd)
"""
    done = subprocess.run([sys.executable, "-c", at_once], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def has_ended(pid: int) -> bool:
    return not is_running(pid)


REGISTERED = """
import os, sys
from appliance.supervision.spawn import spawn

def register(pid, pidfd):
    print(pid, flush=True)
    if sys.argv[2:]:
        os._exit(0)

pid, _ = spawn(["/bin/touch", sys.argv[1]], os.environ, {}, register)
os.waitpid(pid, 0)
"""


def test_a_program_begins_when_it_is_registered_and_not_if_its_starter_died_before(tmp_path: Path) -> None:
    for number, words in enumerate(([], ["dies"])):
        begun = tmp_path / str(number)
        argv = [sys.executable, "-c", REGISTERED, str(begun), *words]
        pid = int(subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout)
        until(partial(has_ended, pid))
        assert begun.exists() == (not words)
