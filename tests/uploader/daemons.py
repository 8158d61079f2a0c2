"""The two daemons of delivery as processes, on an archive that a test has made."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from storage.archive import Archive
from storage.ledger.entries import Delivery
from storage.ledger.view import LedgerView
from uploader.status import NAME, UploadStatus

PATIENCE_S = 60.0
"""How long anything may take before a test fails."""


def configured(folder: Path, *targets: str, delivery: str = "", names: str = '"hq"') -> Path:
    """A configuration whose enterprise's recordings go to targets (TOML, without their header)."""
    path = folder / "rokubox.toml"
    tables = "\n".join(f"[[target]]\n{target}" for target in targets)
    path.write_text(f'[[enterprise]]\nid = "E1"\ntargets = [{names}]\n[enterprise.delivery]\n{delivery}\n{tables}\n')
    return path


@contextmanager
def daemon(role: str, root: Path, config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon, killed at the end if it is still there."""
    process = begin(role, root, config)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def begin(role: str, root: Path, config: Path) -> subprocess.Popen[bytes]:
    with (root.parent / f"{role}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "appliance.daemons", role, "--archive", root, "--config", config],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


@contextmanager
def delivering(root: Path, config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Both; the uploader is the one that is given."""
    with daemon("assemble", root, config), daemon("upload", root, config) as upload:
        yield upload


def until(fact: Callable[[], object], root: Path) -> None:
    """Wait for a fact."""
    deadline = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < deadline, [(log.name, log.read_text()) for log in root.parent.glob("*.log")]
        time.sleep(0.05)


def status(root: Path) -> UploadStatus | None:
    try:
        return msgspec.json.decode((root / "run" / NAME).read_bytes(), type=UploadStatus)
    except FileNotFoundError:
        return None


def receipts(root: Path) -> list[Delivery]:
    """Every line of the ledger about deliveries."""
    lines = LedgerView(Archive(root).ledger).lines()
    return [line.entry for line in lines if isinstance(line.entry, Delivery)]


def receipted(root: Path) -> list[tuple[str, int, str]]:
    """Part and target of every receipt, as often as it is there."""
    return sorted(
        (part.call_id, part.part, one.target)
        for one in receipts(root)
        if one.outcome == "delivered"
        for part in one.parts
    )
