"""One update: a bundle is brought, checked to its last byte, installed into the other slot, and the box restarts.

    fetch -> FOLDER/bundle.raucb -> verify everything -> RAUC writes the other slot -> told that the box stops recording
    -> restart

Nothing is written to a slot before everything is verified. RAUC, which may write slots, does so when it is asked; who
asks has no rights but that (`systemd/system/rokubox-update.service`).
"""

import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.errors import AlreadyRunningError, BundleError, FirmwareError, ToolMissingError
from appliance.firmware import bootedslots, bundle, updatestatus
from appliance.firmware.updatestatus import MAX_DETAIL, Reason, State, UpdateStatus

RESTART = Path("/run/rokubox/restart/now")
"""A file that has the service manager restart the box (`rokubox-restart.path`)."""
KEPT = "bundle.raucb"
ANNOUNCED_S = 15.0
"""Between the announcement and the restart: the agent looks every few seconds, and tells the NOC."""
INSTALL_S = 3600.0

Fetch = Callable[[Path], None]
"""Brings the bundle to a path. Raises BundleError."""
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSettings:
    """What an update is to know."""

    running: str
    """Version that runs."""
    folder: Path = updatestatus.FOLDER
    restart: Path = RESTART
    configuration: Path = bundle.CONFIGURATION
    allows_older: bool = False
    tries_again: bool = False
    """Also a bundle that was rolled back before."""
    announced_s: float = ANNOUNCED_S
    booted: Callable[[], Mapping[str, str]] = bootedslots.arguments
    """Arguments of the kernel that runs."""
    now_ns: Callable[[], int] = time.time_ns


class Update:
    """Carries out one update, and writes down how it stands."""

    def __init__(self, settings: UpdateSettings, source: str, tell: Tell) -> None:
        """`source`: `medium`, `url` or `file`. `tell` says to whoever waits how it goes on."""
        self._settings = settings
        self._tell = tell
        self._before = updatestatus.read(settings.folder)
        now_ns = settings.now_ns()
        self._status = UpdateStatus(
            state=State.DOWNLOADING, source=source, began_ns=now_ns, changed_ns=now_ns, running=settings.running
        )

    def run(self, fetch: Fetch) -> UpdateStatus:
        """Do everything up to the restart, which is asked for.

        Raises:
            BundleError: it is not taken; nothing was written to a slot.
            FirmwareError: it could not be written to the other slot.
        """
        path, is_fetched = self._settings.folder / KEPT, False
        with _alone(self._settings.folder):
            try:
                slot = self._other_slot()
                self._enter(State.DOWNLOADING)
                fetch(path)
                is_fetched = True
                self._enter(State.VERIFYING)
                self._verify(path)
                self._enter(State.INSTALLING, slot=slot)
                self._install(path)
            except BundleError as error:
                self._end(State.REFUSED, Reason(error.reason), str(error))
                raise
            except (FirmwareError, ToolMissingError, OSError) as error:
                is_written = self._status.state is State.INSTALLING
                reason = Reason.NO_ROOM if isinstance(error, OSError) and not is_written else Reason.INSTALL
                self._end(State.FAILED if is_written else State.REFUSED, reason, str(error))
                raise
            finally:
                if is_fetched:  # what was fetched in part is gone on with
                    path.unlink(missing_ok=True)
            (self._settings.folder / updatestatus.BEGAN).unlink(missing_ok=True)
            stops_ns = self._settings.now_ns() + round(self._settings.announced_s * 1e9)
            self._enter(State.RESTARTING, stops_ns=stops_ns)
            time.sleep(self._settings.announced_s)
            self._settings.restart.touch()
        return self._status

    def _other_slot(self) -> str:
        booted = self._settings.booted()
        if "slot" not in booted:
            raise FirmwareError("this machine does not run the appliance's image: there is no slot to update")
        is_proved = self._before is not None and self._before.state is State.GOOD
        is_open = self._before is not None and self._before.state in (State.RESTARTING, State.ON_TRIAL)
        if ("trial" in booted and not is_proved) or (is_open and not self._settings.tries_again):
            raise BundleError(Reason.ON_TRIAL, "what runs is on trial itself; the other slot is the way back")
        return "B" if booted["slot"] == "A" else "A"

    def _verify(self, path: Path) -> None:
        """See whether the bundle is one that may be installed. Raises BundleError."""
        found = bundle.inspect(path, self._settings.configuration)
        self._status = replace(self._status, version=found.version, bundle=found.hash)
        before, running = self._before, self._settings.running
        if is_older(found.version, running) and not self._settings.allows_older:
            raise BundleError(Reason.OLDER, f"version {found.version} is older than {running}, which runs")
        is_again = before is not None and before.bundle == found.hash
        is_here = is_again and before is not None and before.state is State.GOOD
        # A medium stays plugged in, and is found again at the next start.
        if is_here or (self._status.source == "medium" and _is_same(found.version, running)):
            raise BundleError(Reason.SAME, f"version {found.version} runs already")
        if is_again and before is not None and before.state is State.ROLLED_BACK and not self._settings.tries_again:
            raise BundleError(
                Reason.FAILED_BEFORE, f"version {found.version} was tried, and rolled back: {before.reason}"
            )
        self._tell(f"version {found.version}, signature good; checking every byte")
        bundle.verify(path, found)

    def _install(self, path: Path) -> None:
        self._tell("complete; writing it to the other slot")
        path.chmod(0o644)
        try:
            done = subprocess.run(
                ["rauc", "install", str(path)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=INSTALL_S,
            )
        except subprocess.TimeoutExpired:
            raise FirmwareError("writing the slot has found no end") from None
        if done.returncode:
            told = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            found = next(
                (line for line in told if line.startswith("LastError:")), told[-1] if told else "no reason given"
            )
            raise FirmwareError(f"the slot could not be written: {found.removeprefix('LastError:').strip()}")

    def _enter(self, state: State, **more: str | int) -> None:
        self._status = replace(self._status, state=state, changed_ns=self._settings.now_ns(), **more)  # type: ignore[arg-type]
        updatestatus.write(self._status, self._settings.folder)

    def _end(self, state: State, reason: Reason, detail: str) -> None:
        """Write down why it came to nothing; what cannot be written down is told all the same.

        Of an update that is on its way, as when it is on trial, the status stays as it is.
        """
        if reason in (Reason.ON_TRIAL, Reason.SAME, Reason.FAILED_BEFORE) and self._before is not None:
            self._status = self._before
            with suppress(OSError):
                updatestatus.write(self._before, self._settings.folder)
            return
        self._status = replace(self._status, state=state, reason=reason, detail=detail[:MAX_DETAIL])
        with suppress(OSError):
            self._enter(state)


def is_older(version: str, than: str) -> bool:
    """Whether a version comes before another one; missing places count as 0."""
    return _places(version) < _places(than)


def _is_same(version: str, as_: str) -> bool:
    return _places(version) == _places(as_)


def _places(version: str) -> tuple[int, ...]:
    numbers = [int(place) for place in version.split(".")]
    return tuple(numbers + [0] * (4 - len(numbers)))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While no other update goes on. Raises AlreadyRunningError, OSError."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        with suppress(OSError):
            os.fchmod(descriptor, 0o660)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError("an update is under way; `rokubox update --status` shows how far it is") from None
        yield
    finally:
        os.close(descriptor)
