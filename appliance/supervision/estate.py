"""What a supervisor leaves to the next one when it is killed: descriptors, of which a keeper holds copies.

| name                     | descriptor                                              |
|--------------------------|---------------------------------------------------------|
| SERVICE/notify           | the socket that a service writes to, and what is in it  |
| SERVICE/process/NUMBER   | pidfd of its process                                    |
| SERVICE/store/NAME       | what it stored                                          |

The copies here are what the next keeper is started with, when one dies. The keeper that a supervisor inherited from has
them as well, until it is ended.
"""

import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from appliance.supervision import keeper
from appliance.supervision.notifysocket import DescriptorStore


class Estate:
    """Everything that must outlive us. `store` is what a keeper is to be started with.

    Raises `OSError` when the directory cannot be written.
    """

    def __init__(self, run_directory: Path, earlier: socket.socket) -> None:
        """`earlier`: for orders to the keeper that was inherited from."""
        self.store = DescriptorStore(keeper.LIMIT)
        self._run_directory = run_directory
        self.store.put(keeper.LISTENER, keeper.listen(run_directory).detach())
        orders, read = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.store.put(keeper.ORDERS, read.detach())
        orders.setblocking(False)
        self._keepers = [orders, earlier]

    def keep(self, name: str, fileno: int) -> None:
        """Have a copy of a descriptor kept, in place of another of its name."""
        self.store.put(name, os.dup(fileno))
        self._order(keeper.storing(name), fileno)

    def forget(self, name: str) -> None:
        """Let go of the copies of a descriptor."""
        self.store.drop(name)
        self._order(keeper.removing(name))

    def _order(self, order: bytes, *filenos: int) -> None:
        for orders in self._keepers:
            # One that does not read is restarted by its watchdog, and has everything then.
            with suppress(OSError):
                socket.send_fds(orders, [order], filenos)

    def replace_keeper(self, processes: Mapping[str, int]) -> None:
        """Let the keeper be found that was started with all there is, and end those before it: their pidfds by name.

        Raises:
            OSError: the directory cannot be written.
        """
        keeper.publish(self._run_directory)
        self._keepers.pop().close()
        for name, pidfd in processes.items():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            self.forget(name)

    def close(self) -> None:
        """Let go of everything: nothing is left to anybody."""
        keeper.withdraw(self._run_directory)
        for orders in self._keepers:
            orders.close()
        self.store.close()
