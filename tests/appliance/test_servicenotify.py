"""What a service says reaches its manager word by word, and a service without a manager is none the worse."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.supervision import servicenotify
from appliance.supervision.notifysocket import NotifySocket


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[NotifySocket]:
    notify_socket = NotifySocket()
    monkeypatch.setenv("NOTIFY_SOCKET", notify_socket.address)
    yield notify_socket
    notify_socket.close()


def say_everything(fileno: int) -> None:
    servicenotify.ready("listens on eth1")
    servicenotify.status("two\nlines\nREADY=1")
    servicenotify.watchdog()
    servicenotify.store("ring-eth1", fileno)
    servicenotify.forget("ring-eth1")
    servicenotify.stopping()


def test_what_is_said(manager: NotifySocket) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"in the pipe")
    say_everything(read_end)
    os.close(read_end)
    messages = list(manager.receive(os.getpid()))
    assert [message.assignments for message in messages] == [
        {"READY": "1", "STATUS": "listens on eth1"},
        {"STATUS": "two lines READY=1"},
        {"WATCHDOG": "1"},
        {"FDSTORE": "1", "FDNAME": "ring-eth1", "FDPOLL": "0"},
        {"FDSTOREREMOVE": "1", "FDNAME": "ring-eth1"},
        {"STOPPING": "1"},
    ]
    assert [len(message.descriptors) for message in messages] == [0, 0, 0, 1, 0, 0]
    (stored,) = messages[3].descriptors
    assert os.read(stored, 100) == b"in the pipe"
    os.close(stored)
    os.close(write_end)


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    say_everything(0)
    assert servicenotify.stored() == {}


def test_a_manager_that_has_died_is_none(manager: NotifySocket) -> None:
    manager.close()
    say_everything(0)


def test_what_is_stored_for_another_process_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in (("LISTEN_PID", str(os.getppid())), ("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "ring")):
        monkeypatch.setenv(variable, value)
    assert servicenotify.stored() == {}
    told = subprocess.run([sys.executable, "-c", "import os; print(*os.environ)"], check=True, capture_output=True)
    assert b"LISTEN_" not in told.stdout


@pytest.mark.usefixtures("manager")
def test_a_manager_that_does_not_read_is_not_waited_for() -> None:
    for _ in range(2000):
        servicenotify.watchdog()
    servicenotify.stopping()
    servicenotify.store("ring", 0)


def test_a_manager_with_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        servicenotify.ready("works")
        assert systemd.recv(100) == b"READY=1\nSTATUS=works"
