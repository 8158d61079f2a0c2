"""The supervisor and real processes that it keeps running, kills, stops and loses."""

import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from appliance.errors import AlreadyRunningError
from appliance.supervision.supervisor import HASTE_AFTER_S, run
from tests.appliance.supervised import WORKS, Supervised, until

AT_ONCE = (0.0,)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_ready_is_told_once_when_all_children_are(tmp_path: Path) -> None:
    slow = f"while not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.01)\n" + WORKS
    quick = "manager.ready('works')\nlog('ready')\nforever()"
    with Supervised(tmp_path, quick=quick, slow=slow) as supervised:
        until(lambda: "quick ready" in supervised.lines() and supervised.logged("slow", "pid"))
        assert supervised.stdout == ""
        (tmp_path / "go").touch()
        supervised.ready()
        os.kill(supervised.pid("slow"), signal.SIGKILL)
        os.kill(supervised.pid("quick"), signal.SIGKILL)
        until(lambda: supervised.lines().count("quick ready") == 2)
        supervised.pid("slow", 1)
        assert supervised.end() == 0
    assert supervised.stdout == "ready\n"


def test_a_child_gets_back_what_it_stored(tmp_path: Path) -> None:
    child = """
stored = manager.stored()
if not stored:
    memory = os.memfd_create("memory")
    os.write(memory, b"written before")
    manager.store("memory", memory)
    near, far = socket.socketpair()
    far.send(b"sent before")
    manager.store("near", near.fileno())
    manager.store("far", far.fileno())
    manager.store("unwanted", memory)
    manager.forget("unwanted")
    manager.ready("works")
    forever()
log("names", *sorted(stored))
log("memory", os.pread(stored["memory"], 100, 0).decode())
log("near", os.read(stored["near"], 100).decode())
os.write(stored["near"], b"sent after")
log("far", os.read(stored["far"], 100).decode())
log("numbers", *sorted(stored.values()))
log("inherited", *(os.get_inheritable(fileno) for fileno in stored.values()))
log("again", manager.stored())
log("environment", sum(name.startswith("LISTEN_") for name in os.environ))
os.system("env | grep -c LISTEN_ >&2")
forever()
"""
    with Supervised(tmp_path, child=child) as supervised:
        supervised.ready()
        os.kill(supervised.pid("child"), signal.SIGKILL)
        until(lambda: supervised.stderr[-1:] == ["0"])
        for word, expected in {
            "names": "far memory near",
            "memory": "written before",
            "near": "sent before",
            "far": "sent after",
            "numbers": "3 4 5",
            "inherited": "False False False",
            "again": "{}",
            "environment": "0",
        }.items():
            assert supervised.logged("child", word) == [expected]
        assert supervised.end() == 0


def test_the_last_words_of_a_dying_child_are_heard(tmp_path: Path) -> None:
    child = """
if not logged("dies"):
    log("dies")
    memory = os.memfd_create("memory")
    os.write(memory, b"its will")
    for _ in range(8):
        manager.status("busy")
    manager.store("memory", memory)
    os.kill(os.getpid(), signal.SIGKILL)
log("got", os.pread(manager.stored()["memory"], 100, 0).decode())
"""
    with Supervised(tmp_path, child=child + WORKS) as supervised:
        supervised.ready()
        assert supervised.logged("child", "got") == ["its will"]


def test_what_a_child_inherits(tmp_path: Path) -> None:
    child = """
log("open", *sorted(os.listdir("/proc/self/fd")[:-1], key=int))
log("stdin", os.readlink("/proc/self/fd/0"))
log("listen", os.environ.get("LISTEN_FDS"))
print("to stdout", flush=True)
"""
    read_end, write_end = os.pipe()
    with Supervised(tmp_path, pass_fds=[read_end], child=child + WORKS) as supervised:
        os.close(read_end)
        os.close(write_end)
        supervised.ready()
        assert supervised.logged("child", "stdin") == ["/dev/null"]
        assert supervised.logged("child", "listen") == ["None"]
        # 3 is the log that it writes to while it looks; what `listdir` has open comes last.
        assert supervised.logged("child", "open") == ["0 1 2"]
        assert supervised.stderr == ["to stdout"]
        assert supervised.stdout == "ready\n"
        assert os.getsid(supervised.pid("child")) == supervised.pid("child")


def test_children_are_stopped_one_after_the_other(tmp_path: Path) -> None:
    slow = "on(signal.SIGTERM, lambda: (log('terminated'), time.sleep(0.3), log('ends'), sys.exit(0)))" + WORKS
    with Supervised(tmp_path, first=slow, second=slow, third=WORKS) as supervised:
        supervised.ready()
        assert supervised.end() == 0
    assert [line for line in supervised.lines() if " pid " not in line] == [
        "first terminated",
        "first ends",
        "second terminated",
        "second ends",
        "third terminated",
    ]
    assert supervised.stderr == []


@pytest.mark.parametrize("code", [2, 5])
def test_a_child_that_cannot_work_ends_all(tmp_path: Path, code: int) -> None:
    waits = f"while 'good pid' not in open({str(tmp_path / 'log')!r}).read(): time.sleep(0.01)\n"
    with Supervised(tmp_path, good=WORKS, bad=f"{waits}sys.exit({code})") as supervised:
        assert supervised.process.wait(30) == code
    assert "good terminated" in supervised.lines()
    assert len(supervised.logged("bad", "pid")) == 1
    assert supervised.stdout == ""
    assert supervised.stderr == [f"rokubox: bad: ended with exit code {code}"]


def test_a_child_that_once_worked_is_restarted_whatever_its_exit_code(tmp_path: Path) -> None:
    child = "manager.ready('works')\nif not logged('fails'):\n    log('fails')\n    sys.exit(2)\nforever()"
    with Supervised(tmp_path, child=child) as supervised:
        supervised.pid("child", 1)
        assert supervised.end() == 0
    assert supervised.stderr == ["rokubox: child: ended with exit code 2; restart 1 at once"]


def test_a_child_that_keeps_dying_is_restarted_ever_later(tmp_path: Path) -> None:
    dies = "if logged('dies') < 4:\n    log('dies')\n    sys.exit(1)"
    with Supervised(tmp_path, child=dies + WORKS).patient(restart_delays_s=[0, 0.01, 0.02]) as supervised:
        supervised.ready()
        assert supervised.end() == 0
    assert supervised.stderr == [
        "rokubox: child: ended with exit code 1; restart 1 at once",
        "rokubox: child: ended with exit code 1; restart 2 in 0.01 s",
        "rokubox: child: ended with exit code 1; restart 3 in 0.02 s",
        "rokubox: child: ended with exit code 1; restart 4 in 0.02 s",
    ]


def test_it_can_be_ended_while_a_restart_is_delayed(tmp_path: Path) -> None:
    with Supervised(tmp_path, child="sys.exit(1)", other=WORKS).patient(restart_delays_s=[3600]) as supervised:
        until(lambda: supervised.stderr)
        assert supervised.end() == 0
    assert supervised.stderr == ["rokubox: child: ended with exit code 1; restart 1 in 3600 s"]


def test_a_program_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    supervised = Supervised(tmp_path).patient(restart_delays_s=AT_ONCE)
    supervised.children = [("child", [str(tmp_path / "nothing")], 0)]
    with supervised:
        until(lambda: len(supervised.stderr) >= 4)
        assert supervised.end() == 0
    assert supervised.stderr[0].startswith(f"{tmp_path}/nothing: [Errno 2] No such file or directory")
    assert supervised.stderr[1] == "rokubox: child: ended with exit code 127; restart 1 at once"


def test_pid_files_name_the_processes_of_now(tmp_path: Path) -> None:
    def pid_in(name: str) -> int:
        return int((supervised.run / f"{name}.pid").read_text())

    with Supervised(tmp_path, capture=WORKS, assemble=WORKS) as supervised:
        supervised.ready()
        assert pid_in("record") == supervised.process.pid
        assert pid_in("capture") == supervised.pid("capture")
        assert pid_in("assemble") == supervised.pid("assemble")
        os.kill(supervised.pid("capture"), signal.SIGKILL)
        until(lambda: pid_in("capture") == supervised.pid("capture", 1))
        assert supervised.end() == 0
    assert list(supervised.run.iterdir()) == []


def test_a_folder_that_cannot_be_written_any_more_stops_no_child(tmp_path: Path) -> None:
    with Supervised(tmp_path, child=WORKS) as supervised:
        supervised.ready()
        shutil.rmtree(supervised.run)
        os.kill(supervised.pid("child"), signal.SIGKILL)
        supervised.pid("child", 1)
        assert supervised.end() == 0
    assert supervised.stderr[1] == "rokubox: child: its pid file could not be written (No such file or directory)"


def test_one_supervisor_at_a_time(tmp_path: Path) -> None:
    with Supervised(tmp_path, child=WORKS) as supervised:
        supervised.ready()
        with pytest.raises(AlreadyRunningError, match=rf"run: .* already \(pid {supervised.process.pid}\)"):
            run([], supervised.run, on_ready=lambda: None)
        assert supervised.end() == 0


def test_a_supervisor_that_is_killed_leaves_its_children_alive_and_its_place_free(tmp_path: Path) -> None:
    child = "manager.ready('works')\nwhile not logged('told'):\n    manager.watchdog()\n    time.sleep(0.01)"
    with Supervised(tmp_path, child=child) as first:
        first.ready()
        first.process.kill()
        first.process.wait()
        orphan = first.pid("child")
        with Supervised(tmp_path, other=WORKS) as second:
            second.pid("other")
            assert is_alive(orphan)
            assert second.end() == 0
        assert is_alive(orphan)
        first.log.write_text(f"child pid {orphan}\nchild told\n")
        until(lambda: not is_alive(orphan))


def test_ctrl_c_reaches_the_supervisor_alone(tmp_path: Path) -> None:
    with Supervised(tmp_path, child="on(signal.SIGINT, lambda: log('interrupted'))" + WORKS) as supervised:
        supervised.ready()
        os.killpg(supervised.process.pid, signal.SIGINT)
        assert supervised.process.wait(30) == 0
    assert supervised.lines()[1:] == ["child terminated"]


def test_hangup_is_passed_on_and_harmless(tmp_path: Path) -> None:
    reloads = "on(signal.SIGHUP, lambda: log('reloads'))" + WORKS
    with Supervised(tmp_path, reloads=reloads, deaf=WORKS) as supervised:
        supervised.ready()
        supervised.process.send_signal(signal.SIGHUP)
        until(lambda: "reloads reloads" in supervised.lines())
        assert supervised.end() == 0
    assert "deaf terminated" in supervised.lines()
    assert supervised.stderr == []


DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)" + WORKS


def test_patience_with_a_child_that_does_not_end_is_bounded(tmp_path: Path) -> None:
    with Supervised(tmp_path, first=DEAF, second=DEAF).patient(stop_s=0.2) as supervised:
        supervised.ready()
        assert supervised.end() == 0
    assert supervised.stderr == ["rokubox: first: killed by SIGKILL", "rokubox: second: killed by SIGKILL"]


def test_who_asks_again_is_in_a_hurry(tmp_path: Path) -> None:
    first = "on(signal.SIGTERM, lambda: log('deaf'))" + WORKS
    with Supervised(tmp_path, first=first, second=DEAF).patient(stop_s=3600) as supervised:
        supervised.ready()
        supervised.process.terminate()
        until(lambda: "first deaf" in supervised.lines())
        time.sleep(HASTE_AFTER_S)
        assert supervised.end() == 0
    assert sorted(supervised.stderr) == [
        f"rokubox: {name}: killed by SIGKILL" for name in ("first", "keeper", "second")
    ]


def test_two_requests_at_a_time_are_one(tmp_path: Path) -> None:
    slow = "on(signal.SIGTERM, lambda: (log('terminated'), time.sleep(0.2), log('ends'), sys.exit(0)))" + WORKS
    with Supervised(tmp_path, child=slow) as supervised:
        supervised.ready()
        for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
            supervised.process.send_signal(number)
        assert supervised.process.wait(30) == 0
    assert supervised.lines()[1:] == ["child terminated", "child ends"]


def test_a_hung_child_is_aborted(tmp_path: Path) -> None:
    hangs = "if not logged('hangs'):\n    log('hangs')\n    manager.watchdog()\nforever()"
    lives = "manager.ready('works')\nwhile True:\n    manager.watchdog()\n    time.sleep(0.05)"
    with Supervised(
        tmp_path,
        hangs="manager.ready('works')\n" + hangs,
        badly="manager.ready('works')\nsignal.signal(signal.SIGABRT, signal.SIG_IGN)\n" + hangs,
        lives=lives,
        silent=WORKS,
    ).patient(watchdog_s=2, abort_s=0.2) as supervised:
        supervised.pid("hangs", 1)
        supervised.pid("badly", 1)
        supervised.ready()
        assert supervised.end() == 0
    assert sorted(supervised.stderr) == [
        "rokubox: badly: its watchdog is silent; aborted",
        "rokubox: badly: killed by SIGKILL; restart 1 at once",
        "rokubox: hangs: its watchdog is silent; aborted",
        "rokubox: hangs: killed by SIGABRT; restart 1 at once",
    ]


def test_restarts_leave_nothing_open(tmp_path: Path) -> None:
    def descriptors() -> list[str]:
        return os.listdir(f"/proc/{supervised.process.pid}/fd")

    def is_ready_again(restart: int) -> bool:
        return supervised.lines().count("child ready") > restart

    child = "memory = os.memfd_create('memory')\nfor name in 'ab': manager.store(name, memory)\n"
    died = "manager.ready('works')\nlog('ready')\nforever()"
    with Supervised(tmp_path, child=child + died).patient(restart_delays_s=AT_ONCE) as supervised:
        supervised.ready()
        before = descriptors()
        for restart in range(20):
            os.kill(supervised.pid("child", restart), signal.SIGKILL)
            until(partial(is_ready_again, restart + 1))
        assert len(descriptors()) == len(before)
        assert supervised.end() == 0


def test_what_on_ready_raises_stops_the_children(tmp_path: Path) -> None:
    supervised = Supervised(tmp_path, child=WORKS)
    supervised.stdout_file = Path("/dev/full")
    with supervised:
        assert supervised.process.wait(30) == 1
    assert supervised.lines()[1:] == ["child terminated"]
    assert "OSError: [Errno 28] No space left on device" in supervised.stderr
    assert list(supervised.run.iterdir()) == []


def test_a_supervisor_that_is_suspended_holds_up_no_child(tmp_path: Path) -> None:
    child = """
manager.ready("works")
while not logged("suspended"):
    time.sleep(0.01)
for _ in range(2000):
    manager.watchdog()
    manager.status("goes on")
log("went on")
forever()
"""
    with Supervised(tmp_path, child=child) as supervised:
        supervised.ready()
        supervised.process.send_signal(signal.SIGSTOP)
        with supervised.log.open("a") as log:
            log.write("child suspended\n")
        until(lambda: "child went on" in supervised.lines())
        supervised.process.send_signal(signal.SIGCONT)
        assert supervised.end() == 0
    assert supervised.stderr == []
