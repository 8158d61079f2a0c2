"""Keeps the children of `rokubox record` running in the foreground, as systemd does with its units.

It speaks systemd's protocol to them and nothing else (`notifysocket`, `spawn`), so that the same programs serve under
either. What a child stored outlives the child, and the next process gets it back. A supervisor that is killed takes no
child with it: a keeper holds what was stored (`estate`), and the next supervisor replaces the children. One thread, one
loop: it waits for the children, for what they say, for signals and for deadlines.
"""

import math
import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from appliance.supervision import keeper
from appliance.supervision.estate import Estate
from appliance.supervision.runfiles import RunFiles
from appliance.supervision.service import FATAL_EXIT_CODES, Child, Patience, Service, State
from appliance.supervision.signalqueue import SignalQueue

HASTE_AFTER_S = 0.5
"""Who asks once more after this long is in a hurry; sooner it is one request that reached us on two ways."""
_END = (signal.SIGTERM, signal.SIGINT)
_PATIENCE = Patience()


def run(
    children: Sequence[Child], run_directory: Path, *, on_ready: Callable[[], None], patience: Patience = _PATIENCE
) -> int:
    """Keep the children running until SIGTERM or SIGINT, and return the exit code: 0, or that of a child.

    A child's own exit code is returned when it says, before it was ever ready, that it cannot work: 2 or 5. The others
    are stopped then. A second SIGTERM or SIGINT kills what has not ended yet; SIGHUP is passed on. `on_ready` is called
    once, when all have been ready; what it raises stops the children too. To be called in the main thread, without
    other threads.

    Raises:
        AlreadyRunningError: another supervisor owns the directory.
        OSError: the directory cannot be written.
    """
    with (
        RunFiles(run_directory) as run_files,
        SignalQueue((*_END, signal.SIGHUP)) as signals,
        closing(_Supervisor(children, run_directory, run_files, signals, on_ready, patience)) as supervisor,
    ):
        try:
            return supervisor.supervise()
        finally:
            supervisor.stop()


class _Supervisor:
    def __init__(
        self,
        children: Sequence[Child],
        run_directory: Path,
        run_files: RunFiles,
        signals: SignalQueue,
        on_ready: Callable[[], None],
        patience: Patience,
    ) -> None:
        now_s = time.monotonic()
        inherited, earlier = keeper.inherit(run_directory)
        self._estate = Estate(run_directory, earlier)
        self._services = [
            Service(child, patience, run_files, self._estate, now_s, inherited=_take(inherited, child.name))
            for child in sorted(children, key=lambda child: child.stop_order)
        ]
        # The last to be stopped. It begins with all that is left of the supervisor before, whose keeper is needed until
        # then.
        last = Child(name="keeper", argv=keeper.ARGV, stop_order=len(children))
        self._services.append(Service(last, patience, run_files, self._estate, now_s, store=self._estate.store))
        self._signals = signals
        self._on_ready = on_ready
        self._is_ready = False
        self._exit_code: int | None = None
        self._ended_s = math.inf
        self._selector = selectors.DefaultSelector()
        self._selector.register(signals, selectors.EVENT_READ, self._signalled)
        for service in self._services:
            self._selector.register(service.notify_fileno, selectors.EVENT_READ, partial(self._receive, service))
            self._watch(service)
        self._replace_keeper(inherited)

    def _replace_keeper(self, inherited: Mapping[str, int]) -> None:
        """Start ours, let it be found, and only then end the one before, and what else is left over."""
        processes = {name: descriptor for name, descriptor in inherited.items() if "/process/" in name}
        for name, pidfd in processes.items():
            self._estate.keep(name, pidfd)
        ours = self._services[-1]
        self._overdue(ours)
        if ours.state is State.RUNNING:
            self._estate.replace_keeper(processes)
        for descriptor in inherited.values():
            os.close(descriptor)

    def supervise(self) -> int:
        """Until something ends it; the exit code."""
        while self._exit_code is None:
            self._turn()
        return self._exit_code

    def stop(self) -> None:
        """End the children one after the other."""
        self._end(0)
        for service in self._services:
            service.retire()
        for service in self._services:
            service.stop(time.monotonic())
            while service.state is not State.ENDED:
                self._turn()

    def close(self) -> None:
        """Let go of everything."""
        self._selector.close()
        for service in self._services:
            service.close()
        self._estate.close()

    def _turn(self) -> None:
        """Wait until something happens or is due, and act on it."""
        wait_s = min(service.deadline_s for service in self._services) - time.monotonic()
        for key, _ in self._selector.select(None if wait_s == math.inf else max(wait_s, 0)):
            key.data()
        for service in self._services:
            if service.deadline_s <= time.monotonic():
                self._overdue(service)

    def _overdue(self, service: Service) -> None:
        was_waiting = service.state is State.WAITING
        service.overdue(time.monotonic())
        if was_waiting:
            self._watch(service)

    def _watch(self, service: Service) -> None:
        """Notice the end of a process that there is from now on."""
        if service.state is State.RUNNING:
            self._selector.register(service.pidfd, selectors.EVENT_READ, partial(self._reap, service))

    def _receive(self, service: Service) -> None:
        service.receive(time.monotonic())
        if not self._is_ready and self._exit_code is None and all(service.was_ready for service in self._services):
            self._is_ready = True
            self._on_ready()

    def _reap(self, service: Service) -> None:
        self._selector.unregister(service.pidfd)
        code = service.reap(time.monotonic())
        if service.state is State.ENDED and code in FATAL_EXIT_CODES:
            self._end(code)

    def _signalled(self) -> None:
        for number in self._signals.read():
            if number not in _END:
                for service in self._services:
                    service.send(number)
            elif self._exit_code is None:
                self._end(0)
            elif time.monotonic() - self._ended_s >= HASTE_AFTER_S:
                for service in self._services:
                    service.kill()

    def _end(self, code: int) -> None:
        """What ends it first decides the exit code."""
        if self._exit_code is None:
            self._exit_code = code
            self._ended_s = time.monotonic()


def _take(inherited: dict[str, int], service: str) -> dict[str, int]:
    """Take the part of a service out of what an earlier supervisor left."""
    names = [name for name in inherited if name.startswith(f"{service}/")]
    return {name.removeprefix(f"{service}/"): inherited.pop(name) for name in names}
