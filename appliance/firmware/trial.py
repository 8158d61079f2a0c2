"""What becomes of a slot after an update: its trial, and what the slot that runs afterwards says of it.

A slot on trial (`rokubox.trial`, said by GRUB) is good when its services are steady, the self-test finds no fault of
its software, and a known call came out of the recording path as it went in. To be marked good is the last step. When
it is not, the reason is written down and the service fails, which restarts the box (`FailureAction=`); GRUB gives such
a slot three starts. The slot that runs then finds the reason where the other one left it.
"""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from appliance.condition import observed
from appliance.diagnosis.endtoend import testcall
from appliance.diagnosis.findings import Row
from appliance.errors import FirmwareError
from appliance.firmware import manager, updatestatus
from appliance.firmware.health import LIMIT_S, STEADY_S, Steadiness
from appliance.firmware.updatestatus import (
    BEGAN,
    MAX_ATTEMPTS,
    MAX_DETAIL,
    UNDER_WAY,
    Attempt,
    Reason,
    State,
    UpdateStatus,
)
from storage.archive import Archive

SERVICES = ("rokubox-capture", "rokubox-assemble", "rokubox-agent", "rokubox-upload")
CAPTURE, SELFTEST = "rokubox-capture", "rokubox-selftest.service"
LOOK_S = 2.0
SELFTEST_S = 660.0
"""The known call and the probes have five minutes each."""
RAUC_S, RAUC_TRIES = 330.0, 3
_MARK = (
    *("busctl", "call", "--timeout=300", "de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer"),
    *("Mark", "ss"),
)
"""Not `rauc status`: that waits for 25 s, and a box that starts may be slow."""
PRINTED = Path("/run/rokubox/selftest/rokubox-selftest.json")
"""What the self-test has said last."""
MAX_PRINTED_BYTES = 16 << 20
SOFTWARE = frozenset({Row.RECORDER_STOPPED, Row.PIPELINE_FAILED, Row.INTERFACE_MISSING})
"""Findings that speak against a slot. That a line, the mirror or a disk is out, or the clock wrong, is no reason to go
back: it was so before."""


class _Finding(msgspec.Struct):
    row: str


class _Verdict(msgspec.Struct):
    """The part of what `rokubox selftest --json` says that matters here."""

    findings: list[_Finding]


class TrialError(Exception):
    """The slot is not good."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSettings:
    """What a trial is to know."""

    archive: Archive
    slot: str
    boot_id: str
    running: str
    """Version that runs."""
    folder: Path = updatestatus.FOLDER
    steady_s: float = STEADY_S
    limit_s: float = LIMIT_S


def run(settings: TrialSettings) -> None:
    """Judge the slot that runs and mark it good.

    Raises:
        TrialError: it is not good; the reason is written down.
    """
    status = begun(updatestatus.read(settings.folder), settings, time.time_ns())
    updatestatus.write(status, settings.folder)
    try:
        _judge(settings)
        _mark("good", "booted")
    except (TrialError, FirmwareError) as error:
        reason = error.reason if isinstance(error, TrialError) else Reason.GATE
        last = replace(status.attempts[-1], reason=reason, detail=str(error)[:MAX_DETAIL])
        updatestatus.write(
            replace(status, changed_ns=time.time_ns(), attempts=(*status.attempts[:-1], last)), settings.folder
        )
        raise TrialError(reason, str(error)) from error
    updatestatus.write(
        replace(
            status, state=State.GOOD, changed_ns=time.time_ns(), records_ns=manager.up_since_ns(CAPTURE), attempts=()
        ),
        settings.folder,
    )


def begun(status: UpdateStatus | None, settings: TrialSettings, now_ns: int) -> UpdateStatus:
    """The status with one more attempt, which has no end yet. Pure."""
    if status is None or status.state not in UNDER_WAY:
        status = UpdateStatus(
            state=State.ON_TRIAL, source="file", began_ns=now_ns, changed_ns=now_ns, running="", slot=settings.slot
        )
    attempt = Attempt(boot_id=settings.boot_id, at_ns=now_ns)
    return replace(
        status,
        state=State.ON_TRIAL,
        slot=settings.slot,
        version=settings.running,
        changed_ns=now_ns,
        attempts=(*status.attempts, attempt)[-MAX_ATTEMPTS:],
    )


def _judge(settings: TrialSettings) -> None:
    """Raises TrialError, FirmwareError."""
    steadiness = Steadiness(steady_s=settings.steady_s)
    began_s = time.monotonic()
    _until_steady(steadiness, began_s + settings.limit_s)
    tested_ns = time.time_ns()
    if not manager.start(SELFTEST, SELFTEST_S):
        raise TrialError(Reason.SELF_TEST, "the self-test could not be run")
    if found := SOFTWARE & _found():
        raise TrialError(Reason.SELF_TEST, f"the self-test has found: {', '.join(sorted(found))}")
    _known_call(settings.archive, tested_ns)
    _until_steady(steadiness, time.monotonic() + settings.limit_s)


def _until_steady(steadiness: Steadiness, deadline_s: float) -> None:
    while not steadiness.see(manager.states(SERVICES), time.monotonic()):
        if time.monotonic() > deadline_s:
            raise TrialError(Reason.UNSTABLE, steadiness.complaint())
        time.sleep(LOOK_S)


def _found() -> set[Row]:
    """What the self-test has recognised. Raises TrialError."""
    try:
        with PRINTED.open("rb") as printed:
            verdict = msgspec.json.decode(printed.read(MAX_PRINTED_BYTES), type=_Verdict)
    except (OSError, msgspec.MsgspecError):
        raise TrialError(Reason.SELF_TEST, "the self-test came to no result") from None
    return {Row(finding.row) for finding in verdict.findings if finding.row in set(Row)}


def _known_call(archive: Archive, since_ns: int) -> None:
    """Raises TrialError."""
    result = observed.read(archive.run, testcall.NAME, testcall.Result)
    if result is None or result.at_ns < since_ns:
        raise TrialError(Reason.KNOWN_CALL, "the known call was not made")
    outcome = result.outcome
    if not result.ran or outcome.trouble or outcome.wrong or not outcome.samples:
        told = outcome.trouble or f"{outcome.wrong} of {outcome.samples} samples are not what was said"
        raise TrialError(Reason.KNOWN_CALL, f"the known call: {told}")


def booted(folder: Path, slot: str, records_ns: Callable[[], int | None]) -> UpdateStatus | None:
    """What an ordinary start means: this slot is good, and an update that was under way has come to its end.

    Returns the status when it has changed. Raises FirmwareError, OSError.
    """
    _mark("good", "booted")
    before = updatestatus.read(folder)
    now_ns = time.time_ns()
    began = (folder / BEGAN).exists()
    after = None if before is None else settled(before, slot, now_ns, began=began)
    if after is None:
        return None
    if after.state is State.ROLLED_BACK:
        _mark("bad", "other")
    if after.stops_ns is not None:
        after = replace(after, records_ns=records_ns())
    updatestatus.write(after, folder)
    return after


def settled(before: UpdateStatus, slot: str, now_ns: int, *, began: bool) -> UpdateStatus | None:
    """The status after an ordinary start from a slot; None when it stays as it is. Pure.

    `began`: the other slot had its system up at least, whatever it could write down.
    """
    if before.state not in UNDER_WAY:
        return None
    changed = replace(before, changed_ns=now_ns)
    if before.state in (State.DOWNLOADING, State.VERIFYING):
        return replace(
            changed, state=State.REFUSED, reason=Reason.DOWNLOAD, detail="the box was switched off meanwhile"
        )
    if before.slot == slot:  # it was marked good, and the power went before that was written down
        return replace(changed, state=State.GOOD, attempts=())
    if before.state is State.INSTALLING:
        return replace(changed, state=State.FAILED, reason=Reason.INSTALL, detail="the box was switched off meanwhile")
    last = before.attempts[-1] if before.attempts else None
    if last is not None:
        return replace(changed, state=State.ROLLED_BACK, reason=last.reason, detail=last.detail)
    return replace(changed, state=State.ROLLED_BACK, reason=Reason.GATE if began else Reason.DID_NOT_BOOT)


def _mark(order: str, slot: str) -> None:
    """Have RAUC say something of a slot to the boot loader; it may be slow to begin. Raises FirmwareError."""
    told = ""
    for _ in range(RAUC_TRIES):
        try:
            done = subprocess.run(
                [*_MARK, order, slot],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=RAUC_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            told = type(error).__name__
            continue
        if not done.returncode:
            return
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        told = lines[-1] if lines else "no reason given"
    raise FirmwareError(f"RAUC does not mark the slot {order}: {told}")
