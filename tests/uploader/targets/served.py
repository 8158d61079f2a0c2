"""Real servers for the contract tests: each with a folder behind it, to look into and to lay something into."""

import socket
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

from uploader.settings import TargetSettings

FOLDER = "録音 box"
"""Of every target: names that have to be encoded."""

_STORES_OWN = ".rclone_temp_put_"
"""How the S3 store names what it was being sent when it died; no client of it ever sees that."""


class Served(ABC):
    """A target and the server behind it. A context: the server runs in it."""

    resumes = True
    """It goes on where a transfer broke off."""
    hides_drafts = True
    """A file has its final name when it is whole."""

    def __init__(self, folder: Path, store: Path | None = None) -> None:
        """`folder`: for keys, logs and configuration; `store`: where the server keeps files."""
        self.folder = folder
        self.store = store or folder / "store"
        self.below = self.store / FOLDER
        """What the target's folder is on the server's disk."""
        self.below.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def settings(self) -> TargetSettings:
        """How to deliver to it."""

    def impostor(self) -> TargetSettings | None:
        """The same with another identity expected than the server has; None where nobody is asked for one."""
        return None

    def intruder(self) -> TargetSettings | None:
        """The same with credentials that are not accepted."""
        return None

    def read(self, path: str) -> bytes | None:
        """What the target holds under a name."""
        with suppress(FileNotFoundError):
            return (self.below / path).read_bytes()
        return None

    def plant(self, path: str, content: bytes) -> None:
        """Lay a file there."""
        (self.below / path).parent.mkdir(parents=True, exist_ok=True)
        (self.below / path).write_bytes(content)

    def names(self) -> set[str]:
        """Everything that is there."""
        files = (path for path in self.below.rglob("*") if path.is_file() and not path.name.startswith(_STORES_OWN))
        return {str(path.relative_to(self.below)) for path in files}

    @abstractmethod
    def start(self) -> None:
        """Start the server and wait until it listens."""

    def stop(self) -> None:
        """Kill the server."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> "Served":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, argv: list[str], port: int, **options) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **options)
        deadline = time.monotonic() + 20
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            ended = self._process.poll()
            told = (self.folder / "server.log").read_text(errors="replace")[-2000:]
            assert ended is None, told
            assert time.monotonic() < deadline, told
            time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class DirectoryServed(Served):
    """A directory, which needs no server."""

    @property
    def settings(self) -> TargetSettings:
        return TargetSettings(name="directory", url=self.below.as_uri())

    def stop(self) -> None:
        if self.below.exists():
            self.below.rename(self.store / "unmounted")

    def start(self) -> None:
        with suppress(FileNotFoundError):
            (self.store / "unmounted").rename(self.below)
