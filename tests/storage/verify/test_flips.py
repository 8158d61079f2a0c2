"""Any single byte of any file of the archive is changed, and found."""

import pytest

from storage.archive import Archive
from storage.verify.daycheck import DayCheck
from storage.verify.defects import exit_code
from storage.verify.ledgerscan import LedgerScan
from tests.storage.verify.archives import kinds, verified

NO_DAY = 9999_12_31
"""Verification from this date on looks at the ledger and the folders alone."""


def flipped(path, places):
    """Change one byte after the other; the file is as before at the end."""
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for place in places:
            file.seek(place)
            file.write(bytes([whole[place] ^ (1 + place % 255)]))
            yield place
            file.seek(place)
            file.write(whole[place : place + 1])
    assert path.read_bytes() == whole


def test_every_byte_of_every_recording_and_call_record(made):
    scan = LedgerScan(made.root / "ledger", ())
    for _ in scan.read():
        pass
    check = DayCheck(
        archive=Archive(made.root), scan=scan, read=lambda file, size: file.read(size), done=lambda _entry: None
    )
    assert len(made.parts) == 4
    assert len(made.records) == 4
    for path in (*made.parts, *made.records):
        assert list(check.one(path)) == []
        for place in flipped(path, range(path.stat().st_size)):
            found = {defect.kind.value for defect in check.one(path)}
            assert found == {"altered"}, (path.name, place)
    scan.close()


SMALL = (
    "checkpoint",
    "checkpoints/2026-01-02.txt",
    "checkpoints/key-16.txt",
    "device.key",
    "device.pub",
    "../recordings/checkpoint.txt",
    "../recordings/device-key.pem",
)


@pytest.mark.parametrize(
    ("name", "step", "kind"),
    [("entries.jsonl", 5, "ledger"), ("hashes", 13, "ledger"), ("names", 13, "ledger")]
    + [(name, 1, "signature") for name in SMALL],
)
def test_every_byte_of_ledger_checkpoints_and_keys(made, name, step, kind):
    """Every byte of what is small; of the rest every fifth or so, wherever it falls in line, hash or row."""
    path = made.root / "ledger" / name
    for place in flipped(path, range(0, path.stat().st_size, step)):
        report = verified(made.root, since=NO_DAY)
        assert kind in kinds(report), place
        assert exit_code(report.defects)


@pytest.mark.parametrize("place", [0, 1, -1])
def test_bytes_more_or_fewer(made, place):
    files = [path for path in made.root.rglob("*") if path.is_file() and path.parent.name != "run"]
    for path in files:
        whole = path.read_bytes()
        for spoilt in (whole[: place or None] + b"\n" + whole[place or len(whole) :], whole[:-1], b""):
            if spoilt == whole:
                continue
            path.write_bytes(spoilt)
            assert exit_code(verified(made.root).defects), path.name
        path.write_bytes(whole)
    assert verified(made.root).defects == []
