"""What a service tells its manager and gets back from it: sd_notify(3), sd_listen_fds(3).

The manager is systemd or our `supervisor`; a service does not know which, and runs as well without one: then nothing is
told and nothing stored. A manager that has died is none, and a suspended one (Ctrl-Z) holds up nobody. sd_notify(3)
would wait for it without end, and ten messages can fill its queue: that is why they are sent here.

A descriptor in the manager's store outlives the service: the next process of the service finds it in `stored`.
"""

import os
import socket
from contextlib import suppress

from systemd import daemon

_WAIT_S = 1.0
"""For a manager whose queue is full, with a message that is not repeated."""


def ready(status: str) -> None:
    """The service works now; `status` says in a few words what it does."""
    _notify(f"READY=1\n{_assignment(status)}")


def status(text: str) -> None:
    """What the service does now, in a few words."""
    _notify(_assignment(text), wait_s=0)


def stopping() -> None:
    """The service has begun to end."""
    _notify("STOPPING=1", wait_s=0)


def watchdog() -> None:
    """The service is alive. Once it has said so, it has to go on saying so, or is taken for hung and restarted."""
    _notify("WATCHDOG=1", wait_s=0)


def store(name: str, fileno: int) -> None:
    """Let the manager keep a descriptor; it stays open here too.

    A name stands for one descriptor: `forget` it before another is stored under it. It is ASCII without a colon, at
    most 255 characters. What is in the store already (see `stored`) need not be stored again.
    """
    # Without FDPOLL=0 systemd drops a socket that reports an error, as a packet socket does when its interface goes
    # down: just when it must not be lost.
    _notify(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", fileno)


def forget(name: str) -> None:
    """Let the manager close a descriptor it keeps; nothing happens when it keeps none of this name."""
    _notify(f"FDSTOREREMOVE=1\nFDNAME={name}")


def stored() -> dict[str, int]:
    """Descriptors that the manager kept for this process, by name; they belong to the caller, closed on exec.

    Only the first call returns them: what says so is taken out of the environment, because programs that this process
    starts do not get them.
    """
    names: dict[int, str] = daemon.listen_fds_with_names()
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(variable, None)  # The library has changed the process's environment, not Python's copy of it.
    return {name: fileno for fileno, name in names.items()}


def _assignment(status: str) -> str:
    return f"STATUS={' '.join(status.splitlines())}"


def _notify(message: str, *filenos: int, wait_s: float = _WAIT_S) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(wait_s)
        manager.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        socket.send_fds(manager, [message.encode()], filenos)
