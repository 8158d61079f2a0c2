"""A supervisor in a process of its own, with small programs as its children. What they do they write to one log."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

REPOSITORY = Path(__file__).parents[2]

SUPERVISOR = """
import json, sys
from pathlib import Path
from appliance.supervision.service import Child, Patience
from appliance.supervision.supervisor import run

argument = json.loads(sys.argv[1])
children = [Child(name=name, argv=argv, stop_order=order) for name, argv, order in argument["children"]]
patience = Patience(**argument["patience"])
sys.exit(run(children, Path(argument["run"]), on_ready=lambda: print("ready", flush=True), patience=patience))
"""

CHILD = """
import os, signal, socket, sys, time
from appliance.supervision import servicenotify as manager

def log(*words):
    with open({log!r}, "a") as file:
        file.write(" ".join(map(str, [{name!r}, *words])) + "\\n")

def logged(*words):
    with open({log!r}) as file:
        return file.readlines().count(" ".join([{name!r}, *words]) + "\\n")

def on(number, act):
    signal.signal(number, lambda *_: act())

def forever():
    while True:
        time.sleep(0.1)  # Not pause(): a signal just before it would be slept through.

on(signal.SIGTERM, lambda: (log("terminated"), sys.exit(0)))
log("pid", os.getpid())
"""

WORKS = """
manager.ready("works")
forever()
"""


class Supervised:
    """The supervisor of children given by what they do after `CHILD`, in the order in which they are stopped."""

    def __init__(self, folder: Path, pass_fds: Iterable[int] = (), **children: str) -> None:
        self.folder = folder
        self.run = folder / "run"
        self.log = folder / "log"
        self.log.touch()
        programs = [(name, self._program(name, source)) for name, source in children.items()]
        self.children = [(name, program, order) for order, (name, program) in enumerate(programs)]
        self.stdout_file = folder / "stdout"
        self.patience: dict[str, object] = {}
        self._pass_fds = tuple(pass_fds)

    def _program(self, name: str, source: str) -> list[str]:
        program = self.folder / f"{name}.py"
        program.write_text(CHILD.format(log=str(self.log), name=name) + source)
        return [sys.executable, str(program)]

    def patient(self, **patience: object) -> Self:
        self.patience = patience
        return self

    def __enter__(self) -> Self:
        argument = {"children": self.children, "run": str(self.run), "patience": self.patience}
        with self.stdout_file.open("a") as stdout, (self.folder / "stderr").open("a") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SUPERVISOR, json.dumps(argument)],
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                pass_fds=self._pass_fds,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.process:
            self.process.kill()
        self._kill_keeper()
        for name, _, _ in self.children:
            self._kill_orphan(name)

    def _kill_keeper(self) -> None:
        with suppress(OSError):
            pid = int((self.run / "keeper.pid").read_text())
            if b"appliance.supervision.keeper" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    def _kill_orphan(self, name: str) -> None:
        """The last process of a child, unless it has ended and its number is somebody else's now."""
        for pid in self.logged(name, "pid")[-1:]:
            with suppress(OSError):
                if os.fsencode(f"{name}.py") in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(int(pid), signal.SIGKILL)

    @property
    def stdout(self) -> str:
        return self.stdout_file.read_text()

    @property
    def stderr(self) -> list[str]:
        return (self.folder / "stderr").read_text().splitlines()

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def logged(self, name: str, word: str) -> list[str]:
        """What a child wrote after this word, each time."""
        beginning = f"{name} {word} "
        return [line.removeprefix(beginning) for line in self.lines() if line.startswith(beginning)]

    def pid(self, name: str, start: int = 0) -> int:
        """Number of a child's process, once it was started for the first (0), second ... time."""
        until(lambda: len(self.logged(name, "pid")) > start)
        return int(self.logged(name, "pid")[start])

    def ready(self) -> Self:
        until(lambda: self.stdout)
        return self

    def end(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(30)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Not so when it has ended and whoever adopted it does not look (as in a container)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
