"""What was set aside is not kept for ever, and a certificate says what may still lie there."""

import os
from pathlib import Path

from appliance.assembling import setaside
from appliance.config import Configuration
from appliance.custody import archiveclient, erasing, inventory
from appliance.custody.orders import Order
from storage.archive import Archive
from tests.storage.retention.archives import make

DAY_S = 86_400
CALLS_S = 1_767_312_000
"""A moment of the day of the calls that are made here, 2026-01-02."""


def block(folder: Path, name: str, at_s: float) -> Path:
    path = folder / f"{name}.rkj"
    path.write_bytes(b"packets")
    os.utime(path, (at_s, at_s))
    return path


def test_after_a_month_only_the_name_is_left(tmp_path: Path) -> None:
    old = block(tmp_path, "0" * 16, CALLS_S)
    young = block(tmp_path, f"{'a' * 64}-1", CALLS_S + DAY_S)
    setaside.empty_old(tmp_path, CALLS_S + 30 * DAY_S + 1)
    assert (old.read_bytes(), young.read_bytes()) == (b"", b"packets")
    assert setaside.kept(tmp_path) == 1
    assert setaside.kept(tmp_path / "no") == 0
    assert setaside.names(tmp_path) == ["0" * 16, f"{'a' * 64}-1"]
    setaside.empty_old(tmp_path / "no", CALLS_S)


def test_what_may_still_lie_there_is_said(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    for number, (at_s, is_clean) in enumerate(((CALLS_S - 2 * DAY_S, True), (CALLS_S + 5, False))):
        make(archive.root, 1, parts=1)
        archive.quarantine.mkdir(exist_ok=True)
        block(archive.quarantine, "0" * 16, at_s)
        calls = list(inventory.calls(archive, lambda _error: None))
        order = Order(subject="s", rule="r", who="w", why="y")
        with archiveclient.asking(archive, Configuration()) as ask:
            done = erasing.erase(archive, Configuration(), ask, calls, order, tmp_path / f"certificate-{number}")
        assert (done.calls, done.journal_clean) == (1, is_clean)
        archive = Archive(tmp_path / "another")
