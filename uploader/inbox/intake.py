"""The watched directory: files that have settled are copied, checked, gathered to calls; what is wrong is set aside.

    drop/name.zip --unchanged for settle_s--> copied to stage/ (nobody changes it there) --check--> a part of a call
        |                                                                   |
        +<------------------- removed when the archive has it ------+       +--> quarantine/, with the reason

Nothing but the files themselves is remembered: killed at any instant, they are looked at anew. A file is deleted only
when the archive has what is in it.
"""

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from storage.disk import DIRECTORY_MODE
from uploader.inbox import checking, naming
from uploader.inbox.checking import Checked, Reason, RejectedError
from uploader.inbox.countdown import KEPT_NS
from uploader.inbox.naming import Named
from uploader.inbox.settings import InboxSettings

STAGE, QUARANTINE = "stage", "quarantine"
NS = 1_000_000_000
_SLOW = 20
"""So many times settle_s a file may stand still before it is taken for one that will not be finished."""
_COPY_BYTES = 1 << 20
_LEAST_ROOM_BYTES = 64 << 20
"""An hour of a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file that is as it should be."""

    name: str
    """Its name in the drop."""
    identity: tuple[int, int, int]
    """Inode, size and time of change, to see whether it is another one by now."""
    named: Named
    checked: Checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A call of which everything is there, or nothing more comes."""

    call_id: str
    parts: tuple[Part, ...]
    """In order."""
    missing: tuple[int, ...]
    """Numbers of parts that did not come."""


class Intake:
    """Looks at one drop. Not for several threads at once. Methods raise OSError when a disk fails."""

    def __init__(self, settings: InboxSettings, folder: Path, zone: ZoneInfo, now_ns: Callable[[], int]) -> None:
        """`folder`: the uploader's own, for `stage/` and `quarantine/`."""
        self._settings = settings
        self._drop = Path(settings.directory)
        self.stage = folder / STAGE
        self.quarantine = folder / QUARANTINE
        self._pattern = re.compile(settings.name_pattern)
        self._zone = zone
        self._now_ns = now_ns
        self._still: dict[str, tuple[tuple[int, int, int], float]] = {}
        self._parts: dict[str, Part] = {}
        for own in (self.stage, self.quarantine):
            own.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        for left in self.stage.iterdir():
            left.unlink()

    @property
    def waiting(self) -> int:
        """Files in the drop, as of the last look."""
        return len(self._still)

    @property
    def set_aside(self) -> int:
        """Files in quarantine."""
        return sum(path.suffix == ".json" for path in self.quarantine.iterdir())

    def is_able(self) -> bool:
        """Whether something could be received: the drop is there, can be written, and has room."""
        try:
            status = os.statvfs(self._drop)
        except OSError:
            return False
        has_room = status.f_bavail * status.f_frsize >= _LEAST_ROOM_BYTES
        return has_room and os.access(self._drop, os.R_OK | os.W_OK | os.X_OK)

    def look(self) -> Iterator[Ready]:
        """Check what has settled since; the calls that are ready now."""
        for name in self._settled():
            if name not in self._parts:
                self._take(name)
        self._parts = {name: part for name, part in self._parts.items() if name in self._still}
        calls: dict[str, dict[int, Part]] = {}
        for part in self._parts.values():
            calls.setdefault(part.named.call_id, {}).setdefault(part.named.part, part)
        for call_id, parts in calls.items():
            missing = self._missing(parts)
            if missing is not None:
                ordered = tuple(parts[number] for number in sorted(parts))
                yield Ready(call_id=call_id, parts=ordered, missing=missing)

    def stored(self, ready: Ready) -> None:
        """The archive has the call: its files go, those that are still the same."""
        for part in ready.parts:
            with suppress(FileNotFoundError):
                if _identity(os.lstat(self._drop / part.name)) == part.identity:
                    (self._drop / part.name).unlink()
            self._forget(part)

    def refused(self, ready: Ready) -> None:
        """The archive has the call with other content."""
        for part in ready.parts:
            self._set_aside(part.name, Reason.CONFLICT)
            self._forget(part)

    def _forget(self, part: Part) -> None:
        self._parts.pop(part.name, None)
        self._still.pop(part.name, None)
        part.checked.wav.unlink(missing_ok=True)

    def _settled(self) -> list[str]:
        """Names of files that have not changed for `settle_s`."""
        now_s = time.monotonic()
        still: dict[str, tuple[tuple[int, int, int], float]] = {}
        with os.scandir(self._drop) as listing:
            for entry in listing:
                if len(still) >= self._settings.max_waiting:
                    break
                with suppress(FileNotFoundError):
                    identity = _identity(entry.stat(follow_symlinks=False))
                    before = self._still.get(entry.name)
                    is_same = before is not None and before[0] == identity
                    still[entry.name] = before if is_same and before else (identity, now_s)
                    if not is_same:
                        self._parts.pop(entry.name, None)
        self._still = still
        return [name for name, (_, since_s) in still.items() if now_s - since_s >= self._settings.settle_s]

    def _take(self, name: str) -> None:
        """Check one file and keep what it is, or set it aside."""
        named = naming.parse(name, self._pattern, self._zone)
        claimed = self.stage / "claimed.zip"
        try:
            if named is None:
                raise RejectedError(Reason.NAME)
            identity = self._copied(name, claimed)
            checked = checking.check(claimed, self.stage, max_wav_bytes=self._settings.max_wav_bytes)
            self._parts[name] = Part(name=name, identity=identity, named=named, checked=checked)
        except RejectedError as error:
            if error.reason in _MAY_GO_ON and not self._is_slow(name):
                return
            self._set_aside(name, error.reason)
        except FileNotFoundError:
            pass
        finally:
            claimed.unlink(missing_ok=True)

    def _is_slow(self, name: str) -> bool:
        return time.monotonic() - self._still[name][1] >= _SLOW * self._settings.settle_s

    def _copied(self, name: str, to: Path) -> tuple[int, int, int]:
        """Copy a file to where nobody else can change it."""
        try:
            source = os.open(self._drop / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise RejectedError(Reason.NOT_A_FILE) from error
        with os.fdopen(source, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise RejectedError(Reason.NOT_A_FILE)
            if not status.st_size:
                raise RejectedError(Reason.EMPTY)
            if status.st_size > self._settings.max_file_bytes:
                raise RejectedError(Reason.TOO_LARGE)
            with to.open("wb") as copy:
                left = self._settings.max_file_bytes
                while chunk := file.read(min(_COPY_BYTES, left)):
                    copy.write(chunk)
                    left -= len(chunk)
        return _identity(status)

    def _set_aside(self, name: str, reason: Reason) -> None:
        """Move a file out of the drop, with the reason beside it; where it cannot be moved it stays."""
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now_ns() // NS))
        stem = next(
            stem
            for number in range(1_000_000)
            if not (self.quarantine / (stem := f"{at}-{number:03d}")).with_suffix(".json").exists()
        )
        try:
            status = os.lstat(self._drop / name)
            said = {"reason": reason, "name": name, "bytes": status.st_size, "at_ns": self._now_ns()}
            self._move(self._drop / name, self.quarantine / f"{stem}.file", status)
        except FileNotFoundError:
            return
        (self.quarantine / f"{stem}.json").write_bytes(msgspec.json.encode(said) + b"\n")
        self._still.pop(name, None)

    def _move(self, source: Path, final: Path, status: os.stat_result) -> None:
        try:
            os.rename(source, final)
        except OSError:
            if not stat.S_ISREG(status.st_mode):
                raise
            draft = final.with_name(f".{final.name}")
            with source.open("rb") as file, draft.open("wb") as copy:
                while chunk := file.read(_COPY_BYTES):
                    copy.write(chunk)
                copy.flush()
                os.fsync(copy.fileno())
            draft.rename(final)
            source.unlink()

    def _missing(self, parts: dict[int, Part]) -> tuple[int, ...] | None:
        """Numbers of parts that are missing from a call that is ready; None when more is waited for."""
        some = next(iter(parts.values())).named
        if not some.is_split:
            return ()
        total = max(part.named.of for part in parts.values())
        missing = tuple(number for number in range(1, max(total, *parts) + 1) if number not in parts)
        if total and not missing:
            return ()
        quiet_ns = self._now_ns() - max(part.identity[2] for part in parts.values())
        if not total and not missing and quiet_ns >= self._settings.gather_s * NS:
            return ()
        # The carrier tries for seven days and deletes then.
        return missing if quiet_ns >= KEPT_NS else None


_MAY_GO_ON = (Reason.NAME, Reason.EMPTY, Reason.TRUNCATED, Reason.NOT_A_ZIP)
"""What a file may be while it is still being written."""


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
