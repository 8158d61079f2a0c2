"""Frames behind a difference of the audit, dissected: runs `dissection` and believes nothing about how it ends."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

COUNT = 3
"""Frames dissected for each difference."""
TIME_S = 30.0
"""How long a dissection may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DissectedFrame:
    """One frame as Wireshark sees it."""

    number: int
    """Number in the capture, from 1."""
    layers: tuple[str, ...]
    """Protocols, outermost first."""
    fields: tuple[str, ...]
    """Fields of the innermost one, a line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dissection:
    """What came of it."""

    frames: tuple[DissectedFrame, ...] = ()
    trouble: str = ""
    """Why there are no more frames, in one line; empty when all went well."""


def dissect(capture: Path, chosen: str, options: tuple[str, ...] = (), *, time_s: float = TIME_S) -> Dissection:
    """Dissect the first frames that a display filter lets through; never raises for what the other program does."""
    program = [sys.executable, "-m", "appliance.auditing.dissection"]
    command = [*program, str(capture.absolute()), chosen, str(COUNT), *options]
    with tempfile.TemporaryDirectory(prefix="rokubox-audit-") as empty:
        environment = os.environ | {"WIRESHARK_CONFIG_DIR": empty, "LC_ALL": "C.UTF-8"}
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=environment, start_new_session=True,
        ) as child:  # fmt: skip
            try:
                answer, _ = child.communicate(timeout=time_s)
            except subprocess.TimeoutExpired:
                return Dissection(trouble=f"dissection took longer than {time_s:g} s")
            finally:
                with suppress(ProcessLookupError):  # tshark may outlive its parent
                    os.killpg(child.pid, signal.SIGKILL)
    return _read(answer)


def _read(answer: bytes) -> Dissection:
    try:
        told = json.loads(answer)
        frames = tuple(
            DissectedFrame(number=each["number"], layers=tuple(each["layers"]), fields=tuple(each["fields"]))
            for each in told["frames"]
        )
        trouble = f"pyshark gave up: {told['trouble']}" if told["trouble"] else ""
    except (ValueError, KeyError, TypeError):
        return Dissection(trouble="pyshark gave no answer; is it installed?")
    return Dissection(frames=frames, trouble=trouble)
