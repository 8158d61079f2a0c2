"""Holds descriptors and does nothing else, so that they outlive the supervisor; and how the next one gets them.

| the keeper                                        | until                                   |
|---------------------------------------------------|-----------------------------------------|
| does what its supervisor orders                   | its end: the orders have one then       |
| gives all to the next one, and does what it says  | killed by it, which has another by then |

Without a supervisor it ends after `ORPHAN_S`. It can be killed as well: the supervisor holds the same and starts
another one, which has everything from its first instant. An order is a message of sd_notify(3) that stores or removes a
descriptor. The next supervisor finds the keeper by a socket in `run/` that only this user may connect to; it is sent
such messages for all there is, and READY.
"""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from appliance.supervision import servicenotify
from appliance.supervision.notifysocket import DescriptorStore, Notification
from appliance.supervision.orphan import ORPHAN_S

ARGV = (sys.executable, "-P", "-m", "appliance.supervision.keeper")
ORDERS, LISTENER = "orders", "listener"
"""What it is started with, besides what it is to hold: where orders come from, and where it is asked."""
LIMIT = 500
"""Descriptors kept; more than a few services can store."""
_SOCKET, _HIDDEN = "keeper.socket", ".keeper.socket"
_ALL = b"READY=1"
_ALIVE_S = 0.5
"""How often it says so."""
_ANSWER_S = 10.0
"""How long to wait for an answer. It comes at once, but the machine may be busy."""


def main(orphan_s: float = ORPHAN_S) -> int:
    """Hold what was handed over and what is ordered; without a supervisor for so long."""
    held = servicenotify.stored()
    store = DescriptorStore(LIMIT)
    with socket.socket(fileno=held.pop(ORDERS)) as orders, socket.socket(fileno=held.pop(LISTENER)) as listener:
        for name, descriptor in held.items():
            store.put(name, descriptor)
        servicenotify.ready("holding")
        _obey(orders, store)
        _wait(listener, store, orphan_s)
    return 0


def _obey(orders: socket.socket, store: DescriptorStore) -> None:
    """Do what is ordered until the supervisor's end."""
    orders.settimeout(_ALIVE_S)
    while True:
        servicenotify.watchdog()
        with suppress(TimeoutError):
            order = Notification.read(orders)
            if not order.assignments:
                return
            store.apply(order)


def _wait(listener: socket.socket, store: DescriptorStore, orphan_s: float) -> None:
    """Serve the next supervisor, and if that is killed too, the one after it."""
    listener.settimeout(orphan_s)
    while True:
        try:
            supervisor, _ = listener.accept()
        except TimeoutError:
            return
        with supervisor, suppress(OSError):  # it was killed before it had everything
            supervisor.settimeout(_ANSWER_S)
            for name, descriptor in store.descriptors.items():
                socket.send_fds(supervisor, [storing(name)], [descriptor])
            supervisor.send(_ALL)
            _obey(supervisor, store)


def storing(name: str) -> bytes:
    """Return the message that a descriptor to be kept comes with."""
    return f"FDSTORE=1\nFDNAME={name}".encode("ascii")


def removing(name: str) -> bytes:
    """Return the message that lets go of a descriptor."""
    return f"FDSTOREREMOVE=1\nFDNAME={name}".encode("ascii")


def inherit(run_directory: Path) -> tuple[dict[str, int], socket.socket]:
    """Return what the keeper of a supervisor that was killed holds, by name, and a socket for orders to it.

    All are the caller's now. When there is no keeper, there is nothing, and the socket leads nowhere.
    """
    store = DescriptorStore(LIMIT)
    orders = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    orders.settimeout(_ANSWER_S)
    with suppress(OSError):
        with _within(run_directory) as folder:
            orders.connect(f"{folder}/{_SOCKET}")
        while (message := Notification.read(orders)).says("FDSTORE"):
            store.apply(message)
    orders.setblocking(False)
    return store.take(), orders


def listen(run_directory: Path) -> socket.socket:
    """Make the socket where a keeper is asked. It is found there only once `publish` is called.

    Raises:
        OSError: the directory cannot be written.
    """
    (run_directory / _HIDDEN).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with _within(run_directory) as folder:
        listener.bind(f"{folder}/{_HIDDEN}")
    (run_directory / _HIDDEN).chmod(0o600)
    listener.listen()
    return listener


def publish(run_directory: Path) -> None:
    """Let the keeper that has the socket be found, in place of the one before.

    Raises:
        OSError: the directory cannot be written.
    """
    (run_directory / _HIDDEN).rename(run_directory / _SOCKET)


def withdraw(run_directory: Path) -> None:
    """Remove the socket, as far as that is possible."""
    for name in (_HIDDEN, _SOCKET):
        with suppress(OSError):
            (run_directory / name).unlink()


@contextmanager
def _within(directory: Path) -> Iterator[str]:
    """A short name of the directory: that of a socket has 107 bytes at most (unix(7))."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
