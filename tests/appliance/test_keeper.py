"""Supervisors that are killed at every instant: the next one's children get back what was stored, and nothing is left
behind by one that ends."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from appliance.supervision import keeper
from appliance.supervision.notifysocket import DescriptorStore, Notification, NotifySocket
from tests.appliance.supervised import WORKS, Supervised, is_running, until

KEEPS = """
def go(name):
    while not os.path.exists(os.path.join(os.path.dirname({log!r}), name)):
        time.sleep(0.01)

if logged("stored"):
    go("load")
stored = manager.stored()
log("got", len(stored), *(os.pread(fileno, 100, 0).decode() for fileno in stored.values()))
if not stored:
    go("store")
    memory = os.memfd_create("memory")
    os.write(memory, b"precious")
    manager.store("memory", memory)
    manager.ready("works")
    log("stored")
manager.ready("works")
forever()
"""
GOT = "1 precious"


class Keeping(Supervised):
    """One child that has stored something, or found it; what it waits for is allowed unless said otherwise."""

    def __init__(self, folder: Path, *, load: bool = True, store: bool = True) -> None:
        super().__init__(folder, child=KEEPS.replace("{log!r}", repr(str(folder / "log"))))
        for name, allowed in (("load", load), ("store", store)):
            (folder / name).touch() if allowed else (folder / name).unlink(missing_ok=True)

    def stored(self) -> Self:
        until(lambda: "child stored" in self.lines())
        return self

    def keeper(self) -> int:
        until((self.run / "keeper.pid").exists)
        return int((self.run / "keeper.pid").read_text())

    def is_kept_by_another(self, keeper_pid: int) -> bool:
        return self.keeper() != keeper_pid

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def proven(folder: Path) -> None:
    """What a new supervisor's child gets."""
    before = (folder / "stdout").read_text().count("ready")
    with Keeping(folder) as second:
        until(lambda: second.stdout.count("ready") > before)
        assert second.logged("child", "got")[-1] == GOT
        pids = second.logged("child", "pid")
        assert [pid for pid in pids if is_running(int(pid))] == pids[-1:]
        assert second.end() == 0
        assert list(second.run.iterdir()) == []


def test_killed_while_all_is_well(tmp_path: Path) -> None:
    with Keeping(tmp_path) as first:
        first.ready().stored()
        first.kill()
        proven(tmp_path)


def test_killed_while_a_restart_is_delayed(tmp_path: Path) -> None:
    with Keeping(tmp_path) as first:
        first.patient(restart_delays_s=[3600])
    with first:
        first.ready().stored()
        os.kill(first.pid("child"), signal.SIGKILL)
        until(lambda: any("3600 s" in line for line in first.stderr))
        first.kill()
        proven(tmp_path)


def test_killed_while_the_child_is_being_loaded(tmp_path: Path) -> None:
    with Keeping(tmp_path, load=False) as first:
        first.ready().stored()
        os.kill(first.pid("child"), signal.SIGKILL)
        first.pid("child", 1)
        first.kill()
        proven(tmp_path)


@pytest.mark.parametrize("child_too", [False, True])
def test_killed_before_it_has_read_what_is_to_be_stored(child_too: bool, tmp_path: Path) -> None:
    with Keeping(tmp_path, store=False) as first:
        first.pid("child")
        first.process.send_signal(signal.SIGSTOP)
        (tmp_path / "store").touch()
        first.stored()
        if child_too:
            os.kill(first.pid("child"), signal.SIGKILL)
        first.kill()
        proven(tmp_path)


def test_only_the_keeper_is_left(tmp_path: Path) -> None:
    with Keeping(tmp_path) as first:
        first.ready().stored()
        first.process.send_signal(signal.SIGSTOP)
        os.kill(first.pid("child"), signal.SIGKILL)
        first.kill()
        proven(tmp_path)


def test_the_keeper_is_killed_again_and_again(tmp_path: Path) -> None:
    with Keeping(tmp_path).patient(restart_delays_s=[0]) as first:
        first.ready().stored()
        for _ in range(5):
            killed = first.keeper()
            os.kill(killed, signal.SIGKILL)
            until(partial(first.is_kept_by_another, killed))
        first.kill()
        proven(tmp_path)


def test_supervisors_are_killed_at_any_instant_of_their_beginning(tmp_path: Path) -> None:
    chance = random.Random(11)
    with ExitStack() as stack:
        stack.enter_context(Keeping(tmp_path)).ready().stored().kill()
        for _ in range(12):
            begins = stack.enter_context(Keeping(tmp_path))
            time.sleep(chance.uniform(0, 1.5))
            for pid in begins.logged("child", "pid")[-1:] if chance.random() < 0.5 else ():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            begins.kill()
        proven(tmp_path)


def test_a_keeper_that_hangs_is_replaced(tmp_path: Path) -> None:
    with Keeping(tmp_path).patient(watchdog_s=2, abort_s=0.1) as first:
        first.ready().stored()
        hanging = first.keeper()
        os.kill(hanging, signal.SIGSTOP)
        until(lambda: first.keeper() != hanging)
        first.kill()
        proven(tmp_path)
    assert first.stderr[0] == "rokubox: keeper: its watchdog is silent; aborted"


def test_nobody_holds_anything_after_the_end(tmp_path: Path) -> None:
    child = (
        """
if not manager.stored():
    near, far = os.pipe()
    manager.store("far", far)
    log("stored")
"""
        + WORKS
    )
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    child = child.replace("near, far = os.pipe()", f"far = os.open('/proc/{os.getpid()}/fd/{write_end}', os.O_WRONLY)")
    with Supervised(tmp_path, child=child) as supervised:
        until(lambda: "child stored" in supervised.lines())
        supervised.ready()
        os.close(write_end)
        assert supervised.end() == 0
    assert os.read(read_end, 1) == b""  # the end: it is open nowhere
    os.close(read_end)
    assert list(supervised.run.iterdir()) == []


def test_only_its_user_can_ask_the_keeper(tmp_path: Path) -> None:
    with Keeping(tmp_path) as supervised:
        supervised.ready()
        assert (supervised.run / "keeper.socket").stat().st_mode & 0o777 == 0o600
        assert supervised.end() == 0


def test_a_folder_with_a_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with Keeping(folder) as first:
        first.ready().stored()
        first.kill()
        proven(folder)


ALONE = """
import os, socket, sys, time
from pathlib import Path
from appliance.supervision import keeper
from appliance.supervision.estate import Estate
from appliance.supervision.spawn import spawn

estate = Estate(Path(sys.argv[1]), socket.socket(socket.AF_UNIX))
memory = os.memfd_create("memory")
os.write(memory, b"held")
estate.keep("held", memory)
program = "import sys; from appliance.supervision import keeper; sys.exit(keeper.main(float(sys.argv[1])))"
pid, _ = spawn([sys.executable, "-c", program, sys.argv[2]], os.environ, estate.store.descriptors)
estate.replace_keeper({})
estate.keep("ordered", memory)
estate.keep("taken back", memory)
estate.forget("taken back")
print(pid)
"""


def held_in(folder: Path) -> dict[str, int]:
    held, orders = keeper.inherit(folder)
    orders.close()
    return held


def alone(folder: Path, orphan_s: float) -> int:
    """A keeper whose supervisor has died."""
    command = [sys.executable, "-c", ALONE, str(folder), str(orphan_s)]
    # What it says on stderr is not read: the keeper holds that end of a pipe open.
    return int(subprocess.run(command, check=True, stdout=-1, stderr=subprocess.DEVNULL, text=True).stdout)


def test_who_asks_gets_everything_as_often_as_it_likes(tmp_path: Path) -> None:
    pid = alone(tmp_path, 60)
    for _ in range(2):
        with closing(DescriptorStore()) as got:
            for name, descriptor in held_in(tmp_path).items():
                got.put(name, descriptor)
            assert list(got.descriptors) == ["held", "ordered"]
            assert [os.pread(descriptor, 9, 0) for descriptor in got.descriptors.values()] == [b"held"] * 2
    os.kill(pid, signal.SIGKILL)
    assert held_in(tmp_path) == {}


def test_the_next_supervisor_gives_orders_too(tmp_path: Path) -> None:
    """It may be killed before it has a keeper of its own."""
    pid = alone(tmp_path, 60)
    held, orders = keeper.inherit(tmp_path)
    with orders:
        socket.send_fds(orders, [keeper.storing("another")], [held["held"]])
        orders.send(keeper.removing("held"))
    again = held_in(tmp_path)
    assert list(again) == ["ordered", "another"]
    for descriptor in (*held.values(), *again.values()):
        os.close(descriptor)
    os.kill(pid, signal.SIGKILL)


def test_a_keeper_that_nobody_asks_ends(tmp_path: Path) -> None:
    pid = alone(tmp_path, 0.2)
    until(lambda: not is_running(pid))
    assert held_in(tmp_path) == {}


def test_there_is_no_keeper(tmp_path: Path) -> None:
    assert held_in(tmp_path) == {}
    assert held_in(tmp_path / "nowhere") == {}


def test_who_takes_over_a_notify_socket_hears_what_was_said() -> None:
    first = NotifySocket()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
        service.connect("\0" + first.address.removeprefix("@"))
        service.send(b"STATUS=before")
        with closing(NotifySocket(os.dup(first.fileno()))) as second:
            first.close()
            service.send(b"STATUS=after")
            heard: list[Notification] = list(second.receive(os.getpid()))
    assert [message.assignments["STATUS"] for message in heard] == ["before", "after"]
