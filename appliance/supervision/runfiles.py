"""The folder `run/` of an archive: which processes record into it. One supervisor at a time owns it."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from appliance.errors import AlreadyRunningError

_OWNER = "record"


class RunFiles:
    """The owner's and its children's process numbers, `<name>.pid`; removed at the end.

    Raises `AlreadyRunningError` when another process owns the folder, `OSError` when it cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._names: set[str] = set()
        self._lock = _own(self._path(_OWNER))

    def write_pid(self, name: str, pid: int) -> None:
        """Write the process number of a child; a reader sees the old one or the new one.

        Raises:
            OSError: the file cannot be written.
        """
        self._names.add(name)
        hidden = self._directory / f".{name}.pid"
        try:
            hidden.write_text(f"{pid}\n")
            hidden.rename(self._path(name))
        except OSError:
            with suppress(OSError):
                hidden.unlink()
            raise

    def close(self) -> None:
        """Remove the files, as far as that is possible, and give the folder back."""
        for name in (*self._names, _OWNER):
            with suppress(OSError):
                self._path(name).unlink()
        os.close(self._lock)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.pid"

    def __enter__(self) -> "RunFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _own(path: Path) -> int:
    """Lock the owner's file, write our number into it, and return the descriptor that holds the lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                _write_number(descriptor)
                return descriptor
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise AlreadyRunningError(f"{path.parent}: another process records here already (pid {owner})") from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _write_number(descriptor: int) -> None:
    # The lock is what counts; a full disk is no reason not to start.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the path still names what was opened: its last owner may have removed it in between."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
