"""Runs the end-to-end self-test, and keeps its result in `run/selftest.json` of the archive.

The rig works in a network namespace of its own and in a folder of its own, which is gone afterwards: customers' calls,
recordings and ledger are not touched. Without root it takes a user namespace.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.condition import observed
from appliance.diagnosis.endtoend.rig import Outcome
from appliance.diagnosis.evidence import Cause, Check, Figure, State, Step, Window
from storage.archive import Archive

NAME = "selftest.json"
LIMIT_S = 240.0
"""A slow machine takes its time; the unit that it runs in waits five minutes."""
VALID_NS = 26 * 3600 * 1_000_000_000
"""It is run every day, and takes a while."""
_FOREIGN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
"""Of the environment: the rig's daemons have no manager."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The latest result."""

    at_ns: int
    """When it was over, nanoseconds since 1970."""
    took_s: float
    """How long it took."""
    outcome: Outcome
    """What came out."""
    ran: bool = True
    """False: it could not be run at all, which says nothing of the pipeline."""


def run(archive: Archive, scratch: Path) -> Check:
    """Run it now in a folder below `scratch`, keep the result, and return it as a check."""
    began = time.monotonic()
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".selftest-", dir=scratch) as folder:
        outcome, ran = _in_own_network(Path(folder))
    took_s = round(time.monotonic() - began, 1)
    result = Result(at_ns=time.time_ns(), took_s=took_s, outcome=outcome, ran=ran)
    archive.run.mkdir(parents=True, exist_ok=True)
    observed.write(archive.run, NAME, result)
    return _check(result)


def latest(archive: Archive) -> Check:
    """Return the latest result; unknown when it is older than a day, or there is none."""
    result = observed.read(archive.run, NAME, Result)
    if result is None or not 0 <= time.time_ns() - result.at_ns < VALID_NS:
        return Check(step=Step.PIPELINE, state=State.UNKNOWN, cause=Cause.OVERDUE)
    return _check(result)


def is_due(archive: Archive) -> bool:
    """Whether the latest result is older than a day, or there is none."""
    result = observed.read(archive.run, NAME, Result)
    return result is None or not 0 <= time.time_ns() - result.at_ns < VALID_NS - 2 * 3600 * 1_000_000_000


def _in_own_network(folder: Path) -> tuple[Outcome, bool]:
    if shutil.which("unshare") is None:
        return Outcome(trouble="unshare(1) is not installed"), False
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    rig = [sys.executable, "-P", "-m", "appliance.diagnosis.endtoend.rig", str(folder)]
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    try:
        done = subprocess.run(
            ["unshare", *own, "--net", "--mount", *rig],
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return Outcome(trouble=f"no result within {LIMIT_S:.0f} s"), True
    try:
        return msgspec.json.decode(done.stdout, type=Outcome), True
    except msgspec.MsgspecError:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no word"])[-1]
        return Outcome(trouble=f"the rig could not be set up: {last[:200]}"), False


def _check(result: Result) -> Check:
    outcome = result.outcome
    right = outcome.samples > 0 and not outcome.wrong and not outcome.trouble
    figures = (
        Figure(name="samples", value=outcome.samples),
        Figure(name="samples_wrong", value=outcome.wrong),
        Figure(name="took", value=result.took_s, unit="s"),
    )
    state = State.OK if right else State.NG if result.ran else State.UNKNOWN
    cause = Cause.NONE if right else Cause.DIFFERS if result.ran else Cause.NOT_PERMITTED
    return Check(
        step=Step.PIPELINE,
        state=state,
        cause=cause,
        target=outcome.trouble,
        figures=figures,
        window=Window(begin_ns=result.at_ns - round(result.took_s * 1e9), end_ns=result.at_ns),
    )
