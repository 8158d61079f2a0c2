"""`rokubox record`: capture, assembly and delivery as children of one process in the foreground."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from appliance.supervision import orphan, supervisor
from appliance.supervision.service import Child
from storage.archive import Archive

CAPTURE, ASSEMBLE, UPLOAD = "capture", "assemble", "upload"


def run(archive: Archive, *, interfaces: Sequence[str], config_file: Path | None, record: str, delivers: bool) -> int:
    """Record until stopped and return the exit code; `delivers`: recordings go to targets too.

    Raises:
        AlreadyRunningError: another process records into this archive.
    """
    # It may be killed before they can look who their parent is.
    shared = ["--archive", str(archive.root), "--supervisor", str(os.getpid())]
    if config_file is not None:
        shared += ["--config", str(config_file)]
    ports = [word for name in interfaces for word in ("--interface", name)]
    left_over = orphan.find(archive.run, CAPTURE)
    taking_over = ["--take-over", str(left_over)] if left_over else []
    children = [
        Child(name=CAPTURE, argv=_argv(CAPTURE, [*shared, *ports, *taking_over]), stop_order=1),
        # Last, so that it has read all that capture wrote.
        Child(name=ASSEMBLE, argv=_argv(ASSEMBLE, [*shared, *(["--record", record] if record else [])]), stop_order=2),
    ]
    if delivers:
        children.append(Child(name=UPLOAD, argv=_argv(UPLOAD, shared), stop_order=0))
    return supervisor.run(children, archive.run, on_ready=lambda: print("ready", flush=True))


def _argv(role: str, arguments: list[str]) -> list[str]:
    return [sys.executable, "-P", "-m", "appliance.daemons", role, *arguments]
