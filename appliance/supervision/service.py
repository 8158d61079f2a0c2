"""One child of the supervisor: its process, what it says (sd_notify(3)), what it stored, and what is due when.

| state    | its deadline                   | at the deadline    | when the process ends                  |
|----------|--------------------------------|--------------------|----------------------------------------|
| WAITING  | end of the restart delay       | started -> RUNNING |                                        |
| RUNNING  | none, or the watchdog's        | SIGABRT -> ABORTED | -> WAITING, or ENDED if it cannot work |
| ABORTED  | end of patience                | SIGKILL            | -> WAITING                             |
| STOPPING | end of patience                | SIGKILL            | -> ENDED                               |
| ENDED    | none                           |                    |                                        |

Once retired, a service whose process ends is ENDED whatever its state was. A service whose process was left over from a
supervisor that was killed begins as RUNNING, and the process is killed: it has other arguments, perhaps other code, and
to be killed costs nothing.
"""

import math
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from appliance.supervision.backoff import Backoff
from appliance.supervision.estate import Estate
from appliance.supervision.notifysocket import DescriptorStore, Notification, NotifySocket
from appliance.supervision.runfiles import RunFiles
from appliance.supervision.spawn import spawn

FATAL_EXIT_CODES = {2, 5}
"""Configuration and permission: a service that ends so before it was ever ready would only end so again."""
_PROTOCOL_VARIABLES = frozenset(
    ["NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC"]
)
"""What our own manager may have told us is not for the children."""
_NONE = -1
"""Neither a process nor a descriptor, and nobody's number on a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A program to keep running."""

    name: str
    """What messages and its pid file call it."""
    argv: Sequence[str]
    """Path of the program, and its arguments."""
    stop_order: int
    """Children are stopped one after the other, the lowest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a supervisor waits for what."""

    restart_delays_s: tuple[float, ...] = (0, 0.1, 0.2, 0.5, 1)
    """Before the first restart, the second and so on, while the child keeps dying early. A full mirror port fills its
    ring in five seconds."""
    calm_s: float = 10
    """A child that lives so long has not died early; each such time takes it back by a delay."""
    watchdog_s: float = 30
    """A child that has said WATCHDOG=1 says it again within this time, or is killed."""
    abort_s: float = 5
    """From SIGABRT to SIGKILL: time to say where it hangs."""
    stop_s: float = 30
    """From SIGTERM to SIGKILL."""


class State(StrEnum):
    """What a service does; see the table above."""

    WAITING = "waiting"
    RUNNING = "running"
    ABORTED = "aborted"
    STOPPING = "stopping"
    ENDED = "ended"


class Service:
    """A child and its process. All times are seconds of one steady clock, which the caller reads."""

    def __init__(
        self,
        child: Child,
        patience: Patience,
        run_files: RunFiles,
        estate: Estate,
        now_s: float,
        *,
        inherited: Mapping[str, int] = MappingProxyType({}),
        store: DescriptorStore | None = None,
    ) -> None:
        """`inherited`: of the service's descriptors, what an earlier supervisor left, by name; owned from here on.
        `store`: what to start the process with, if not with what it stores."""
        self.child = child
        self.state = State.WAITING
        self.deadline_s = now_s
        """When `overdue` is to be called."""
        self.was_ready = False
        """Whether it has ever said that it works."""
        self._patience = patience
        self._run_files = run_files
        self._estate = estate
        self._backoff = Backoff(patience.restart_delays_s, patience.calm_s)
        self._notify = NotifySocket(inherited.get("notify"))
        self._store = DescriptorStore() if store is None else store
        self._pid = self._pidfd = _NONE
        self._started_s = now_s
        self._restarts = 0
        self._is_retired = self._is_left_over = False
        self._keep("notify", self._notify.fileno())
        for name, descriptor in inherited.items():
            self._inherit(name, descriptor)

    def _inherit(self, name: str, descriptor: int) -> None:
        kind, _, rest = name.partition("/")
        if kind == "store":
            self._store.put(rest, descriptor)
            self._keep(name, descriptor)
        elif kind == "process":
            self._pid, self._pidfd = int(rest), descriptor
            self._keep(name, descriptor)
            self.state, self._is_left_over = State.RUNNING, True
            self.kill()

    def _keep(self, name: str, descriptor: int) -> None:
        self._estate.keep(f"{self.child.name}/{name}", descriptor)

    def _forget(self, name: str) -> None:
        self._estate.forget(f"{self.child.name}/{name}")

    @property
    def notify_fileno(self) -> int:
        """To poll for reading before `receive`."""
        return self._notify.fileno()

    @property
    def pidfd(self) -> int:
        """To poll for reading before `reap`; -1 while there is no process."""
        return self._pidfd

    def start(self, now_s: float) -> None:
        """Start the process, with what is stored for it; if that cannot be, wait and try again."""
        self._started_s = now_s
        try:
            self._pid, self._pidfd = spawn(
                self.child.argv, self._environment(), self._store.descriptors, self._register
            )
        except OSError as error:
            self._wait_after(f"could not be started ({error.strerror})", now_s)
            return
        self.state, self.deadline_s = State.RUNNING, math.inf
        try:
            self._run_files.write_pid(self.child.name, self._pid)
        except OSError as error:
            self._tell(f"its pid file could not be written ({error.strerror})")

    def _register(self, pid: int, pidfd: int) -> None:
        self._keep(f"process/{pid}", pidfd)

    def _environment(self) -> Mapping[str, str]:
        ours = {name: value for name, value in os.environ.items() if name not in _PROTOCOL_VARIABLES}
        return {**ours, "NOTIFY_SOCKET": self._notify.address}

    def receive(self, now_s: float) -> None:
        """Take what the process has said."""
        for message in self._notify.receive(self._pid):
            self._apply(message, now_s)

    def _apply(self, message: Notification, now_s: float) -> None:
        if not self._store.apply(message):
            self._tell("a descriptor was not stored: there are too many, or it has no proper name")
        if message.says("FDSTORE") or message.says("FDSTOREREMOVE"):
            self._pass_on(message.name)
        if self._is_left_over:
            return
        self.was_ready |= message.says("READY")
        if message.says("WATCHDOG") and self.state is State.RUNNING:
            self.deadline_s = now_s + self._patience.watchdog_s

    def _pass_on(self, name: str) -> None:
        """What is stored under this name now, or not any more, is left to the next supervisor."""
        if name in self._store.descriptors:
            self._keep(f"store/{name}", self._store.descriptors[name])
        else:
            self._forget(f"store/{name}")

    def reap(self, now_s: float) -> int:
        """Take the exit code of the process, which has ended, and decide what follows; negative: the signal."""
        self.receive(now_s)  # Its last words may be a descriptor.
        code = self._exit_code()
        os.close(self._pidfd)
        self._forget(f"process/{self._pid}")
        self._pid = self._pidfd = _NONE
        self._is_left_over = False
        if self._is_retired or (code in FATAL_EXIT_CODES and not self.was_ready):
            if code not in (0, -signal.SIGTERM):
                self._tell(_ending(code))
            self.state, self.deadline_s = State.ENDED, math.inf
        else:
            self._wait_after(_ending(code), now_s)
        return code

    def _exit_code(self) -> int:
        try:
            ended = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        except ChildProcessError:
            ended = None
        if ended is None:
            return -signal.SIGKILL  # Left over from another supervisor: nobody says how it ended, but we killed it.
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def _wait_after(self, ending: str, now_s: float) -> None:
        delay_s = self._backoff.after(now_s - self._started_s)
        self._restarts += 1
        self._tell(f"{ending}; restart {self._restarts} {f'in {delay_s:g} s' if delay_s else 'at once'}")
        self.state, self.deadline_s = State.WAITING, now_s + delay_s

    def overdue(self, now_s: float) -> None:
        """Do what the table above says for the deadline."""
        if self.state is State.WAITING:
            self.start(now_s)
        elif self.state is State.RUNNING:
            self._tell("its watchdog is silent; aborted")
            self.send(signal.SIGABRT)
            self.state, self.deadline_s = State.ABORTED, now_s + self._patience.abort_s
        else:
            self.kill()

    def retire(self) -> None:
        """Do not start it again."""
        self._is_retired = True
        if self.state is State.WAITING:
            self.state, self.deadline_s = State.ENDED, math.inf

    def stop(self, now_s: float) -> None:
        """Ask the process of a retired service to end, and be patient."""
        if self.state in (State.RUNNING, State.ABORTED):
            self.send(signal.SIGTERM)
            self.state, self.deadline_s = State.STOPPING, now_s + self._patience.stop_s

    def kill(self) -> None:
        """End the process, if there is one, at once."""
        self.send(signal.SIGKILL)
        self.deadline_s = math.inf

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        if self._pidfd != _NONE:
            with suppress(ProcessLookupError):  # not our child, and gone already
                signal.pidfd_send_signal(self._pidfd, number)

    def close(self) -> None:
        """Let go of what is stored."""
        self._store.close()
        if self._pidfd != _NONE:
            os.close(self._pidfd)
        self._notify.close()

    def _tell(self, what: str) -> None:
        with suppress(OSError):
            print(f"rokubox: {self.child.name}: {what}", file=sys.stderr, flush=True)


def _ending(code: int) -> str:
    return f"killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # Most real-time signals have no name.
