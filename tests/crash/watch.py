"""Looks into an archive while it is written: whatever has its final name must be whole, and stay as it is."""

import os
import threading
import zipfile
from pathlib import Path

from tests.crash.proof import SIGNED

_PERIOD_S = 0.01
Look = tuple[int, int, int]
"""File, size, time of the last change of its content."""


class Watcher:
    """Opens every recording and every call record as soon as it can be seen. A context."""

    def __init__(self, archive: Path) -> None:
        self.seen: dict[Path, Look] = {}
        self.problems: list[str] = []
        self._roots = (archive / "recordings", archive / "calls")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._look()
        for path, look in self.seen.items():
            if not path.exists():
                self.problems.append(f"{path.name}: gone again")
            elif _look_of(path) != look:
                self.problems.append(f"{path.name}: changed after it was there")

    def _run(self) -> None:
        while not self._stopped.wait(_PERIOD_S):
            self._look()

    def _look(self) -> None:
        for root in self._roots:
            for folder, _, names in os.walk(root):
                for path in (Path(folder, name) for name in names):
                    if path not in self.seen and path.name not in SIGNED:
                        self.seen[path] = _look_of(path)
                        self.problems += _trouble(path)


def _look_of(path: Path) -> Look:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _trouble(path: Path) -> list[str]:
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as bundle:
                damaged = bundle.testzip()
            return [f"{path.name}: {damaged} is damaged"] if damaged else []
        return [] if path.read_bytes().endswith(b"}\n") else [f"{path.name}: no whole record"]
    except (OSError, zipfile.BadZipFile) as error:
        return [f"{path.name}: {error}"]
