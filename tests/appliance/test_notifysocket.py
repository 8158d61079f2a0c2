"""The manager's side of the protocol: who is heard, what is kept, and that nothing stays open that is not."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from appliance.supervision.notifysocket import STORE_LIMIT, DescriptorStore, Notification, NotifySocket


@pytest.fixture
def manager() -> Iterator[NotifySocket]:
    with closing(NotifySocket()) as notify_socket:
        yield notify_socket


def say(manager: NotifySocket, message: bytes, *descriptors: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
        service.connect("\0" + manager.address.removeprefix("@"))
        socket.send_fds(service, [message], descriptors)


def heard(manager: NotifySocket) -> list[Notification]:
    return list(manager.receive(os.getpid()))


def descriptors_open() -> int:
    return len(os.listdir("/proc/self/fd"))


def store(name: str, *descriptors: int) -> Notification:
    """A message that owns copies of these descriptors."""
    copies = tuple(os.dup(descriptor) for descriptor in descriptors)
    return Notification(assignments={"FDSTORE": "1", "FDNAME": name}, descriptors=copies)


def forget(name: str) -> Notification:
    return Notification(assignments={"FDSTOREREMOVE": "1", "FDNAME": name}, descriptors=())


def test_sockets_have_names_of_their_own(manager: NotifySocket) -> None:
    with closing(NotifySocket()) as other:
        say(other, b"READY=1")
        assert heard(manager) == []
        assert heard(other) == [Notification(sender=os.getpid(), assignments={"READY": "1"}, descriptors=())]


def test_others_are_not_heard(manager: NotifySocket) -> None:
    program = (
        "import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
        f"s.connect('\\0' + {manager.address!r}[1:]); socket.send_fds(s, [b'READY=1'], [1])"
    )
    before = descriptors_open()
    subprocess.run([sys.executable, "-c", program], check=True)
    say(manager, b"STATUS=me")
    assert [message.assignments for message in heard(manager)] == [{"STATUS": "me"}]
    assert descriptors_open() == before


@pytest.mark.parametrize("message", [b"", b"\xff\xfe", b"=\n=\n", b"READY", b"READY=1" + b" " * 5000])
def test_malformed_messages_say_nothing(manager: NotifySocket, message: bytes) -> None:
    before = descriptors_open()
    say(manager, message, 0)
    for notification in heard(manager):
        assert not notification.says("READY")
        assert DescriptorStore().apply(notification)
    assert descriptors_open() == before


def test_received_descriptors_are_not_inherited(manager: NotifySocket) -> None:
    say(manager, b"FDSTORE=1", 0)
    (message,) = heard(manager)
    (descriptor,) = message.descriptors
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_a_name_stands_for_the_newest_descriptor() -> None:
    before = descriptors_open()
    read_end, write_end = os.pipe()
    with closing(DescriptorStore()) as kept:
        assert kept.apply(store("a", read_end))
        assert kept.apply(store("b", read_end))
        assert kept.apply(store("a", write_end, read_end))
        os.close(read_end)
        os.close(write_end)
        assert list(kept.descriptors) == ["b", "a"]
        os.write(kept.descriptors["a"], b"through")
        assert os.read(kept.descriptors["b"], 100) == b"through"
        assert kept.apply(forget("a"))
        assert kept.apply(forget("unknown"))
        assert descriptors_open() == before + 1
    assert descriptors_open() == before


@pytest.mark.parametrize("name", ["", "two:names", "new\nline", "ü", "x" * 256])
def test_names_that_cannot_be_handed_over_are_refused(name: str) -> None:
    before = descriptors_open()
    kept = DescriptorStore()
    assert not kept.apply(store(name, 0))
    assert kept.descriptors == {}
    assert descriptors_open() == before


def test_the_store_is_bounded() -> None:
    before = descriptors_open()
    with closing(DescriptorStore()) as kept:
        assert all(kept.apply(store(str(number), 0)) for number in range(STORE_LIMIT))
        assert not kept.apply(store("one more", 0))
        assert kept.apply(store("0", 0))
        assert descriptors_open() == before + STORE_LIMIT
    assert descriptors_open() == before
